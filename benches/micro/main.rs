//! Microbenchmarks of the parts that a call passes through.
//!
//! - `cargo bench --bench micro`: time of each part (criterion),
//! - `make instructions`: instructions of each part (callgrind), which do not depend on how busy the machine is, and their
//!   growth since the last record; `cargo bench --bench micro -- instructions record` records them.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it is a tool for this repository: it reports on standard output, and a panic is a failed run"
)]

mod fixtures;
mod instructions;
mod parts;

use std::time::Instant;

use criterion::Criterion;

use self::parts::{PARTS, Redis, run};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["instructions"] => instructions::compare(),
        ["instructions", "record"] => instructions::record(),
        ["run", part, times] => run(part, times.parse().unwrap(), None, |run| run()),
        _ => measure(),
    }
}

fn measure() {
    let mut criterion = Criterion::default().configure_from_args();
    let redis = Redis::start_if_installed();
    for part in PARTS.iter().filter(|part| redis.is_some() || !part.needs_redis()) {
        criterion.bench_function(part.name, |bencher| {
            bencher.iter_custom(|times| {
                let mut took = std::time::Duration::ZERO;
                run(part.name, times, redis.as_ref(), |run| {
                    let begun = Instant::now();
                    run();
                    took = begun.elapsed();
                });
                took
            });
        });
    }
    criterion.final_summary();
}
