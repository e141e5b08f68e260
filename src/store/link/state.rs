//! The state that the keeper and the requests share: the connection, the breaker, and the reason to replace the
//! connection.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::LinkPolicy;
use crate::store::{BackendError, Breaker, Change, Connection, LinkHealth, Operation, Remedy};

/// A replica that rejects writes is left for a newly resolved address, but not more often than this.
const RERESOLVE_EVERY: Duration = Duration::from_secs(1);

/// A connection, and its number among the connections of the link.
#[derive(Clone)]
pub(in crate::store) struct LiveConnection {
    pub(in crate::store) generation: u64,
    pub(in crate::store) connection: Arc<dyn Connection>,
    /// Whether it has answered a probe.
    pub(in crate::store) has_answered: Rc<Cell<bool>>,
}

/// The state that the keeper and the requests share.
pub(in crate::store) struct LinkState {
    pub(in crate::store) policy: LinkPolicy,
    pub(in crate::store) health: LinkHealth,
    live: RefCell<Option<LiveConnection>>,
    breaker: RefCell<Breaker>,
    /// Notified when the connection or the breaker changes.
    changed: Notify,
    /// Makes the keeper replace the connection.
    replace: Notify,
    replace_because: RefCell<Option<BackendError>>,
    generation: Cell<u64>,
    reresolved: Cell<Option<Instant>>,
}

// ===== impl LinkState =====

impl std::fmt::Debug for LinkState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("breaker", &self.breaker).field("up", &self.live().is_some()).finish()
    }
}

impl LinkState {
    pub(super) fn new(policy: LinkPolicy, health: LinkHealth) -> Self {
        Self {
            policy,
            health,
            live: RefCell::default(),
            breaker: RefCell::new(Breaker::new(policy.breaker)),
            changed: Notify::new(),
            replace: Notify::new(),
            replace_because: RefCell::default(),
            generation: Cell::new(0),
            reresolved: Cell::new(None),
        }
    }

    /// Whether requests are rejected without asking.
    pub(in crate::store) fn is_open(&self) -> bool {
        self.breaker.borrow().is_open()
    }

    /// The current connection.
    pub(in crate::store) fn live(&self) -> Option<LiveConnection> {
        self.live.borrow().clone()
    }

    /// The current connection, or the next one; `None` as soon as the breaker is open.
    pub(in crate::store) async fn next_live(&self) -> Option<LiveConnection> {
        loop {
            let changed = self.changed.notified();
            if self.is_open() {
                return None;
            }
            if let Some(live) = self.live() {
                return Some(live);
            }
            changed.await;
        }
    }

    /// A request that began at `begun` was answered.
    pub(in crate::store) fn succeeded(&self, operation: Operation, begun: Instant) {
        self.health.count(operation, None, begun.elapsed());
        self.breaker.borrow_mut().succeeded();
    }

    /// A request that began at `begun` on the connection `generation` failed.
    ///
    /// The loss of a connection is counted once, by the keeper, and not for each request in flight. A wait that the
    /// caller's own deadline cut short proves nothing about the store.
    pub(in crate::store) fn failed(
        &self,
        operation: Operation,
        error: &BackendError,
        generation: u64,
        begun: Instant,
    ) {
        self.health.count(operation, Some(error), begun.elapsed());
        match error.remedy() {
            Remedy::BadValue | Remedy::DropWrite => {}
            Remedy::Reconnect | Remedy::Reresolve => self.replace(error, generation),
            Remedy::Retry
                if matches!(error, BackendError::TimedOut)
                    && begun.elapsed() < self.policy.timeout * 3 / 4 => {}
            Remedy::Retry | Remedy::Wait | Remedy::Configuration => self.count_failure(error, begun),
        }
    }

    /// A request that began at `begun` found no connection. The keeper reports the reason, and the caller counts the
    /// request, because it may have looked for a connection in several links.
    pub(in crate::store) fn found_no_connection(&self, begun: Instant) {
        let change = self.breaker.borrow_mut().failed(begun.into_std(), Instant::now().into_std());
        self.report(change);
    }

    /// A probe was answered.
    pub(super) fn probed(&self) {
        self.live.borrow().iter().for_each(|live| live.has_answered.set(true));
        let change = self.breaker.borrow_mut().probed(Instant::now().into_std());
        self.report(change);
    }

    /// Resolves to the reason when a request needs another connection.
    pub(super) async fn replaced(&self) -> BackendError {
        self.replace.notified().await;
        self.replace_because.take().unwrap_or(BackendError::Protocol)
    }

    fn replace(&self, error: &BackendError, generation: u64) {
        if self.live().is_none_or(|live| live.generation != generation) {
            return;
        }
        if error.remedy() == Remedy::Reresolve {
            if self.reresolved.get().is_some_and(|at| at.elapsed() < RERESOLVE_EVERY) {
                return;
            }
            self.reresolved.set(Some(Instant::now()));
        }
        self.replace_because.replace(Some(error.clone()));
        self.replace.notify_waiters();
    }

    pub(super) fn count_failure(&self, error: &BackendError, begun: Instant) {
        let change = self.breaker.borrow_mut().failed(begun.into_std(), Instant::now().into_std());
        self.health.failed(error);
        self.report(change);
    }

    /// The server has rejected the log-in, and only an operator can help.
    pub(super) fn count_rejection(&self, error: &BackendError) {
        let change = self.breaker.borrow_mut().rejected(Instant::now().into_std());
        self.health.failed(error);
        self.report(change);
    }

    fn report(&self, change: Option<Change>) {
        if let Some(change) = change {
            self.health.breaker_changed(change);
            self.changed.notify_waiters();
        }
    }

    pub(super) fn attach(&self, connection: Arc<dyn Connection>) {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        self.health.set_access(connection.access());
        self.live.replace(Some(LiveConnection { generation, connection, has_answered: Rc::default() }));
        self.health.connected();
        self.changed.notify_waiters();
    }

    pub(super) fn detach(&self) {
        if let Some(live) = self.live.take() {
            live.connection.close();
        }
    }
}
