//! The health of a store: the state of each role for readiness and metrics, and one log line for each change.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{Access, BackendError, BreakerPolicy, Change, Operation, Role, StoreMetrics};
use crate::wall_clock;

/// The health of one role over all workers.
#[derive(Debug)]
pub struct StoreHealth {
    role: Role,
    metrics: StoreMetrics,
    // A std lock: it is only taken when something changes, and nothing is awaited under it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The links that exist, in each phase.
    links: LinkCounts,
    since: SystemTime,
    last_error: Option<LastError>,
    access: Option<Access>,
    /// The last logged state. Links come and go with workers and restarts, and that is not logged.
    logged: Option<Logged>,
}

/// A state that was logged.
#[derive(Debug, Clone, Copy)]
struct Logged {
    up: bool,
    /// It is not changed before this time, because the links of a role may change in turn.
    until: Instant,
}

/// The number of links in each phase.
#[derive(Debug, Default)]
struct LinkCounts {
    connecting: usize,
    serving: usize,
    refusing: usize,
}

/// A [`StoreHealth`] at one moment.
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
    /// Whether the store's file may be written; `None` for a store that is not a file.
    pub access: Option<Access>,
}

/// An error of the store, in words for operators. Contains no keys, values or credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Its [kind](BackendError::kind).
    pub kind: &'static str,
    /// The text of the error, with the server's code, the system's error or the file's name.
    pub cause: String,
}

/// Whether a link answers requests. A lost connection does not end `Serving`: only the breaker decides on an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkPhase {
    /// It has not had a connection yet.
    Connecting,
    /// It has had a connection, and its breaker is closed.
    Serving,
    /// Its breaker is open.
    Refusing,
}

/// The health of one link, as a part of its role's [`StoreHealth`].
///
/// Operations of a link for writes are counted like all others. But no caller waits for a write, so the phase of such a
/// link does not count for its role.
#[derive(Debug)]
pub struct LinkHealth {
    store: Arc<StoreHealth>,
    is_for_writes: bool,
    phase: Cell<LinkPhase>,
}

// ===== impl StoreHealth =====

impl StoreHealth {
    /// The health of a role that has no links yet.
    pub fn new(role: Role, metrics: StoreMetrics) -> Arc<Self> {
        let state = State {
            links: LinkCounts::default(),
            since: wall_clock::now().into(),
            last_error: None,
            access: None,
            logged: None,
        };
        Arc::new(Self { role, metrics, state: Mutex::new(state) })
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The role's health now.
    pub fn report(&self) -> HealthReport {
        let state = self.lock();
        HealthReport {
            up: state.links.are_up(),
            breaker_open: state.links.refusing > 0,
            since: state.since,
            last_error: state.last_error.clone(),
            access: state.access,
        }
    }

    fn update(&self, change: impl FnOnce(&mut LinkCounts)) {
        let mut state = self.lock();
        let was_up = state.links.are_up();
        change(&mut state.links);
        let (up, open) = (state.links.are_up(), state.links.refusing > 0);
        if up != was_up {
            state.since = wall_clock::now().into();
        }
        drop(state);
        self.metrics.set_state(self.role, up, open);
    }

    /// Logs that the role is up or down, unless that was logged last, or a change was logged a moment ago. One link that
    /// refuses is an outage; a recovery is logged when all links serve.
    fn log_transition(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let up = state.links.are_up();
        if !up && state.links.refusing == 0 {
            return;
        }
        let hold = match state.logged {
            Some(logged) if logged.up == up || now < logged.until => return,
            Some(_) => BreakerPolicy::default().hold(!up),
            None => Duration::ZERO,
        };
        state.logged = Some(Logged { up, until: now + hold });
        let last = state.last_error.clone();
        drop(state);
        if up {
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

// ===== impl LinkCounts =====

impl LinkCounts {
    /// Whether there are links, and all of them serve.
    fn are_up(&self) -> bool {
        self.serving > 0 && self.connecting == 0 && self.refusing == 0
    }

    fn of(&mut self, phase: LinkPhase) -> &mut usize {
        match phase {
            LinkPhase::Connecting => &mut self.connecting,
            LinkPhase::Serving => &mut self.serving,
            LinkPhase::Refusing => &mut self.refusing,
        }
    }
}

// ===== impl LinkHealth =====

impl LinkHealth {
    /// The health of one more link of the role.
    pub fn new(store: Arc<StoreHealth>) -> Self {
        store.update(|links| links.connecting += 1);
        Self { store, is_for_writes: false, phase: LinkPhase::Connecting.into() }
    }

    /// The health of a link that the role uses for writes only.
    pub fn for_writes(store: Arc<StoreHealth>) -> Self {
        Self { store, is_for_writes: true, phase: LinkPhase::Connecting.into() }
    }

    /// The link's role.
    pub fn role(&self) -> Role {
        self.store.role
    }

    /// Counts an operation and, if it succeeded, its duration.
    pub fn count(&self, operation: Operation, error: Option<&BackendError>, took: Duration) {
        self.store.metrics.count(operation, error, took);
    }

    /// Publishes whether the file behind the link may be written; `None` if the store is not a file.
    pub fn set_access(&self, access: Option<Access>) {
        self.store.lock().access = access;
    }

    /// The link has a connection.
    pub fn connected(&self) {
        match self.phase.get() {
            LinkPhase::Connecting | LinkPhase::Serving => self.enter(LinkPhase::Serving),
            LinkPhase::Refusing => self.enter(LinkPhase::Refusing),
        }
    }

    /// The breaker changed.
    pub fn breaker_changed(&self, change: Change) {
        self.enter(match change {
            Change::Opened => LinkPhase::Refusing,
            Change::Closed => LinkPhase::Serving,
        });
    }

    /// A request or an attempt to connect failed.
    pub fn failed(&self, error: &BackendError) {
        if !self.is_for_writes {
            self.store.lock().last_error = Some(LastError { kind: error.kind(), cause: error.to_string() });
        }
        tracing::debug!(role = %self.role(), %error, "store failure");
    }

    /// A probe was sent and answered, or not: the time for a line of the log that came too soon after another one.
    pub fn probed(&self) {
        if !self.is_for_writes {
            self.store.log_transition();
        }
    }

    /// The connection ended.
    pub fn connection_lost(&self, error: &BackendError) {
        if self.is_for_writes {
            tracing::debug!(role = %self.role(), %error, "store connection for writes lost");
        } else {
            tracing::info!(role = %self.role(), %error, "store connection lost");
        }
    }

    fn enter(&self, phase: LinkPhase) {
        if self.is_for_writes {
            return;
        }
        let before = self.phase.replace(phase);
        self.store.update(|links| {
            *links.of(before) -= 1;
            *links.of(phase) += 1;
        });
        self.store.log_transition();
    }
}

impl Drop for LinkHealth {
    fn drop(&mut self) {
        if !self.is_for_writes {
            self.store.update(|links| *links.of(self.phase.get()) -= 1);
        }
    }
}

#[cfg(test)]
mod tests;
