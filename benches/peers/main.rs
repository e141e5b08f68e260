//! The benchmark: `make bench`. Runs the contenders of each comparison group side by side on this machine, in short turns, and
//! writes `docs/benchmarks.md` with its plots from the same data.
//!
//! # Layout
//!
//! | file | contents |
//! |---|---|
//! | `contenders.rs` | the contenders, one entry each |
//! | `groups.rs` | the comparison groups and their loads |
//! | `workloads.rs` | the calls that they get |
//! | `targets.rs` | the targets for the numbers |
//! | `contract.rs` | checks that a contender answers according to the contract, before it is measured |
//! | `rounds.rs` | the order of all measurements |
//! | `server.rs` | a contender as processes: starting, stopping, CPU time, memory |
//! | `wrk.rs`, `open_loop.rs` | the load: as fast as answers come, and at a fixed rate |
//! | `handshakes.rs` | the load of TLS handshakes |
//! | `data.rs` | the measurements, and ratios round by round |
//! | `report.rs`, `plots.rs` | report and plots |
//! | `scale/` | another question, `make scale`: how the cost grows with the work |
//! | `capacity.rs`, `simulation.rs` | resources for many calls: by calculation, and by a model of the service |

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "it is a tool for this repository: it reports on standard output, and a panic is a failed run"
)]

mod contenders;
mod contract;
mod data;
mod groups;
mod handshakes;
mod open_loop;
mod plots;
mod report;
mod rounds;
mod scale;
mod server;
mod targets;
mod workloads;
mod wrk;

use std::process::ExitCode;

use testkit::bench::entry;

use self::{data::Data, rounds::Plan, scale::Scale};

/// `cargo bench --bench peers` runs the benchmark, `-- check` checks only the contract, `-- report` writes the report again;
/// `-- scale` and `-- scale report` do the same for scale.
#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let Some(arguments) = entry::arguments() else {
        println!("run by `make bench` or `make scale`");
        return ExitCode::SUCCESS;
    };
    let work = async {
        run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
        ExitCode::SUCCESS
    };
    entry::until_stopped(Box::pin(work)).await
}

async fn run(command: &[&str]) {
    match command {
        [] => {
            let data = rounds::run(&Plan::from_environment()).await;
            data.save();
            report::write(&data);
        }
        ["check"] => rounds::check().await,
        ["report"] => report::write(&Data::load()),
        ["scale"] => {
            let scale = scale::run(&scale::Plan::from_environment()).await;
            scale.save();
            scale::write(&scale);
        }
        ["scale", "report"] => scale::write(&Scale::load()),
        other => panic!("{other:?} is not one of: check, report, scale, scale report"),
    }
}
