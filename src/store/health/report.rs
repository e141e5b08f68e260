//! The health of a store at one moment, for readiness, metrics and the status page.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{Access, LinkPhase, Writes};

/// A [`StoreHealth`](super::StoreHealth) at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthReport {
    /// Whether every worker's link serves.
    pub up: bool,
    /// Whether any worker's breaker is open.
    pub breaker_open: bool,
    /// The time of the last change of `up`.
    pub since: SystemTime,
    /// The last error.
    pub last_error: Option<LastError>,
    /// How long the last outage lasted that is over.
    pub last_outage: Option<Duration>,
    /// The time until a link tries again, if one waits to do so.
    pub next_try: Option<Duration>,
    /// Whether the store accepts writes.
    pub writes: Writes,
    /// The links of all workers.
    pub links: LinkReport,
    /// The primaries of a cluster; empty for any other store.
    pub shards: Vec<ShardReport>,
    /// Whether the store's file may be written; `None` for a store that is not a file.
    pub access: Option<Access>,
}

/// The health of one primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardReport {
    /// Its address.
    pub name: Arc<str>,
    /// Whether every worker's link serves.
    pub up: bool,
    /// The time of the last change of `up`.
    pub since: SystemTime,
    /// Its links.
    pub links: LinkReport,
    /// Its last error.
    pub last_error: Option<LastError>,
}

/// An error of the store, in words for operators. Contains no keys, values or credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Its [kind](crate::store::BackendError::kind).
    pub kind: &'static str,
    /// The text of the error, with the server's code, the system's error or the file's name.
    pub cause: String,
    /// When it happened. An error of long ago says nothing about now.
    pub at: SystemTime,
}

/// The number of links in each phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkReport {
    /// Those that have not had a connection yet.
    pub connecting: usize,
    /// Those that answer requests.
    pub serving: usize,
    /// Those whose breaker is open.
    pub refusing: usize,
}

// ===== impl HealthReport =====

impl HealthReport {
    /// The primaries of a cluster that do not serve.
    pub fn down(&self) -> Vec<&str> {
        self.shards.iter().filter(|shard| !shard.up).map(|shard| &*shard.name).collect()
    }
}

// ===== impl LinkReport =====

impl LinkReport {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            connecting: self.connecting + other.connecting,
            serving: self.serving + other.serving,
            refusing: self.refusing + other.refusing,
        }
    }

    pub(super) fn are_gone(&self) -> bool {
        self.serving + self.connecting + self.refusing == 0
    }

    /// Whether there are links, and all of them serve.
    pub(super) fn are_up(&self) -> bool {
        self.serving > 0 && self.connecting == 0 && self.refusing == 0
    }

    pub(super) fn of(&mut self, phase: LinkPhase) -> &mut usize {
        match phase {
            LinkPhase::Connecting => &mut self.connecting,
            LinkPhase::Serving => &mut self.serving,
            LinkPhase::Refusing => &mut self.refusing,
        }
    }
}
