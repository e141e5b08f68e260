//! The link: one role's connection to its store, kept alive, and what it costs to ask over it.
//!
//! A keeper task owns the connection: it connects, listens for its end, beats its heart, drops it when it has gone silent
//! and makes a new one, with backoff. Requests use the connection that is there. The breaker hears of everything and
//! decides whether requests may ask at all; only the keeper's own probes let it close again.
//!
//! Bound to one thread, like the actor that owns it, so nothing here is locked.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    select,
    sync::Notify,
    task::{AbortHandle, JoinHandle, spawn_local},
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    BackendError, Backoff, Breaker, BreakerPolicy, Connection, Connector, Monitor, Operation, Remedy, Role,
};

/// How a [`Link`] is kept. The defaults are what the service runs with; together they bring a store that has recovered
/// back into use within a second.
#[derive(Debug, Clone, Copy)]
pub struct LinkPolicy {
    /// The longest that one command may take before it counts against the store.
    pub timeout: Duration,
    /// When to stop asking.
    pub breaker: BreakerPolicy,
    /// How often an idle connection is tried with a read.
    pub heartbeat: Duration,
    /// How often that is done while the breaker is open.
    pub probe: Duration,
    /// How long an answer, or the rest of one, may be owed without a single byte coming back before the connection is
    /// given up.
    pub silence: Duration,
    /// How late the answer to a probe may be while bytes keep coming, before the connection is given up. Replies come in
    /// order, so this bounds the time of every reply, also of one that trickles for ever.
    pub patience: Duration,
    /// The wait between attempts to connect.
    pub reconnect: Backoff,
    /// The least wait when only an operator can help (wrong password, no rights); a jittered wait comes on top.
    pub denied: Duration,
}

impl LinkPolicy {
    /// The policy of a role whose commands may take `timeout` each.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            breaker: BreakerPolicy::default(),
            heartbeat: Duration::from_millis(250),
            probe: Duration::from_millis(50),
            silence: Duration::from_millis(350),
            patience: Duration::from_secs(6),
            reconnect: Backoff::new(Duration::from_millis(20), Duration::from_millis(200)),
            denied: Duration::from_secs(1),
        }
    }
}

/// How often silence is looked for.
const LISTEN_EVERY: Duration = Duration::from_millis(50);

/// A connection that lasted this long is replaced at once; one that did not counts as a failure to connect.
const LASTED: Duration = Duration::from_millis(50);

/// A replica that refuses writes is left for a freshly resolved address, but not more often than this.
const RERESOLVE_EVERY: Duration = Duration::from_secs(1);

/// See the [module](self). Dropping it ends the keeper and the connection.
#[derive(Debug)]
pub struct Link {
    shared: Rc<Shared>,
    keeper: AbortHandle,
}

/// A connection, and which one of the many that a link has had.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) generation: u64,
    pub(super) connection: Arc<dyn Connection>,
}

/// What the keeper and the requests share.
pub(super) struct Shared {
    pub(super) policy: LinkPolicy,
    pub(super) monitor: Monitor,
    live: RefCell<Option<Live>>,
    breaker: RefCell<Breaker>,
    /// Told whenever the connection or the breaker changes.
    changed: Notify,
    /// Tells the keeper to replace the connection, and why.
    replace: Notify,
    replace_because: RefCell<Option<BackendError>>,
    generation: Cell<u64>,
    reresolved: Cell<Option<Instant>>,
}

// ===== impl Link =====

impl Link {
    /// Starts a keeper on the current thread, and returns it too, since its end is the end of the link.
    ///
    /// Needs a `LocalSet`, which every actix worker is.
    pub fn start(
        connector: Arc<dyn Connector>,
        policy: LinkPolicy,
        monitor: Monitor,
    ) -> (Self, JoinHandle<()>) {
        let shared = Rc::new(Shared {
            policy,
            monitor,
            live: RefCell::default(),
            breaker: RefCell::new(Breaker::new(policy.breaker)),
            changed: Notify::new(),
            replace: Notify::new(),
            replace_because: RefCell::default(),
            generation: Cell::new(0),
            reresolved: Cell::new(None),
        });
        let keeper = spawn_local(keep(shared.clone(), connector));
        (Self { shared, keeper: keeper.abort_handle() }, keeper)
    }

    pub(super) fn shared(&self) -> Rc<Shared> {
        self.shared.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
        self.shared.detach();
    }
}

/// Connects, watches, and connects again, for as long as the link lives.
async fn keep(shared: Rc<Shared>, connector: Arc<dyn Connector>) {
    let policy = shared.policy;
    let mut random = fastrand::Rng::new();
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        let ended = match connector.connect().await {
            Ok(connection) => {
                shared.monitor.operation(Operation::Connect, None, begun.elapsed());
                shared.attach(connection.clone());
                let ended = shared.watch(connection.as_ref()).await;
                shared.detach();
                shared.monitor.connection_lost(&ended);
                failures = if begun.elapsed() >= LASTED { 0 } else { failures + 1 };
                ended
            }
            Err(error) => {
                shared.monitor.operation(Operation::Connect, Some(&error), begun.elapsed());
                failures += 1;
                error
            }
        };
        shared.count_failure(&ended, Instant::now());
        if ended.remedy() == Remedy::Wait {
            sleep(policy.denied + policy.denied.mul_f64(random.f64())).await;
        } else if failures > 0 {
            sleep(policy.reconnect.delay(failures, &mut random)).await;
        }
    }
}

// ===== impl Shared =====

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("breaker", &self.breaker).field("up", &self.live().is_some()).finish()
    }
}

