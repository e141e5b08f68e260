//! The benchmark: `make bench`. Starts everything that it compares on this machine, in turn, in several rounds, and writes
//! `docs/benchmarks.md` with its plots from the same data.
//!
//! # Layout
//!
//! | file | what it is |
//! |---|---|
//! | `contenders.rs` | what is compared: one entry each |
//! | `workloads.rs` | what they are asked |
//! | `targets.rs` | what the numbers should be |
//! | `contract.rs` | shows that a contender answers as the contract says, before it is measured |
//! | `rounds.rs` | the order of it all |
//! | `server.rs` | a contender as processes: starting, stopping, CPU time, memory |
//! | `wrk.rs`, `open_loop.rs` | the load: as much as goes, and at a fixed rate |
//! | `data.rs` | what was measured, and medians of ratios |
//! | `report.rs`, `plots.rs` | what is written |

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it is a tool for this repository: it reports on standard output, and a panic is a run that failed"
)]

mod contenders;
mod contract;
mod data;
mod open_loop;
mod plots;
mod report;
mod rounds;
mod server;
mod targets;
mod workloads;
mod wrk;

#[path = "../../tests/it/harness/calls.rs"]
#[allow(dead_code, reason = "shared with the tests, which use more of it")]
mod calls;
#[path = "../faults/client.rs"]
#[allow(dead_code, reason = "shared with the fault table, which uses more of it")]
mod client;
#[path = "../../tests/it/tools/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the tests, which use more of it; its own tests run there"
)]
mod tools;

use std::process::ExitCode;

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};

use self::{data::Data, rounds::Plan};

/// `cargo bench --bench peers`, or `-- check` for the contract alone, or `-- report` to write the report once more.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says so when it is meant to be run as a benchmark. Any other time it is only being tried out.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("run by `make bench`");
        return ExitCode::SUCCESS;
    }
    let command = arguments.iter().find(|argument| !argument.starts_with("--")).map(String::as_str);
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    // Whatever ends this, the processes it started end with it, as what stands for them is dropped.
    select! {
        () = run(command) => ExitCode::SUCCESS,
        _ = interrupt.recv() => ExitCode::from(130),
        _ = terminate.recv() => ExitCode::from(143),
    }
}

async fn run(command: Option<&str>) {
    match command {
        None => {
            let data = rounds::run(&Plan::from_environment()).await;
            data.save();
            report::write(&data);
        }
        Some("check") => rounds::check().await,
        Some("report") => report::write(&Data::load()),
        Some(other) => panic!("{other} is neither check nor report"),
    }
}
