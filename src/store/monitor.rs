//! What operators see of a store: metrics, the state of each role for readiness, and one log line per change.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{Access, BackendError, Change};
use crate::{units::LATENCY_BUCKETS, wall_clock};

/// What a store is used for. Each role has its own connections, time limit and breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Scores that can be computed again.
    Cache,
    /// Interests, which cannot.
    Persistent,
}

impl Role {
    /// The role's name in metrics, logs and readiness.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Persistent => "persistent",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What can be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making a connection.
    Connect,
    /// The link's own read, to see whether the store serves.
    Probe,
    /// Reading from the cache.
    Get,
    /// Writing to the cache.
    Set,
    /// Reading persistent data.
    GetMany,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Probe => "probe",
            Self::Get => "get",
            Self::Set => "set",
            Self::GetMany => "get_many",
        }
    }
}

/// The store's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    up: IntGaugeVec,
    breaker: IntGaugeVec,
    operations: IntCounterVec,
    durations: HistogramVec,
}

/// The state of one role over all workers.
#[derive(Debug)]
pub struct RoleStatus {
    role: Role,
    metrics: StoreMetrics,
    // A std lock: it is only taken when something changes, and nothing is awaited under it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Links that exist, and those of them that serve.
    links: usize,
    serving: usize,
    /// Links whose breaker is open.
    open: usize,
    since: SystemTime,
    last_error: Option<LastError>,
    access: Option<Access>,
    /// What the log said last: up or down. Links come and go with workers and restarts, which is no news of the store.
    logged: Option<bool>,
}

/// A [`RoleStatus`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSnapshot {
    /// Whether every worker's link serves.
    pub up: bool,
    /// Whether any worker's breaker is open.
    pub breaker_open: bool,
    /// Since when it has been up, or not.
    pub since: SystemTime,
    /// The last error.
    pub last_error: Option<LastError>,
    /// Whether the store's file may be written; `None` for a store that is not a file.
    pub access: Option<Access>,
}

/// An error of the store, in words for operators. Contains no keys, values or credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Its [kind](BackendError::kind).
    pub kind: &'static str,
    /// The text of the error, with the code of the server, the error of the system or the name of the file.
    pub cause: String,
}

/// One link's view of its [`RoleStatus`]. A link serves from its first connection on, while its breaker is closed.
///
/// What a link for writes alone asks is counted like everything else; but writes that fail stop nothing that anybody waits
/// for, so its state is none of the role's.
#[derive(Debug)]
pub struct Monitor {
    status: Arc<RoleStatus>,
    is_for_writes: bool,
    serving: Cell<bool>,
    open: Cell<bool>,
}

// ===== impl StoreMetrics =====

impl StoreMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// If one of them is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            up: IntGaugeVec::new(
                Opts::new("scoring_store_up", "Whether the store serves (1) or not (0)."),
                &["role"],
            )?,
            breaker: IntGaugeVec::new(
                Opts::new("scoring_store_breaker_state", "The circuit breaker: closed (0) or open (1)."),
                &["role"],
            )?,
            operations: IntCounterVec::new(
                Opts::new(
                    "scoring_store_operations_total",
                    "What was asked of the store, and what came of it.",
                ),
                &["op", "outcome"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new("scoring_store_operation_duration_seconds", "How long the store took.")
                    .buckets(LATENCY_BUCKETS.to_vec()),
                &["op"],
            )?,
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        Ok(metrics)
    }
}

// ===== impl RoleStatus =====

impl RoleStatus {
    /// A role that has no links yet.
    pub fn new(role: Role, metrics: StoreMetrics) -> Arc<Self> {
        let state = State {
            links: 0,
            serving: 0,
            open: 0,
            since: wall_clock::now().into(),
            last_error: None,
            access: None,
            logged: None,
        };
        Arc::new(Self { role, metrics, state: Mutex::new(state) })
    }

