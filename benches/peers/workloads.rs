//! The calls that contenders get.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::json;
use testkit::call;

/// Placeholder for a number that differs in each request; `bench/wrk.lua` has the same one.
pub const MARK: &str = "##########";

/// Clients with stored interests.
pub const CLIENTS: i64 = 10_000;

/// Persons of the cached workload.
const REGULARS: u64 = 100;

/// One kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Workload {
    /// `online_score` of a few persons, whose scores are cached.
    Cached,
    /// `online_score` of persons without an earlier call.
    Distinct,
    /// `clients_interests` of this many clients.
    Interests(usize),
    /// TLS handshakes without resumption, each followed by one call.
    Handshakes,
}

// ===== impl Workload =====

impl Workload {
    /// The usual number of connections. Fewer for the largest calls: each call that is cut off at the end of a turn is work
    /// without an answer.
    pub const fn connections(self) -> usize {
        if self.is_large() { 16 } else { 32 }
    }

    /// Turns of the largest calls are this many times as long, since the slowest contender answers few of them.
    pub fn turns(self) -> u32 {
        if self.is_large() { 3 } else { 1 }
    }

    const fn is_large(self) -> bool {
        matches!(self, Self::Interests(10_000..))
    }

    pub fn name(self) -> String {
        match self {
            Self::Cached => "cached scores".to_owned(),
            Self::Distinct => "distinct scores".to_owned(),
            Self::Interests(ids) => format!("interests of {ids}"),
            Self::Handshakes => "handshakes".to_owned(),
        }
    }

    /// Bodies of signed calls.
    pub fn bodies(self) -> Vec<String> {
        match self {
            Self::Cached | Self::Handshakes => {
                (0..REGULARS).map(|person| score(&format!("{person:010}"))).collect()
            }
            Self::Distinct => vec![score(MARK)],
            Self::Interests(ids) => {
                let mut random = fastrand::Rng::with_seed(ids as u64);
                let bodies = (100_000 / ids).clamp(4, 64);
                (0..bodies).map(|_| interests(&random.choose_multiple(1..=CLIENTS, ids))).collect()
            }
        }
    }
}

pub fn score(number: &str) -> String {
    let arguments = json!({
        "phone": format!("7{number}"), "email": format!("{number}@example.com"), "first_name": "Stanislav",
        "last_name": "Stupnikov", "birthday": "01.01.1990", "gender": 1,
    });
    call("online_score", arguments).to_string()
}

pub fn interests(ids: &[i64]) -> String {
    call("clients_interests", json!({ "client_ids": ids, "date": "19.07.2017" })).to_string()
}

/// The stored interests of client `id`.
pub fn interests_of(id: i64) -> [String; 2] {
    const ALL: [&str; 8] = ["books", "hi-tech", "cinema", "travel", "music", "pets", "tv", "otus"];
    let pick = |turn: i64| ALL[usize::try_from((id * 7 + turn * 3) % 8).unwrap_or(0)].to_owned();
    [pick(0), pick(1)]
}

/// Writes a workload's bodies to a file, one a line.
pub fn write_bodies(workload: Workload, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{workload:?}"));
    fs::write(&path, workload.bodies().join("\n")).unwrap();
    path
}
