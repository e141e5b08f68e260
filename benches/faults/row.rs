//! What a row of the fault table is made of.

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use testkit::Rule;

/// One row, or one of its cases.
pub struct Row {
    /// The row's number, and the case's name if it has several: `03_script`.
    pub id: &'static str,
    pub fault: &'static str,
    pub must: &'static str,
    pub kind: Kind,
}

pub enum Kind {
    /// The store or the way to it breaks, under a steady load.
    Store(Expected),
    /// Something else breaks: a procedure of its own.
    Own(fn() -> LocalBoxFuture<'static, Outcome>),
    /// It cannot be provoked from outside a release binary, or is cheaper to show in a test: this one.
    Test(&'static str),
    /// This version does not have what the row is about.
    Absent(&'static str),
}

/// A fault of the store, what must come of it, and how long that may take.
#[derive(Clone, Copy)]
pub struct Expected {
    pub cause: Cause,
    pub interests: Interests,
    /// What `/readyz` says at the end of the fault; none if that may be either.
    pub readiness: Option<&'static str>,
    pub bounds: Bounds,
    /// From the end of the fault until all is OK; none if all is OK throughout.
    pub recovery: Option<Duration>,
}

#[derive(Clone, Copy)]
pub struct Bounds {
    /// The worst `online_score`.
    pub score: Duration,
    /// The worst `clients_interests`.
    pub interests: Duration,
    /// What `online_score` may cost more than with a healthy store (at the 99th percentile), once the breaker is open.
    pub open_score: Option<Duration>,
    /// `clients_interests` at the 99th percentile, once the breaker is open.
    pub open_interests: Option<Duration>,
}

/// What happens to the store. Each needs a certain store: see `world.rs`.
#[derive(Clone, Copy)]
pub enum Cause {
    // In a store inside this process.
    DownAtStart,
    Replies(fn() -> Rule),
    /// Replies to reads are cut off now and then.
    CutsNowAndThen,
    Freeze,
    Clog,
    Flap,
    WrongPassword,
    MaxClients,
    BadInterests(Bad),
    BadScores,
    DroppedWhileIdle,
    // On the way to it.
    Latency(Duration),
    Loss(f64),
    // In a real Redis.
    Kill9,
    Stop,
    Script,
    /// As `Script`, on database 3, and the server refuses to choose it meanwhile. Database 0 has other interests.
    ScriptOnDatabase3,
    ClientKill,
    PauseWrites,
}

#[derive(Clone, Copy)]
pub enum Bad {
    Type,
    Value,
}

/// What `clients_interests` must answer during the fault.
#[derive(Clone, Copy)]
pub enum Interests {
    /// 200, all of them.
    Served,
    /// 200, at least so many per cent; else 503.
    Mostly(f64),
    /// 503, all of them, from a moment after the onset.
    Refused,
    /// 200 or 503.
    Either,
}

/// What a row's own procedure found.
#[derive(Default)]
pub struct Outcome {
    /// What was measured, in words.
    pub measured: Vec<String>,
    pub missed: Vec<Miss>,
}

/// How a row missed what it must show.
#[derive(Debug, Clone)]
pub enum Miss {
    /// Something wrong came of it.
    Outcome(String),
    /// What came of it is right but was late.
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

/// A duration as the tables have it.
pub fn ms(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1e3;
    if ms < 9.95 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}
