//! The shape of `/status.json`: the service writes it, and `scoring-api status` reads it.
//!
//! It contains names, numbers, addresses and causes. It never contains an account, a token, a salt, or a value of a call or a
//! store.

mod states;
mod time;

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

pub use self::{
    states::{ActorState, BreakerState, Level, ReloadOutcome, Severity, StoreState, WritesState},
    time::Time,
};

/// A text that is mostly a literal.
pub type Text = Cow<'static, str>;

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// The process.
    pub service: ServiceStatus,
    /// The effect on callers now, in one sentence.
    pub verdict: Verdict,
    /// Answered calls.
    pub calls: CallsStatus,
    /// The stores: first the cache, then the persistent one.
    pub stores: Vec<StoreStatus>,
    /// The actors of each worker.
    pub actors: Vec<WorkerStatus>,
    /// Connections, calls in flight and memory of bodies.
    pub resources: Resources,
    /// The scorecard in effect.
    pub card: CardStatus,
    /// The registered partners.
    pub partners: PartnersStatus,
    /// The last reload; `None` before the first one.
    pub last_reload: Option<LastReload>,
    /// The last changes, newest first.
    pub changes: Vec<Change>,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The program's name.
    pub name: Text,
    /// Its version.
    pub version: Text,
    /// The commit that it was built from, if that is known.
    pub revision: Option<Text>,
    /// When it started.
    pub started: Time,
    /// When this report was made.
    pub now: Time,
    /// The phase of its life: `starting`, `serving`, `draining` or `closing`.
    pub phase: Text,
}

/// The effect on callers now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// How good that is.
    pub level: Level,
    /// One sentence.
    pub sentence: String,
    /// The path of the runbook's section, if there is something to do.
    pub link: Option<Text>,
}

/// Answered calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallsStatus {
    /// By method; `other` are requests without a valid one.
    pub methods: Vec<MethodStatus>,
    /// Answers that are not 200, by reason. Reasons that have not occurred are left out.
    pub reasons: Vec<ReasonStatus>,
    /// The last five minutes.
    pub history: CallHistory,
}

/// The calls of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodStatus {
    /// Its name.
    pub method: Text,
    /// Answers in the last second.
    pub per_second: f64,
    /// The median time to an answer in the last ten seconds; `None` without calls.
    pub p50_ms: Option<f64>,
    /// The time in which 99 % of them were answered.
    pub p99_ms: Option<f64>,
    /// The promised time; `None` if nothing is promised.
    pub promise_ms: Option<u64>,
    /// Answers in the last second by status code. Codes that have not occurred are left out.
    pub codes: BTreeMap<Text, f64>,
}

/// Answers with one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReasonStatus {
    /// The reason, as in the log and the metrics.
    pub reason: Text,
    /// The reason in words.
    pub words: Text,
    /// Answers in the last second.
    pub per_second: f64,
    /// Answers in the last minute.
    pub last_minute: u64,
    /// Answers since the start.
    pub total: u64,
}

/// One number for each of the last 300 seconds, oldest first; fewer after a start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CallHistory {
    /// Answers a second.
    pub calls: Vec<f64>,
    /// Answers a second that are not 200.
    pub failed: Vec<f64>,
    /// The 99th percentile of `online_score`; `None` in a second without calls.
    pub score_p99_ms: Vec<Option<f64>>,
    /// The 99th percentile of `clients_interests`.
    pub interests_p99_ms: Vec<Option<f64>>,
}

