//! The health of a store: the state of each role for readiness and metrics, and one log line for each change.

mod report;

use std::{
    cell::Cell,
    collections::BTreeMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    Access, BackendError, BreakerPolicy, Change, Operation, Role, StoreMetrics, Writes,
    metrics::OperationMetrics, writes::WriteWatch,
};
use crate::{units::millis, wall_clock};

pub use self::report::{HealthReport, LastError, LinkReport, ShardReport};

/// Maximum shards that have a name of their own in metrics, logs and readiness; the rest share one.
const MOST_SHARDS: usize = 64;
const OTHER_SHARDS: &str = "others";

/// The health of one role over all workers.
#[derive(Debug)]
pub struct StoreHealth {
    role: Role,
    address: String,
    metrics: StoreMetrics,
    operations: OperationMetrics,
    writes: WriteWatch,
    // A std lock: it is only taken when something changes, and nothing is awaited under it.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By the addresses of a cluster's primaries, also of those that have left. A store that is no cluster, or whose primaries are not known, is one shard with
    /// an empty name.
    shards: BTreeMap<Arc<str>, ShardState>,
    since: SystemTime,
    last_error: Option<LastError>,
    /// How long the last outage lasted that is over.
    last_outage: Option<Duration>,
    /// When a link tries again, if one waits to do so.
    next_try: Option<Instant>,
    access: Option<Access>,
    /// Whether it was logged that the store is a cluster and its URL is not that of one.
    has_warned: bool,
}

/// A part of the store that fails alone.
#[derive(Debug)]
struct ShardState {
    /// The links that exist, in each phase.
    links: LinkReport,
    /// The time of the last change between up and down.
    since: SystemTime,
    last_error: Option<LastError>,
    /// The last logged state. Links come and go with workers and restarts, and that is not logged.
    logged: Option<Logged>,
}

/// A state that was logged.
#[derive(Debug, Clone, Copy)]
struct Logged {
    up: bool,
    at: Instant,
    /// It is not changed before this time, because the links of a role may change in turn.
    until: Instant,
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
/// link does not count for its role. The same holds for a node of a cluster that owns no slots.
#[derive(Debug)]
pub struct LinkHealth {
    store: Arc<StoreHealth>,
    /// `None` for a link that does not count.
    shard: Option<Arc<str>>,
    phase: Cell<LinkPhase>,
}

// ===== impl StoreHealth =====

impl StoreHealth {
    /// The health of a role that has no links yet. `address` is the place of its store, for operators, without credentials.
    pub fn new(role: Role, address: String, metrics: StoreMetrics) -> Arc<Self> {
        let state = State {
            shards: BTreeMap::new(),
            since: wall_clock::now().into(),
            last_error: None,
            last_outage: None,
            next_try: None,
            access: None,
            has_warned: false,
        };
        let operations = metrics.operations_of(role);
        let writes = WriteWatch::new(role, address.clone(), metrics.writes_refused(role));
        Arc::new(Self { role, address, metrics, operations, writes, state: Mutex::new(state) })
    }

    /// The place of the store, without credentials.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The role.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The name under which a shard is published. The number of names is limited.
    fn name_of(&self, shard: &str) -> Arc<str> {
        let mut state = self.lock();
        if state.shards.len() >= MOST_SHARDS {
            state.shards.retain(|_, shard| !shard.links.are_gone());
        }
        match state.shards.get_key_value(shard) {
            Some((name, _)) => name.clone(),
            None if state.shards.len() < MOST_SHARDS => shard.into(),
            None => OTHER_SHARDS.into(),
        }
    }

    /// The role's health now.
    pub fn report(&self) -> HealthReport {
        let state = self.lock();
        HealthReport {
            up: state.is_up(),
            breaker_open: state.links().any(|(_, links)| links.refusing > 0),
            since: state.since,
            last_error: state.last_error.clone(),
            last_outage: state.last_outage,
            next_try: state.next_try.map(|at| at.saturating_duration_since(Instant::now())),
            writes: self.writes.report(),
            links: state.links().fold(LinkReport::default(), |sum, (_, links)| sum.plus(*links)),
            shards: state.shards().collect(),
            access: state.access,
        }
    }

    fn update(&self, name: &Arc<str>, change: impl FnOnce(&mut LinkReport)) {
        let now: SystemTime = wall_clock::now().into();
        let mut state = self.lock();
        let was_up = state.is_up();
        let shard = state.shards.entry(name.clone()).or_insert_with(|| ShardState::new(now));
        let shard_was_up = shard.links.are_up();
        change(&mut shard.links);
        let links = shard.links;
        let (up, open, is_gone) = (links.are_up(), links.refusing > 0, links.are_gone());
        if up != shard_was_up {
            shard.since = now;
        }
        let is_last = state.links().next().is_none();
        if state.is_up() != was_up {
            state.since = now;
        }
        if state.is_up() {
            state.next_try = None;
        }
        // Under the lock, because links of several threads change at the same moment: the last change is to be the last value.
        if is_gone && !(name.is_empty() && is_last) {
            self.metrics.forget(self.role, name);
        } else {
            self.metrics.set_state(self.role, name, up, open);
        }
    }

