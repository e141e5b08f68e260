//! How the cost grows with the work: `make scale`. Writes `docs/scale.md` with its plots, and `docs/capacity.md`, from
//! its measurements.
//!
//! # Layout
//!
//! | file | contents |
//! |---|---|
//! | `questions.rs` | the quantities that grow, their sizes, and the contenders |
//! | `measure.rs` | one load, and its cost |
//! | `data.rs` | the measurements |
//! | `prediction.rs` | the model's predictions from the measurements |
//! | `page.rs`, `plots.rs`, `capacity_page.rs` | pages and plots |
//!
//! Each load gets fresh processes. Each round runs all loads in turn, so changes on the machine during the run show as
//! spread.

mod capacity_page;
mod data;
mod measure;
mod page;
mod plots;
mod prediction;
mod questions;

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

pub use self::data::Scale;
use crate::server::workers;
use testkit::{bench::machine::circumstances, bench::machine::says};

/// Rounds, durations and sizes.
pub struct Plan {
    rounds: usize,
    load: Duration,
    /// Most keys in the embedded store.
    keys: i64,
}

// ===== impl Plan =====

impl Plan {
    /// `SCALE_ROUNDS` (3) of `SCALE_SECONDS` (2) each load. Less than 2 s is a trial run: one round, and fewer keys.
    pub fn from_environment() -> Self {
        let number =
            |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
        let seconds = number("SCALE_SECONDS").unwrap_or(2).max(1);
        let (rounds, keys) = if seconds < 2 { (1, 100_000) } else { (3, 10_000_000) };
        let rounds = number("SCALE_ROUNDS").unwrap_or(rounds).max(1);
        Self { rounds: usize::try_from(rounds).unwrap(), load: Duration::from_secs(seconds), keys }
    }
}

/// Runs all measurements.
pub async fn run(plan: &Plan) -> Scale {
    let begun = Instant::now();
    let mut scale = Scale {
        circumstances: circumstances("at the start"),
        rounds: plan.rounds,
        seconds: plan.load.as_secs(),
        workers: workers(),
        ..Scale::default()
    };
    scale.circumstances.push(("load generator".to_owned(), says("wrk", "-v")));
    let folder = tempfile::tempdir().unwrap();
    let stores = questions::fill_stores(plan.keys, folder.path(), &mut scale);
    scale.connections_per_worker = questions::connections_per_worker().await;
    for round in 0..plan.rounds {
        questions::ask_all(plan, round, folder.path(), &stores, &mut scale).await;
        println!("round {} of {}: {:.0?}", round + 1, plan.rounds, begun.elapsed());
    }
    let took = format!("{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    scale.circumstances.push(("took".to_owned(), took));
    scale
}

/// Writes the pages and the plots.
pub fn write(scale: &Scale) {
    fs::create_dir_all(folder()).unwrap();
    let checks = prediction::checks(scale);
    let plots = plots::draw(scale, &checks, &folder());
    page::write(scale, &plots);
    capacity_page::write(scale, &checks);
    println!("written to docs/scale.md and docs/capacity.md");
}

/// Folder of data and plots.
fn folder() -> PathBuf {
    document("benchmarks")
}

fn document(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).join(name)
}
