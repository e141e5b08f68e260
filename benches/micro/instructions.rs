//! How many instructions a part takes, by callgrind: the difference between doing it many times and more often,
//! so that the preparation falls out.

use std::{collections::BTreeMap, env, fs, process::Command};

use crate::parts::PARTS;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/micro/instructions.txt");
const FEW: u64 = 500;
const MANY: u64 = 1_500;
/// Growth beyond this is worth a word.
const NOTABLE: f64 = 0.05;

/// Counts, and says what has grown since the last record. Never fails for that: a count also moves with the compiler.
pub fn compare() {
    let Some(counts) = count() else { return };
    let recorded = recorded();
    let mut grown = Vec::new();
    println!("{:>12} {:>12} {:>8}  part", "recorded", "now", "");
    for (name, now) in &counts {
        let Some(before) = recorded.get(*name) else {
            println!("{:>12} {now:>12} {:>8}  {name}", "–", "new");
            continue;
        };
        let change = *now as f64 / *before as f64 - 1.0;
        println!("{before:>12} {now:>12} {:>7.1}%  {name}", change * 100.0);
        if change > NOTABLE {
            grown.push(format!("{name} by {:.1} %", change * 100.0));
        }
    }
    match grown.is_empty() {
        true => println!("nothing grew by more than {:.0} %", NOTABLE * 100.0),
        false => println!("GREW: {}", grown.join("; ")),
    }
}

/// Counts, and keeps the counts for later comparisons.
pub fn record() {
    let Some(counts) = count() else { return };
    let lines = counts.iter().map(|(name, count)| format!("{count} {name}\n"));
    let heading = "# Instructions for each, by callgrind. Written by `cargo bench --bench micro -- instructions record`.\n";
    fs::write(RECORD, heading.to_owned() + &lines.collect::<String>()).unwrap();
    compare_printed(&counts);
}

fn compare_printed(counts: &[(&'static str, u64)]) {
    counts.iter().for_each(|(name, count)| println!("{count:>12}  {name}"));
}

fn recorded() -> BTreeMap<String, u64> {
    let text = fs::read_to_string(RECORD).unwrap_or_default();
    let line = |line: &str| {
        let (count, name) = line.split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// None, and a word about it, if there is no valgrind.
fn count() -> Option<Vec<(&'static str, u64)>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: instructions are not counted");
        return None;
    }
    let countable = PARTS.iter().filter(|part| part.is_countable());
    Some(
        countable
            .map(|part| (part.name, (collected(part.name, MANY) - collected(part.name, FEW)) / (MANY - FEW)))
            .collect(),
    )
}

/// The instructions of doing a part so many times, preparation and all.
fn collected(part: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args(["run", part, &times.to_string()])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    count.unwrap_or_else(|| panic!("callgrind counted nothing: {text}"))
}
