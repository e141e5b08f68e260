//! The measurements of how the cost grows. They are kept as JSON beside the page, which is written from this file alone.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::Spread;

/// One run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Scale {
    /// Machine, versions, date: name and value.
    pub circumstances: Vec<(String, String)>,
    pub rounds: usize,
    /// Duration of each load.
    pub seconds: u64,
    /// Workers of the service, unless their number is the question.
    pub workers: usize,
    pub points: Vec<Point>,
    pub imports: Vec<Import>,
    /// Measurements that were skipped, and the reason.
    pub left_out: Vec<String>,
    pub loads: Vec<Load>,
    /// Connections to the Redis behind the service, counted by that Redis.
    pub connections_per_worker: f64,
}

/// The quantity that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    Connections,
    Ids,
    Keys,
    /// The percentage of scores that are cached.
    Hits,
    Workers,
    /// The primaries of the store.
    Shards,
    /// The processes of the service, with one worker each.
    Instances,
}

/// Throughput at one size of one quantity, as fast as the service answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    pub question: Question,
    pub round: usize,
    pub contender: String,
    /// Size of the quantity.
    pub at: i64,
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// CPU time for each request, of the service and of its Redis.
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    /// HTTP messages with their headers.
    pub request_bytes: f64,
    pub reply_bytes: f64,
    /// Between the service and its Redis, both directions, without packet headers.
    pub redis_bytes: f64,
    /// All bytes on the loopback interface, with packet headers.
    pub loopback_bytes: f64,
    /// The share of lookups that found their score, if there were lookups.
    pub hits: Option<f64>,
    pub peak_rss_kib: u64,
    pub errors: u64,
}

/// Time and file size of filling an embedded store.
#[derive(Debug, Serialize, Deserialize)]
pub struct Import {
    pub keys: i64,
    pub seconds: f64,
    pub file_bytes: u64,
}

/// Cached scores at a fixed rate.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    pub round: usize,
    pub stage: Stage,
    /// Calls a second that were due, and that were answered.
    pub rate: f64,
    pub per_second: f64,
    /// CPU time for each call, of the service, of its Redis, and of the load generator.
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    pub client_cpu_us: f64,
    /// Latency in microseconds, at each of [`SHARES`].
    pub percentiles: Vec<f64>,
    /// Latency at each hundredth from minimum to maximum, if the model needs them.
    pub hundredths: Vec<f64>,
    pub errors: usize,
}

/// The percentiles that are compared with the model's.
pub const SHARES: [f64; 3] = [0.5, 0.9, 0.99];

/// Load as a share of the peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// More calls are due than the service can answer.
    Peak,
    /// So few calls that they hardly ever overlap.
    Light,
    /// Percent of the peak.
    Percent(u32),
}

// ===== impl Point =====

impl Point {
    /// Two instances under load at the same time, on one Redis, which only this one's counters have.
    pub fn beside(self, other: &Self) -> Self {
        let all = self.per_second + other.per_second;
        let both = |one: f64, two: f64| (one * self.per_second + two * other.per_second) / all;
        Self {
            per_second: all,
            p50_us: self.p50_us.max(other.p50_us),
            p99_us: self.p99_us.max(other.p99_us),
            cpu_us: both(self.cpu_us, other.cpu_us),
            redis_cpu_us: both(self.redis_cpu_us, 0.0),
            errors: self.errors + other.errors,
            ..self
        }
    }
}

// ===== impl Stage =====

impl Stage {
    /// All stages, in the order of measurement: the first one determines the rates of the others.
    pub const ALL: [Self; 6] =
        [Self::Peak, Self::Light, Self::Percent(20), Self::Percent(40), Self::Percent(60), Self::Percent(80)];

    /// The share of the peak.
    pub fn share(self) -> f64 {
        match self {
            // Well above the throughput of other loads.
            Self::Peak => 1.5,
            Self::Light => 0.05,
            Self::Percent(percent) => f64::from(percent) / 100.0,
        }
    }
}

// ===== impl Scale =====

impl Scale {
    fn path() -> PathBuf {
        super::folder().join("scale.json")
    }

    pub fn save(&self) {
        fs::create_dir_all(super::folder()).unwrap();
        fs::write(Self::path(), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    pub fn load() -> Self {
        let text = fs::read_to_string(Self::path()).expect("make scale was run before");
        serde_json::from_str(&text).expect("the data is of this version")
    }

    /// Whether the run is too short for meaningful numbers.
    pub fn is_trial(&self) -> bool {
        self.seconds < 2
    }

    /// The contenders with measurements for a question, in order.
    pub fn contenders(&self, question: Question) -> Vec<&str> {
        let mut found = Vec::new();
        for point in self.points.iter().filter(|point| point.question == question) {
            if !found.contains(&point.contender.as_str()) {
                found.push(point.contender.as_str());
            }
        }
        found
    }

    /// The sizes at which a contender was measured.
    pub fn sizes(&self, question: Question, contender: &str) -> Vec<i64> {
        let points = self.points.iter().filter(|point| point.question == question);
        let mut sizes: Vec<_> =
            points.filter(|point| point.contender == contender).map(|point| point.at).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// One number for each round.
    pub fn spread(
        &self,
        question: Question,
        contender: &str,
        at: i64,
        number: impl Fn(&Point) -> f64,
    ) -> Option<Spread> {
        let is_it =
            |point: &&Point| point.question == question && point.contender == contender && point.at == at;
        Spread::of(self.points.iter().filter(is_it).map(number))
    }

    /// One number for each round at a fixed rate.
    pub fn load_spread(&self, stage: Stage, number: impl Fn(&Load) -> f64) -> Option<Spread> {
        Spread::of(self.loads.iter().filter(|load| load.stage == stage).map(number))
    }
}