    /// Which role it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The role's state now.
    pub fn snapshot(&self) -> RoleSnapshot {
        let state = self.lock();
        RoleSnapshot {
            up: state.is_up(),
            breaker_open: state.open > 0,
            since: state.since,
            last_error: state.last_error.clone(),
            access: state.access,
        }
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        let was_up = state.is_up();
        change(&mut state);
        let (up, open) = (state.is_up(), state.open > 0);
        if up != was_up {
            state.since = wall_clock::now().into();
        }
        drop(state);
        let role = [self.role.as_str()];
        self.metrics.up.with_label_values(&role).set(up.into());
        self.metrics.breaker.with_label_values(&role).set(open.into());
    }

    /// Logs what a link found out about the store, if the log does not say so already.
    fn tell(&self, serving: bool) {
        let mut state = self.lock();
        let news = if serving { state.is_up().then_some(true) } else { Some(false) };
        if news.is_none() || news == state.logged {
            return;
        }
        state.logged = news;
        let last = state.last_error.clone();
        drop(state);
        if serving {
            tracing::info!(role = %self.role, "store is up");
        } else {
            let (error, cause) = last.map_or(("none", None), |last| (last.kind, Some(last.cause)));
            tracing::warn!(role = %self.role, error, cause, "store is down");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_up(&self) -> bool {
        self.links > 0 && self.serving == self.links
    }
}

// ===== impl Monitor =====

impl Monitor {
    /// A monitor for one more link of the role.
    pub fn new(status: Arc<RoleStatus>) -> Self {
        status.update(|state| state.links += 1);
        Self { status, is_for_writes: false, serving: false.into(), open: false.into() }
    }

    /// A monitor for a link that the role has for writes alone.
    pub fn for_writes(status: Arc<RoleStatus>) -> Self {
        Self { status, is_for_writes: true, serving: false.into(), open: false.into() }
    }

    /// The link's role.
    pub fn role(&self) -> Role {
        self.status.role
    }

    /// Counts an operation and, if it was answered, how long that took.
    pub fn operation(&self, operation: Operation, error: Option<&BackendError>, took: Duration) {
        let metrics = &self.status.metrics;
        let outcome = error.map_or("ok", BackendError::kind);
        metrics.operations.with_label_values(&[operation.as_str(), outcome]).inc();
        if error.is_none() {
            metrics.durations.with_label_values(&[operation.as_str()]).observe(took.as_secs_f64());
        }
    }

    /// Whether the file behind the link may be written; `None` if the store is not a file.
    pub fn access(&self, access: Option<Access>) {
        self.status.lock().access = access;
    }

    /// The link has a connection.
    pub fn connected(&self) {
        self.set(!self.open.get(), self.open.get());
    }

    /// The breaker changed.
    pub fn breaker(&self, change: Change) {
        match change {
            Change::Opened => self.set(false, true),
            Change::Closed => self.set(true, false),
        }
    }

    /// Something failed.
    pub fn failed(&self, error: &BackendError) {
        if !self.is_for_writes {
            self.status.lock().last_error = Some(LastError { kind: error.kind(), cause: error.to_string() });
        }
        tracing::debug!(role = %self.role(), %error, "store failure");
    }

    /// The connection ended.
    pub fn connection_lost(&self, error: &BackendError) {
        if self.is_for_writes {
            tracing::debug!(role = %self.role(), %error, "store connection for writes lost");
        } else {
            tracing::info!(role = %self.role(), %error, "store connection lost");
        }
    }

    fn set(&self, serving: bool, open: bool) {
        if self.is_for_writes {
            return;
        }
        let (was_serving, was_open) = (self.serving.replace(serving), self.open.replace(open));
        self.status.update(|state| {
            state.serving = state.serving + usize::from(serving) - usize::from(was_serving);
            state.open = state.open + usize::from(open) - usize::from(was_open);
        });
        self.status.tell(serving);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.is_for_writes {
            return;
        }
        self.status.update(|state| {
            state.links -= 1;
            state.serving -= usize::from(self.serving.get());
            state.open -= usize::from(self.open.get());
        });
    }
}

#[cfg(test)]
mod tests;