/// The store of one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// `cache` or `persistent`.
    pub role: Text,
    /// The kind of the store, such as `redis`.
    pub kind: Text,
    /// Where it is, without credentials.
    pub address: String,
    /// Whether it serves.
    pub status: StoreState,
    /// The time of the last change of `status`.
    pub since: Time,
    /// The breaker; open if that of any worker is.
    pub breaker: BreakerState,
    /// The time until the next probe or connect, while the breaker is open.
    pub next_try_ms: Option<u64>,
    /// The links of all workers, by phase.
    pub links: LinksStatus,
    /// The last error, which may be long ago.
    pub last_error: Option<LastError>,
    /// Whether it takes writes.
    pub writes: WritesStatus,
    /// The primaries of a cluster; empty for any other store.
    pub shards: Vec<ShardStatus>,
    /// Look-ups of scores a second by result; only for the cache.
    pub lookups: Option<Lookups>,
    /// A remark in words, such as sentinels that do not answer.
    pub note: Option<String>,
}

/// The links to a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinksStatus {
    /// Those that serve.
    pub serving: usize,
    /// Those that had no connection yet.
    pub connecting: usize,
    /// Those whose breaker is open.
    pub refusing: usize,
}

/// An error of a store, without keys, values and credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// Its kind, as in the log and the runbook.
    pub kind: Text,
    /// The error in words.
    pub cause: String,
    /// When it occurred.
    pub at: Time,
}

/// Whether a store takes writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WritesStatus {
    /// Whether it does.
    pub status: WritesState,
    /// The time of the last change of `status`.
    pub since: Time,
    /// Why it does not, in words.
    pub cause: Option<String>,
}

/// A primary of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// Its address.
    pub shard: String,
    /// Whether it serves.
    pub status: StoreState,
    /// The time of the last change of `status`.
    pub since: Time,
    /// The links to it.
    pub links: LinksStatus,
    /// Its last error.
    pub last_error: Option<LastError>,
}

/// Look-ups of cached scores a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lookups {
    /// The near cache of this process had the score.
    pub near_hit: f64,
    /// The cache had it.
    pub hit: f64,
    /// The cache did not have it.
    pub miss: f64,
    /// The cache could not be asked.
    pub degraded: f64,
}

/// The actors of one worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// The worker's number, from 0.
    pub worker: usize,
    /// Its actors.
    pub actors: Vec<ActorStatus>,
}

/// One actor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActorStatus {
    /// Its name.
    pub actor: Text,
    /// Whether it works.
    pub status: ActorState,
    /// Messages that wait for it.
    pub mailbox: usize,
    /// The mean time that a message of the last second waited; 0 without messages.
    pub waited_ms: f64,
    /// Messages that it took in the last second.
    pub handled_per_second: f64,
    /// Restarts since the start.
    pub restarts: u64,
    /// The last restart.
    pub last_restart: Option<LastRestart>,
}

/// A restart of an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRestart {
    /// `panic`, `stop` or `stuck`.
    pub reason: Text,
    /// When it happened.
    pub at: Time,
    /// The place of a panic in the source.
    pub place: Option<String>,
    /// The message of a panic, if it is a literal of the source: any other message may contain a value of a call.
    pub message: Option<Text>,
}

/// Numbers that have a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Open connections of the public listener.
    pub connections: u64,
    /// Its maximum.
    pub connections_limit: u64,
    /// Connections that the kernel holds until there is room.
    pub connections_waiting: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// The maximum that is admitted.
    pub in_flight_limit: u64,
    /// The memory of request bodies.
    pub body_memory_bytes: u64,
    /// Its maximum.
    pub body_memory_limit_bytes: u64,
}

/// The scorecard in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardStatus {
    /// Its version.
    pub version: String,
    /// The digest of its meaning.
    pub digest: String,
    /// The version of the card that is compared with it.
    pub shadow: Option<String>,
}

/// The registered partners. They are counted and not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartnersStatus {
    /// Their number.
    pub count: usize,
    /// The digest of their file; `None` without one.
    pub digest: Option<String>,
}

/// A reload of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// When it ended.
    pub at: Time,
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// The names of the settings that changed.
    pub changed: Vec<String>,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When it was noticed, at most a second later.
    pub at: Time,
    /// How important it is.
    pub level: Severity,
    /// The change in words.
    pub text: String,
}
