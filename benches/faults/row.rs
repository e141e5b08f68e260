//! The parts of a row of the fault table.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use testkit::{Rule, Wrong};

/// One row, or one of its cases.
pub struct Row {
    /// The row's number, and the case's name if it has several: `03_script`.
    pub id: &'static str,
    pub fault: &'static str,
    pub must: &'static str,
    pub kind: Kind,
}

pub enum Kind {
    /// The store or the network to it fails, under a steady load.
    Store(Expected),
    /// Something else fails: a separate procedure.
    Own(fn() -> LocalBoxFuture<'static, Outcome>),
    /// It cannot be provoked from outside a release binary, or this test shows it at a lower cost.
    Test(&'static str),
}

/// A fault of the store, the required outcome, and its time limits.
#[derive(Clone, Copy)]
pub struct Expected {
    pub cause: Cause,
    /// The store that fails.
    pub on: On,
    pub interests: Interests,
    /// The state in `/readyz` at the end of the fault; `None` if both are allowed.
    pub readiness: Option<&'static str>,
    pub bounds: Bounds,
    /// The time from the end of the fault until all is OK; `None` if all is OK throughout.
    pub recovery: Option<Duration>,
}

#[derive(Clone, Copy)]
pub struct Bounds {
    /// The worst `online_score`.
    pub score: Duration,
    /// The worst `clients_interests`.
    pub interests: Duration,
    /// Maximum additional time of `online_score` over a healthy store (at the 99th percentile), once the breaker is
    /// open.
    pub open_score: Option<Duration>,
    /// `clients_interests` at the 99th percentile, once the breaker is open.
    pub open_interests: Option<Duration>,
}

/// The fault of the store. Each needs a certain store: see `world.rs`.
#[derive(Clone, Copy)]
pub enum Cause {
    // In a store inside this process.
    DownAtStart,
    Replies(fn() -> Rule),
    /// As `Replies`, of memcached or Tarantool.
    Answers(fn() -> Wrong),
    /// Replies to reads are cut off from time to time.
    CutsNowAndThen,
    Freeze,
    Clog,
    Flap,
    WrongPassword,
    MaxClients,
    BadInterests(Bad),
    BadScores,
    DroppedWhileIdle,
    // In the network.
    Latency(Duration),
    Loss(f64),
    /// All connections are cut every 100 ms.
    CutAll,
    // In a real server.
    Kill9,
    Stop,
    // In a real Redis.
    Script,
    /// As `Script`, on database 3, and the server rejects its selection meanwhile. Database 0 has other interests.
    ScriptOnDatabase3,
    ClientKill,
    PauseWrites,
}

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Both roles.
    Redis,
    /// The cache, beside a healthy store of interests.
    Memcached,
    /// Both roles.
    Tarantool,
}

#[derive(Clone, Copy)]
pub enum Bad {
    Type,
    Value,
}

/// The required answers of `clients_interests` during the fault.
#[derive(Clone, Copy)]
pub enum Interests {
    /// 200, all of them.
    Served,
    /// 200 for at least this percentage; else 503.
    Mostly(f64),
    /// 503, all of them, from a moment after the onset.
    Refused,
    /// 200 or 503.
    Either,
}

/// The result of a row's own procedure.
#[derive(Default)]
pub struct Outcome {
    /// The measurement, in words.
    pub measured: Vec<String>,
    pub missed: Vec<Miss>,
}

/// The way in which a row missed its requirement.
#[derive(Debug, Clone)]
pub enum Miss {
    /// The outcome was wrong.
    Outcome(String),
    /// The outcome was right but late.
    Bound(String),
}

// ===== impl Outcome =====

impl Outcome {
    pub fn note(&mut self, measured: impl Into<String>) {
        self.measured.push(measured.into());
    }

    /// Counts as wrong unless `holds`.
    pub fn must(&mut self, holds: bool, otherwise: impl Into<String>) {
        if !holds {
            self.missed.push(Miss::Outcome(otherwise.into()));
        }
    }

    /// Counts as missed if `took` is longer than `bound`.
    pub fn within(&mut self, what: &str, took: Duration, bound: Duration) {
        if took > bound {
            self.missed.push(Miss::Bound(format!("{what} {} (bound {})", ms(took), ms(bound))));
        }
    }
}

// ===== impl Miss =====

impl std::fmt::Display for Miss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Outcome(text) | Self::Bound(text)) = self;
        f.write_str(text)
    }
}

/// A duration in the notation of the tables.
pub fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}
