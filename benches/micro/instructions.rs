//! Instructions of each part, by callgrind: the difference between a run with few repetitions and one with many, so that
//! the preparation cancels out.

use std::{env, fs, process::Command};

use testkit::bench::record::{self, Count};

use crate::parts::PARTS;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/micro/instructions.txt");
const FEW: u64 = 500;
const MANY: u64 = 1_500;

/// Counts, and prints the growth since the last record. Growth is not an error: a count also moves with the compiler.
pub fn compare() {
    let Some(counts) = count() else { return };
    let recorded = record::read(&fs::read_to_string(RECORD).unwrap_or_default());
    println!("{:>12} {:>12} {:>8}  part", "recorded", "now", "");
    for ((name, now), change) in counts.iter().zip(record::changes(&recorded, &counts)) {
        let before = recorded.iter().find(|(recorded, _)| recorded == name);
        let before = before.map_or("–".to_owned(), |(_, before)| before.to_string());
        let change = change.map_or("new".to_owned(), |change| format!("{:.1}%", change * 100.0));
        println!("{before:>12} {now:>12} {change:>8}  {name}");
    }
    println!("{}", record::verdict(&recorded, &counts));
}

/// Counts, and saves the counts for later comparisons.
pub fn record() {
    let Some(counts) = count() else { return };
    fs::write(RECORD, record::write(&counts)).unwrap();
    counts.iter().for_each(|(name, count)| println!("{count:>12}  {name}"));
}

/// `None`, with a message, if valgrind is not installed.
fn count() -> Option<Vec<Count>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: instructions are not counted");
        return None;
    }
    let countable = PARTS.iter().filter(|part| part.is_countable());
    Some(
        countable
            .map(|part| {
                let more = collected(part.name, MANY) - collected(part.name, FEW);
                (part.name.to_owned(), more / (MANY - FEW))
            })
            .collect(),
    )
}

/// Instructions for this many repetitions of a part, preparation included.
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
