//! The fault table, executed: `make faults`, and `make soak`.
//!
//! Runs the release binary as a process, injects the faults row by row, and measures the calls of its clients.
//!
//! # Layout
//!
//! | file | contents |
//! |---|---|
//! | `table.rs`, `table/tagged.rs`, `table/verified.rs` | the rows: fault, required outcome, bounds |
//! | `row.rs` | the parts of a row |
//! | `world.rs`, `tagged_world.rs` | the store behind the service, and the injection of each fault |
//! | `measure.rs` | runs a row about the store and judges it |
//! | `own.rs`, `signals.rs`, `overload.rs`, `slow.rs`, `redis_rows.rs`, `tagged_rows.rs`, `file_rows.rs` | rows with a procedure of their own |
//! | `names.rs`, `names.c` | a name server that answers as a row demands |
//! | `outage.rs` | the frame of rows with an outage |
//! | `soak.rs` | faults at random, for long |
//! | `service.rs`, `load.rs` | the process, and the load |
//! | `report.rs` | the table of results |

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it is a tool for this repository: it reports on standard output, and a panic is a row that failed"
)]

mod cluster_rows;
mod file_rows;
mod load;
mod measure;
mod names;
mod outage;
mod overload;
mod own;
mod redis_rows;
mod report;
mod row;
mod service;
mod signals;
mod slow;
mod soak;
mod table;
mod tagged_rows;
mod tagged_world;
mod topology_rows;
mod world;

use std::{panic::AssertUnwindSafe, process::ExitCode};

use futures_util::FutureExt;
use testkit::bench::entry;

use self::{
    report::{Line, Result},
    row::{Kind, Miss, Outcome, Row},
    table::rows,
};

/// `cargo bench --bench faults -- [row_05 row_12…]`, or `-- soak`.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Some(wanted) = entry::arguments() else {
        println!("run by `make faults` or `make soak`");
        return ExitCode::SUCCESS;
    };
    let work = async { if run(&wanted).await { ExitCode::SUCCESS } else { ExitCode::FAILURE } };
    entry::until_stopped(Box::pin(work)).await
}

async fn run(wanted: &[String]) -> bool {
    if wanted == ["soak"] {
        let soak = soak::run().await;
        soak.lines().for_each(|line| println!("soak: {line}"));
        report::write_soak(&soak);
        return soak.is_ok();
    }
    let is_wanted =
        |row: &Row| wanted.iter().any(|name| format!("row_{}", row.id).starts_with(name.as_str()));
    let chosen: Vec<_> = rows().filter(|row| wanted.is_empty() || is_wanted(row)).collect();
    if chosen.is_empty() {
        println!(
            "no such row; there are: {}",
            rows().map(|row| format!("row_{} ", row.id)).collect::<String>()
        );
        return false;
    }
    report::print_headings();
    let mut lines = Vec::new();
    for row in chosen {
        let line = line(row).await;
        report::print(&line);
        lines.push(line);
    }
    let missed: Vec<_> = lines.iter().filter(|line| !line.is_ok()).map(|line| line.row.id).collect();
    println!("{} rows, missed: {missed:?}", lines.len());
    if wanted.is_empty() {
        report::write(&lines);
    }
    missed.is_empty()
}

/// Runs a row, and once more if it misses.
async fn line(row: &'static Row) -> Line {
    let first = attempt(row).await;
    let line = Line { row, result: first, again: Vec::new() };
    if line.is_ok() {
        return line;
    }
    report::print(&line);
    let again = match line.result {
        Result::Store(measured) => measured.outcome.missed,
        Result::Own(outcome) => outcome.missed,
        Result::NotRun => Vec::new(),
    };
    Line { row, result: attempt(row).await, again }
}

async fn attempt(row: &Row) -> Result {
    let attempt = async {
        match &row.kind {
            Kind::Store(expected) => Result::Store(Box::new(measure::measure(row.id, expected).await)),
            Kind::Own(run) => Result::Own(run().await),
            Kind::Test(_) => Result::NotRun,
        }
    };
    AssertUnwindSafe(attempt).catch_unwind().await.unwrap_or_else(|_| {
        let missed = vec![Miss::Outcome("it panicked, see above".to_owned())];
        Result::Own(Outcome { missed, ..Outcome::default() })
    })
}
