//! `simulate`: runs seeds for a time, or one seed, and prints the failures.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use simulation::{
    run::run,
    script::{Script, draw, draw_long},
    seed::Seed,
    shrink::shrink,
};
use tracing::Level;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Seeds that failed once. They are run before new ones.
const FAILED_SEEDS: &str = include_str!("../failed-seeds.txt");

/// The most time for making one script shorter.
const SHRINK_FOR: Duration = Duration::from_secs(30);

/// From this time on, one of the runs takes 10,000 simulated seconds.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// Runs the actors of scoring-api among faults that are drawn from seeds, in simulated time.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seconds to run new seeds for, 1 to 86400
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Run this seed alone, and print its script and its log
    #[arg(long)]
    seed: Option<Seed>,
    /// The first of the new seeds, instead of a random one
    #[arg(long, conflicts_with = "seed")]
    from: Option<u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failures = match arguments.seed {
        Some(seed) => one(seed),
        None => {
            many(Duration::from_secs(arguments.seconds), arguments.from.unwrap_or_else(|| fastrand::u64(..)))
        }
    };
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one seed, and prints everything.
fn one(seed: Seed) -> usize {
    let script = draw(seed);
    let outcome = run(&script, seed, Level::DEBUG);
    print!("Seed {seed}\n{script}\n{}", outcome.log);
    outcome.failures.iter().for_each(|failure| println!("failed {failure}"));
    outcome.failures.len()
}

/// Runs the seeds that failed once, and then new ones until the time is up.
fn many(time: Duration, first: u64) -> usize {
    let old = FAILED_SEEDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (mut failures, mut simulated, mut runs) = (0, Duration::ZERO, 0);
    let begun = Instant::now();
    let mut play = |script: Script, seed: Seed| {
        let outcome = run(&script, seed, Level::INFO);
        runs += 1;
        simulated += outcome.simulated;
        if !outcome.failures.is_empty() {
            failures += 1;
            report(seed, &script, &outcome.failures, simulated);
        }
    };
    for line in old {
        match line.parse() {
            Ok(seed) => play(draw(seed), seed),
            Err(error) => {
                eprintln!("failed-seeds.txt: {error}");
                return 1;
            }
        }
    }
    println!("New seeds from {}", Seed::new(first));
    if time >= LONG_ENOUGH {
        play(draw_long(Seed::new(first)), Seed::new(first));
    }
    let mut number = first;
    while begun.elapsed() < time {
        play(draw(Seed::new(number)), Seed::new(number));
        number = number.wrapping_add(1);
    }
    let rate = simulated.as_secs_f64() / begun.elapsed().as_secs_f64();
    println!("{runs} runs, {:.0} simulated seconds", simulated.as_secs_f64());
    println!("{rate:.0} simulated seconds a second, {failures} failures");
    failures
}

fn report(seed: Seed, script: &Script, failures: &[String], after: Duration) {
    println!("Seed {seed} failed, after {:.0} simulated seconds:", after.as_secs_f64());
    failures.iter().take(5).for_each(|failure| println!("  {failure}"));
    let begun = Instant::now();
    let fails =
        |script: &Script| begun.elapsed() < SHRINK_FOR && !run(script, seed, Level::INFO).failures.is_empty();
    let shortest = shrink(script.clone(), fails);
    println!("The shortest script that still fails:\n{shortest}");
}
