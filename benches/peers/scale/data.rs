//! What was measured of how the cost grows. Kept as JSON beside its page, which is written from nothing else.

use std::{fs, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::data::Spread;

/// One run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Scale {
    /// Machine, versions, date: what, and which.
    pub circumstances: Vec<(String, String)>,
    pub rounds: usize,
    /// How long each load lasted.
    pub seconds: u64,
    /// Of the service, unless the question is how many.
    pub workers: usize,
    pub points: Vec<Point>,
    pub imports: Vec<Import>,
    /// What was not measured, and why.
    pub left_out: Vec<String>,
    pub loads: Vec<Load>,
    /// To the Redis behind the service, counted by that Redis.
    pub connections_per_worker: f64,
}

/// What grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    Connections,
    Ids,
    Keys,
    /// The percentage of scores that are cached.
    Hits,
    Workers,
}

/// As much as went, at one size of one thing.
#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    pub question: Question,
    pub round: usize,
    pub contender: String,
    /// How much of it there was.
    pub at: i64,
    pub per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// CPU time for each request, of the service and of its Redis.
    pub cpu_us: f64,
    pub redis_cpu_us: f64,
    /// HTTP messages with their heads.
    pub request_bytes: f64,
    pub reply_bytes: f64,
    /// Between the service and its Redis, both directions, without the heads of packets.
    pub redis_bytes: f64,
    /// All that passed the loopback interface, with the heads of packets.
    pub loopback_bytes: f64,
    /// The share of look-ups that found their score, if there were any.
    pub hits: Option<f64>,
    pub peak_rss_kib: u64,
    pub errors: u64,
}

/// What it took to fill an embedded store.
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
    /// How long calls took, in microseconds: at each of [`SHARES`].
    pub percentiles: Vec<f64>,
    /// The same at each hundredth from the least to the most, if the model needs them.
    pub hundredths: Vec<f64>,
    pub errors: usize,
}

/// The percentiles that are compared with the model's.
pub const SHARES: [f64; 3] = [0.5, 0.9, 0.99];

/// How much of the peak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// As much as goes: more calls are due than are answered.
    Peak,
    /// So little that hardly a call meets another.
    Light,
    /// So many hundredths of the peak.
    Percent(u32),
}

// ===== impl Stage =====

impl Stage {
    /// All of them, in the order in which they are measured: the first tells how much the others are.
    pub const ALL: [Self; 6] =
        [Self::Peak, Self::Light, Self::Percent(20), Self::Percent(40), Self::Percent(60), Self::Percent(80)];

    /// The share of the peak.
    pub fn share(self) -> f64 {
        match self {
            // Well above what other loads have reached.
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

    /// Whether it is too short for its numbers to mean anything.
    pub fn is_trial(&self) -> bool {
        self.seconds < 2
    }

    /// Who was asked a question, in order.
    pub fn contenders(&self, question: Question) -> Vec<&str> {
        let mut found = Vec::new();
        for point in self.points.iter().filter(|point| point.question == question) {
            if !found.contains(&point.contender.as_str()) {
                found.push(point.contender.as_str());
            }
        }
        found
    }

    /// The sizes that a contender was measured at.
    pub fn sizes(&self, question: Question, contender: &str) -> Vec<i64> {
        let points = self.points.iter().filter(|point| point.question == question);
        let mut sizes: Vec<_> =
            points.filter(|point| point.contender == contender).map(|point| point.at).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// One number of each round.
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

    /// One number of each round at a fixed rate.
    pub fn load_spread(&self, stage: Stage, number: impl Fn(&Load) -> f64) -> Option<Spread> {
        Spread::of(self.loads.iter().filter(|load| load.stage == stage).map(number))
    }
}