    /// Logs that a shard is up or down, unless that was logged last, or a change was logged a moment ago. One link that
    /// refuses is an outage; a recovery is logged when all links serve.
    fn log_transition(&self, name: &Arc<str>) {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(shard) = state.shards.get_mut(name) else { return };
        let up = shard.links.are_up();
        if !up && shard.links.refusing == 0 {
            return;
        }
        let before = shard.logged;
        if before.is_some_and(|logged| logged.up == up || now < logged.until) {
            return;
        }
        shard.logged = Some(Logged { up, at: now, until: now + BreakerPolicy::default().hold(!up) });
        let last = shard.last_error.clone();
        let outage = before.filter(|logged| up && !logged.up).map(|logged| now - logged.at);
        state.last_outage = outage.or(state.last_outage);
        drop(state);
        let (role, address, shard) =
            (self.role, &self.address, Some(&**name).filter(|name| !name.is_empty()));
        if up {
            tracing::info!(%role, address, shard, down_ms = outage.map(millis), "store is up");
        } else {
            let (error, cause) = last.map_or(("none", None), |last| (last.kind, Some(last.cause)));
            tracing::warn!(%role, address, shard, error, cause, "store is down");
        }
    }

    /// Logs once that the store is a cluster and its URL is not that of one.
    fn warn_of_cluster(&self, error: &BackendError) {
        if matches!(error, BackendError::Redirected(_) | BackendError::CrossSlot)
            && !mem::replace(&mut self.lock().has_warned, true)
        {
            tracing::warn!(role = %self.role, %error, "the store is a cluster, and its URL is that of one server");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl State =====

impl State {
    /// Whether there are links, and all of them serve.
    fn is_up(&self) -> bool {
        self.links().next().is_some() && self.links().all(|(_, links)| links.are_up())
    }

    /// The primaries of a cluster that have links.
    fn shards(&self) -> impl Iterator<Item = ShardReport> {
        let named = self.shards.iter().filter(|(name, shard)| !name.is_empty() && !shard.links.are_gone());
        named.map(|(name, shard)| ShardReport {
            name: name.clone(),
            up: shard.links.are_up(),
            since: shard.since,
            links: shard.links,
            last_error: shard.last_error.clone(),
        })
    }

    /// The shards that have links.
    fn links(&self) -> impl Iterator<Item = (&Arc<str>, &LinkReport)> {
        let all = self.shards.iter().map(|(name, shard)| (name, &shard.links));
        all.filter(|(_, links)| !links.are_gone())
    }
}

// ===== impl ShardState =====

impl ShardState {
    fn new(now: SystemTime) -> Self {
        Self { links: LinkReport::default(), since: now, last_error: None, logged: None }
    }
}

// ===== impl LinkHealth =====

impl LinkHealth {
    /// The health of one more link of the role.
    pub fn new(store: Arc<StoreHealth>) -> Self {
        Self::of_shard(store, "")
    }

    /// The health of one more link to a primary of a cluster.
    pub fn of_shard(store: Arc<StoreHealth>, shard: &str) -> Self {
        let shard = store.name_of(shard);
        store.update(&shard, |links| links.connecting += 1);
        Self { store, shard: Some(shard), phase: LinkPhase::Connecting.into() }
    }

    /// The health of a link that the role uses for writes only, or for a node without slots.
    pub fn uncounted(store: Arc<StoreHealth>) -> Self {
        Self { store, shard: None, phase: LinkPhase::Connecting.into() }
    }

    /// The link's role.
    pub fn role(&self) -> Role {
        self.store.role
    }

    /// Counts an operation and, if it succeeded, its duration.
    pub fn count(&self, operation: Operation, error: Option<&BackendError>, took: Duration) {
        self.store.operations.count(operation, error, took);
        match error {
            Some(error) => {
                self.store.warn_of_cluster(error);
                if operation == Operation::Set {
                    self.store.writes.failed(error);
                }
            }
            None if operation == Operation::Set => self.store.writes.accepted(),
            None => {}
        }
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
        if let Some(shard) = &self.shard {
            let last =
                LastError { kind: error.kind(), cause: error.to_string(), at: wall_clock::now().into() };
            let mut state = self.store.lock();
            if let Some(shard) = state.shards.get_mut(shard) {
                shard.last_error = Some(last.clone());
            }
            state.last_error = Some(last);
        }
        tracing::debug!(role = %self.role(), %error, "store failure");
    }

    /// The link waits until `at` before it tries again.
    pub fn tries_again(&self, at: Instant) {
        if self.shard.is_some() {
            self.store.lock().next_try = Some(at);
        }
    }

    /// A probe was sent and answered, or not: the time for a line of the log that came too soon after another one.
    pub fn probed(&self) {
        if let Some(shard) = &self.shard {
            self.store.log_transition(shard);
        }
    }

    /// The connection ended.
    pub fn connection_lost(&self, error: &BackendError) {
        let (role, address) = (self.role(), &self.store.address);
        match self.shard.as_deref() {
            None => tracing::debug!(%role, address, %error, "store connection for writes lost"),
            Some("") => tracing::info!(%role, address, %error, "store connection lost"),
            Some(shard) => tracing::info!(%role, address, shard, %error, "store connection lost"),
        }
    }

    fn enter(&self, phase: LinkPhase) {
        let Some(shard) = &self.shard else { return };
        let before = self.phase.replace(phase);
        self.store.update(shard, |links| {
            *links.of(before) -= 1;
            *links.of(phase) += 1;
        });
        self.store.log_transition(shard);
    }
}

impl Drop for LinkHealth {
    fn drop(&mut self) {
        if let Some(shard) = &self.shard {
            self.store.update(shard, |links| *links.of(self.phase.get()) -= 1);
        }
    }
}

#[cfg(test)]
mod tests;
