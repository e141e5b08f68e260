//! The measurements. They are kept as JSON beside the report, which is written from this file alone.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::workloads::Workload;

/// One run of the benchmark.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Data {
    /// Machine, versions, date: name and value.
    pub circumstances: Vec<(String, String)>,
    pub rounds: usize,
    /// Duration of each load.
    pub seconds: u64,
    /// Id and description, in the order of the report.
    pub contenders: Vec<(String, String)>,
    /// Contenders that were not installed, and the reason.
    pub missing: Vec<(String, String)>,
    pub throughput: Vec<Throughput>,
    pub latency: Vec<Latency>,
    pub footprint: Vec<Footprint>,
    /// A long run at 60 % of the peak, for the slowest answer.
    pub long: Option<Latency>,
}

/// Throughput in one round, as fast as the contender answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Throughput {
    pub round: usize,
    pub contender: String,
    pub workload: Workload,
    pub connections: usize,
    pub per_second: f64,
    /// The contender's own CPU time for each request, in microseconds.
    pub cpu_us: f64,
    /// Its Redis' CPU time for each request, in microseconds.
    pub redis_cpu_us: f64,
    pub errors: u64,
    /// Peak memory of the contender so far, in KiB.
    pub peak_rss_kib: u64,
}

/// Latency of cached scores at a fixed rate. Times are in microseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    pub round: usize,
    /// An index into the groups that share a rate.
    pub group: usize,
    pub contender: String,
    /// Calls a second.
    pub rate: f64,
    pub calls: usize,
    /// Calls that failed, or could not be sent.
    pub errors: usize,
    /// One for each of [`SHARES`].
    pub percentiles: Vec<f64>,
    pub worst: f64,
    /// Number of calls above 50 ms.
    pub over_50_ms: usize,
}

/// The recorded percentiles.
pub const SHARES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
const P99: usize = 2;

/// Start time and memory of a contender without load.
#[derive(Debug, Serialize, Deserialize)]
pub struct Footprint {
    pub round: usize,
    pub contender: String,
    pub first_answer_ms: f64,
    pub idle_rss_kib: u64,
    /// With 1,000 open connections, each of which was used once.
    pub connected_rss_kib: u64,
}

/// Median and range of several rounds' numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

// ===== impl Spread =====

impl Spread {
    /// `None` for no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<_> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Self { median, min, max })
    }
}

// ===== impl Data =====

impl Data {
    pub fn path() -> PathBuf {
        concat!(env!("CARGO_MANIFEST_DIR"), "/docs/benchmarks/data.json").into()
    }

    pub fn save(&self) {
        fs::create_dir_all(Self::path().parent().unwrap()).unwrap();
        fs::write(Self::path(), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    pub fn load() -> Self {
        let text = fs::read_to_string(Self::path()).expect("the benchmark was run before");
        serde_json::from_str(&text).expect("the data is of this version")
    }

    /// One number for each round's run of `workload`.
    pub fn runs<'a>(
        &'a self,
        contender: &'a str,
        workload: Workload,
        connections: usize,
        number: impl Fn(&Throughput) -> f64 + 'a,
    ) -> impl Iterator<Item = (usize, f64)> + 'a {
        let runs = self.throughput.iter().filter(move |run| {
            run.contender == contender && run.workload == workload && run.connections == connections
        });
        runs.map(move |run| (run.round, number(run)))
    }

    pub fn spread(
        &self,
        contender: &str,
        workload: Workload,
        connections: usize,
        number: impl Fn(&Throughput) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.runs(contender, workload, connections, number).map(|(_, number)| number))
    }

    /// Ratio of two contenders' requests a second, for each round.
    pub fn ratio(&self, one: &str, other: &str, workload: Workload, connections: usize) -> Option<Spread> {
        let per_second = |run: &Throughput| run.per_second;
        let others: Vec<_> = self.runs(other, workload, connections, per_second).collect();
        ratios(self.runs(one, workload, connections, per_second), &others)
    }

    /// Ratio of two contenders' 99th percentile at the group's rate, for each round.
    pub fn p99_ratio(&self, one: &str, other: &str, group: usize) -> Option<Spread> {
        let others: Vec<_> = self.p99s(other, group).collect();
        ratios(self.p99s(one, group), &others)
    }

    pub fn latencies<'a>(&'a self, contender: &'a str, group: usize) -> impl Iterator<Item = &'a Latency> {
        self.latency.iter().filter(move |run| run.contender == contender && run.group == group)
    }

    fn p99s<'a>(&'a self, contender: &'a str, group: usize) -> impl Iterator<Item = (usize, f64)> + 'a {
        self.latencies(contender, group).map(|run| (run.round, run.percentiles[P99]))
    }

    pub fn footprints<'a>(
        &'a self,
        contender: &'a str,
        number: impl Fn(&Footprint) -> f64 + 'a,
    ) -> Option<Spread> {
        Spread::of(self.footprint.iter().filter(|of| of.contender == contender).map(number))
    }
}

/// Ratios of numbers that have the same round.
fn ratios(ones: impl Iterator<Item = (usize, f64)>, others: &[(usize, f64)]) -> Option<Spread> {
    let of_round = |round| others.iter().find(|(other, _)| *other == round).map(|(_, number)| *number);
    Spread::of(ones.filter_map(|(round, one)| Some(one / of_round(round)?)))
}