impl Shared {
    /// Whether requests are to be refused without asking.
    pub(super) fn is_open(&self) -> bool {
        self.breaker.borrow().is_open()
    }

    /// The connection that is there, if there is one.
    pub(super) fn live(&self) -> Option<Live> {
        self.live.borrow().clone()
    }

    /// The connection that is there, or the next one; none as soon as the breaker is open.
    pub(super) async fn next_live(&self) -> Option<Live> {
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
    pub(super) fn succeeded(&self, operation: Operation, begun: Instant) {
        self.monitor.operation(operation, None, begun.elapsed());
        self.breaker.borrow_mut().succeeded();
    }

    /// A request that began at `begun` on the connection `generation` was not answered.
    ///
    /// A connection that broke is counted once, by the keeper, and not for each request that was under way on it. A
    /// wait that the caller's own deadline cut short says nothing about the store.
    pub(super) fn failed(&self, operation: Operation, error: &BackendError, generation: u64, begun: Instant) {
        self.monitor.operation(operation, Some(error), begun.elapsed());
        match error.remedy() {
            Remedy::BadValue | Remedy::DropWrite => {}
            Remedy::Reconnect | Remedy::Reresolve => self.replace(error, generation),
            Remedy::Retry
                if matches!(error, BackendError::TimedOut)
                    && begun.elapsed() < self.policy.timeout * 3 / 4 => {}
            Remedy::Retry | Remedy::Wait | Remedy::Configuration => self.count_failure(error, begun),
        }
    }

    /// A request that began at `begun` found no connection at all. Why there is none is the keeper's to say, and the request
    /// is counted by whoever asked, for it may have looked for a connection here and elsewhere.
    pub(super) fn found_no_connection(&self, begun: Instant) {
        let change = self.breaker.borrow_mut().failed(begun.into_std(), Instant::now().into_std());
        self.report(change);
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

    fn count_failure(&self, error: &BackendError, begun: Instant) {
        let change = self.breaker.borrow_mut().failed(begun.into_std(), Instant::now().into_std());
        self.monitor.failed(error);
        self.report(change);
    }

    fn report(&self, change: Option<super::Change>) {
        if let Some(change) = change {
            self.monitor.breaker(change);
            self.changed.notify_waiters();
        }
    }

    fn attach(&self, connection: Arc<dyn Connection>) {
        let generation = self.generation.get() + 1;
        self.generation.set(generation);
        self.monitor.access(connection.access());
        self.live.replace(Some(Live { generation, connection }));
        self.monitor.connected();
        self.changed.notify_waiters();
    }

    fn detach(&self) {
        if let Some(live) = self.live.take() {
            live.connection.close();
        }
    }

    /// Returns why the connection is of no use any more.
    async fn watch(&self, connection: &dyn Connection) -> BackendError {
        select! {
            error = connection.closed() => error,
            () = self.silence(connection) => BackendError::TimedOut,
            () = self.replace.notified() => self.replace_because.take().unwrap_or(BackendError::Protocol),
            error = self.beat(connection) => error,
        }
    }

    async fn silence(&self, connection: &dyn Connection) {
        while connection.silent_for() < self.policy.silence {
            sleep(LISTEN_EVERY).await;
        }
    }

    /// Reads from the store again and again, as a request of this role would, and tells the breaker. Returns when an
    /// answer shows that the connection must be replaced.
    ///
    /// The first read goes out at once: that a connection was made says nothing yet, since a proxy makes one and greets
    /// although its store is gone.
    async fn beat(&self, connection: &dyn Connection) -> BackendError {
        loop {
            let begun = Instant::now();
            let mut answer = probe(self.monitor.role(), connection);
            let answered = timeout(self.policy.timeout, &mut answer).await;
            let is_late = answered.is_err();
            let outcome = answered.unwrap_or(Err(BackendError::TimedOut));
            self.monitor.operation(Operation::Probe, outcome.as_ref().err(), begun.elapsed());
            match outcome {
                Ok(()) => {
                    let change = self.breaker.borrow_mut().probed(Instant::now().into_std());
                    self.report(change);
                }
                Err(error) if matches!(error.remedy(), Remedy::Reconnect | Remedy::Reresolve) => {
                    return error;
                }
                // Only an operator can help, and a new log-in after that: no use in asking this connection any more.
                Err(error) if error.remedy() == Remedy::Wait && self.is_open() => return error,
                Err(error) => {
                    self.count_failure(&error, begun);
                    // Slow is not dead: the next probe goes out when this one is answered, but not for ever.
                    if is_late && timeout_at(begun + self.policy.patience, answer).await.is_err() {
                        return BackendError::TimedOut;
                    }
                }
            }
            sleep(if self.is_open() { self.policy.probe } else { self.policy.heartbeat }).await;
        }
    }
}

/// Reads what hardly is there, with the very command that the role's requests use. A value of the wrong kind is an answer.
fn probe(role: Role, connection: &dyn Connection) -> BoxFuture<'static, Result<(), BackendError>> {
    let answer: BoxFuture<'static, Result<(), BackendError>> = match role {
        Role::Cache => {
            let reply = connection.get("uid:probe".to_owned());
            Box::pin(async { reply.await.map(drop) })
        }
        Role::Persistent => {
            let reply = connection.get_many(Arc::from(["i:probe".to_owned()]));
            Box::pin(async { reply.await.map(drop) })
        }
    };
    Box::pin(async {
        match answer.await {
            Err(error) if error.remedy() == Remedy::BadValue => Ok(()),
            outcome => outcome,
        }
    })
}

#[cfg(test)]
mod tests;
