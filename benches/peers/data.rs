//! The measurements. They are kept as JSON beside the report, which is written from this file alone.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};
use testkit::bench::comparison::{Interval, ratios};

use crate::{contenders::PAIRS, workloads::Workload};

/// One run of the benchmark.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Data {
    /// Machine, versions, date: name and value.
    pub circumstances: Vec<(String, String)>,
    pub rounds: usize,
    /// Duration of a turn.
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

/// One turn, as fast as the contender answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Throughput {
    /// The comparison group.
    pub group: String,
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
    /// Number of calls above 25 ms.
    pub over_25_ms: usize,
}

/// The recorded percentiles.
pub const SHARES: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];
pub const P99: usize = 2;
pub const P999: usize = 3;

/// One side of a comparison: a contender under one load.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub contender: &'a str,
    pub workload: Workload,
    pub connections: usize,
}

/// A number's ratio of two contenders in the same run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compared {
    pub ratio: Option<Interval>,
    /// Rounds in which both were measured.
    pub rounds: usize,
    /// Beside calls a second: the ratio of the CPU time of a call.
    pub cpu: Option<Interval>,
    /// The same number's ratio of two processes of one program (A/A), under the same load.
    pub pair: Option<Interval>,
}

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
        let Interval { median, low, high } = Interval::range(numbers)?;
        Some(Self { median, min: low, max: high })
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
        serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("docs/benchmarks/data.json is of another version of the benchmark; `make bench` replaces it: {error}")
        })
    }

    /// The first group in which all sides were measured.
    fn group_of(&self, sides: &[Side<'_>]) -> Option<&str> {
        let mut groups = self.throughput.iter().map(|run| run.group.as_str());
        groups.find(|group| sides.iter().all(|side| self.turns(group, *side).next().is_some()))
    }

    fn turns<'a>(&'a self, group: &'a str, side: Side<'a>) -> impl Iterator<Item = &'a Throughput> {
        self.throughput.iter().filter(move |run| {
            run.group == group
                && run.contender == side.contender
                && run.workload == side.workload
                && run.connections == side.connections
        })
    }

    /// A number in each round of the first group that has the contender under this load.
    pub fn spread(
        &self,
        contender: &str,
        workload: Workload,
        connections: usize,
        number: impl Fn(&Throughput) -> f64,
    ) -> Option<Spread> {
        let side = Side { contender, workload, connections };
        Spread::of(self.turns(self.group_of(&[side])?, side).map(number))
    }

    /// The ratio of two sides' numbers, round by round, in the first group that has both.
    pub fn compare(&self, one: Side<'_>, other: Side<'_>, number: impl Fn(&Throughput) -> f64) -> Compared {
        let Some(group) = self.group_of(&[one, other]) else { return Compared::default() };
        let numbers = |side| self.turns(group, side).map(|run| (run.round, number(run))).collect::<Vec<_>>();
        let paired = |one, other| ratios(&numbers(one), &numbers(other));
        let pair = pairs_of(one.contender, other.contender).into_iter().find_map(|(reference, again)| {
            let of = |contender| Side { contender, ..other };
            let all = paired(of(again), of(reference));
            (!all.is_empty()).then(|| Interval::of(all))
        });
        let all = paired(one, other);
        Compared { rounds: all.len(), ratio: Interval::of(all), cpu: None, pair: pair.flatten() }
    }

    /// The ratio of two sides' calls a second, with that of the CPU time of a call.
    pub fn compare_speed(&self, one: Side<'_>, other: Side<'_>) -> Compared {
        let cpu = self.compare(one, other, |run| run.cpu_us).ratio;
        Compared { cpu, ..self.compare(one, other, |run| run.per_second) }
    }

    /// The ratio of two contenders' percentile at the group's rate; `share` is an index into [`SHARES`].
    pub fn compare_latency(&self, one: &str, other: &str, group: usize, share: usize) -> Compared {
        let numbers = |id| {
            let runs = self.latencies(id, group);
            runs.map(|run| (run.round, run.percentiles[share])).collect::<Vec<_>>()
        };
        let paired = |one, other| ratios(&numbers(one), &numbers(other));
        let pair = pairs_of(one, other).into_iter().find_map(|(reference, again)| {
            let all = paired(again, reference);
            (!all.is_empty()).then(|| Interval::of(all))
        });
        let all = paired(one, other);
        Compared { rounds: all.len(), ratio: Interval::of(all), cpu: None, pair: pair.flatten() }
    }

    pub fn latencies<'a>(&'a self, contender: &'a str, group: usize) -> impl Iterator<Item = &'a Latency> {
        self.latency.iter().filter(move |run| run.contender == contender && run.group == group)
    }

    pub fn footprints(&self, contender: &str, number: impl Fn(&Footprint) -> f64) -> Option<Spread> {
        Spread::of(self.footprint.iter().filter(|of| of.contender == contender).map(number))
    }
}

/// All A/A pairs: first that of the second contender, then that of the first one.
fn pairs_of(one: &str, other: &str) -> Vec<(&'static str, &'static str)> {
    let mut pairs = PAIRS.to_vec();
    // False is first.
    pairs.sort_by_key(|(reference, _)| (*reference != other, *reference != one));
    pairs
}
