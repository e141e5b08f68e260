//! The persistent half of a store: a read is tried until its deadline, and every failure is an error.

mod blame;
mod faulty;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use futures_util::future::select_all;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep_until, timeout_at},
};

use self::{
    blame::Suspicion,
    faulty::{Faulty, Judgement},
};
use super::{
    BackendError, Backoff, Connection, Found, Link, Operation, Remedy, ReplyFuture, StoreError,
    budget::RetryBudget,
    link::{LinkState, LiveConnection},
};

/// The wait between two tries of a read.
const BETWEEN_TRIES: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(40));

/// The persistent half of a store. A read is tried until its deadline, and every failure is an error.
#[derive(Debug, Clone)]
pub struct PersistentReader {
    /// A read takes the link whose connection has been silent for the shortest time.
    links: Rc<[Rc<LinkState>]>,
    attempts: usize,
    budget: Rc<RefCell<RetryBudget>>,
    faulty: Rc<RefCell<Faulty>>,
    /// Held by the one read that is retried although its values are large.
    trials: Arc<Mutex<()>>,
}

// ===== impl PersistentReader =====

/// The values of a read, in the order of its keys.
type Values = Vec<Option<Vec<u8>>>;

/// Sends a read over a connection.
type Ask<A> = fn(&dyn Connection, Arc<[String]>) -> ReplyFuture<A>;

/// A read, over all its tries.
struct Read<A> {
    ask: Ask<A>,
    keys: Arc<[String]>,
    deadline: Instant,
    suspicion: Suspicion,
    pending: Option<PendingRead<A>>,
    /// The number of times that it was sent.
    sent: usize,
    /// The number of tries that timed out.
    timeouts: usize,
    /// Whether its connection was lost, so that it must be sent again.
    is_lost: bool,
    /// Whether it may be sent again without the budget: the connection that was lost had answered, so the loss is not an outage
    /// yet.
    lost_a_good_one: Free,
}

/// One send that costs no retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Free {
    Not,
    Now,
    Used,
}

/// A read in flight, and its connection.
struct PendingRead<A> {
    handle: Handle,
    reply: ReplyFuture<A>,
}

/// The outcome of one try.
enum Tried<A> {
    Answered(A),
    Failed(BackendError, Handle),
    /// With the connection that was asked, if there was one.
    TimedOut(Option<Handle>),
}

/// A connection of one of the links, to report a failure to the right link.
#[derive(Clone)]
struct Handle {
    link: Rc<LinkState>,
    live: LiveConnection,
}

impl PersistentReader {
    /// Reads over `links`, at least one, with up to `attempts` tries for each read.
    pub fn new(links: &[Link], attempts: usize) -> Self {
        let links = links.iter().map(Link::state).collect();
        Self { links, attempts, budget: Rc::default(), faulty: Rc::default(), trials: Arc::default() }
    }

    /// Reads all `keys`, in their order, by `deadline` at the latest.
    ///
    /// Each try uses the connection that has been silent for the shortest time, and may take the link's timeout. The
    /// next try goes on waiting for the same reply while that connection lasts, because sending the read again would
    /// multiply the load of a slow store. A read that is sent again after a loss is taken off the retry budget, except the first time that a connection is lost which had answered:
    /// all reads in flight on it are sent again, however many they are. The
    /// number of tries limits both the sends and the timeouts of a read: after a timeout and a lost connection it may
    /// still be sent again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] at once if the breaker is open. [`StoreError::BadValue`],
    /// [`StoreError::CrossSlot`] and [`StoreError::TooLarge`] are not retried; for several keys they come as
    /// [`StoreError::AtFault`]. A question whose answer was too large is rejected for a second without asking.
    pub async fn get_many(&self, keys: Arc<[String]>, deadline: Instant) -> Result<Values, StoreError> {
        self.ask(keys, deadline, |connection, keys| connection.get_many(keys)).await
    }

    /// As [`get_many`](Self::get_many), for a shard of a cluster. With `asking`, the keys' slots are being moved to it.
    pub(super) async fn get_each(
        &self,
        keys: Arc<[String]>,
        asking: bool,
        deadline: Instant,
    ) -> Result<Vec<Found>, StoreError> {
        let ask: Ask<_> = if asking {
            |connection, keys| connection.get_each(keys, true)
        } else {
            |connection, keys| connection.get_each(keys, false)
        };
        self.ask(keys, deadline, ask).await
    }

    /// Whether a read would be rejected at once.
    pub(super) fn refuses(&self) -> bool {
        self.links.iter().all(|link| link.is_open())
    }

    async fn ask<A: 'static>(
        &self,
        keys: Arc<[String]>,
        deadline: Instant,
        ask: Ask<A>,
    ) -> Result<A, StoreError> {
        let judgement = self.faulty.borrow_mut().judge(&keys, Instant::now());
        match judgement {
            Judgement::Unknown => self.read(keys, deadline, Suspicion::default(), ask).await,
            Judgement::AtFault(positions) => Err(self.reject(&keys, positions)),
            Judgement::TryAgain => {
                let outcome = self.read(keys.clone(), deadline, Suspicion::again(), ask).await;
                if outcome.is_ok() {
                    self.faulty.borrow_mut().forget(&keys);
                }
                outcome
            }
        }
    }

    async fn read<A: 'static>(
        &self,
        keys: Arc<[String]>,
        deadline: Instant,
        suspicion: Suspicion,
        ask: Ask<A>,
    ) -> Result<A, StoreError> {
        self.budget.borrow_mut().earn();
        let mut read = Read {
            ask,
            keys,
            deadline,
            suspicion,
            pending: None,
            sent: 0,
            timeouts: 0,
            is_lost: false,
            lost_a_good_one: Free::Not,
        };
        let mut last = StoreError::TimedOut;
        while read.timeouts < self.attempts {
            if let Some(lost) = read.pending.take_if(|pending| !pending.handle.is_current()) {
                read.lose(&lost.handle);
            }
            let begun = Instant::now();
            if read.pending.is_none() && read.suspicion.needs_sizes() {
                if begun >= deadline {
                    break;
                }
                let mut asked = None;
                let sizes = self.sizes(&read.keys, &mut asked);
                let Ok(sizes) = timeout_at(self.limit(begun, deadline), sizes).await else {
                    read.timeouts += 1;
                    last = self.timed_out(asked.as_ref(), begun);
                    continue;
                };
                read.suspicion.sizes = Some(sizes?);
                self.examine(&read.keys, &mut read.suspicion, deadline).await?;
            }
            if read.is_lost && (read.sent >= self.attempts || !self.pause(&mut read).await) {
                break;
            }
            read.is_lost = false;
            let begun = Instant::now();
            if begun >= deadline {
                break;
            }
            last = match self.attempt(&mut read, begun).await? {
                Tried::Answered(values) => return Ok(values),
                Tried::TimedOut(asked) => {
                    read.timeouts += 1;
                    self.timed_out(asked.as_ref(), begun)
                }
                Tried::Failed(error, handle) => {
                    handle.link.failed(Operation::GetMany, &error, handle.live.generation, begun);
                    if error.remedy() == Remedy::Reconnect {
                        read.lose(&handle);
                    }
                    self.after_failure(&mut read, &error).await?
                }
            };
        }
        if let Some(pending) = read.pending {
            self.learn_from(read.keys, pending);
        }
        Err(last)
    }

    /// One try: sends the read, unless it is in flight, and waits for its answer.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked at all.
    async fn attempt<A>(&self, read: &mut Read<A>, begun: Instant) -> Result<Tried<A>, StoreError> {
        let reply = async {
            let pending = match read.pending.take() {
                Some(pending) => pending,
                None => {
                    let handle = self.next_connection().await?;
                    read.sent += 1;
                    let reply = (read.ask)(handle.live.connection.as_ref(), read.keys.clone());
                    PendingRead { handle, reply }
                }
            };
            Ok::<_, StoreError>(read.pending.insert(pending).reply.as_mut().await)
        };
        let reply = match timeout_at(self.limit(begun, read.deadline), reply).await {
            Ok(reply) => reply?,
            Err(_) => {
                return Ok(Tried::TimedOut(read.pending.as_ref().map(|pending| pending.handle.clone())));
            }
        };
        let Some(PendingRead { handle, .. }) = read.pending.take() else {
            return Err(StoreError::Unavailable);
        };
        Ok(match reply {
            Ok(values) => {
                handle.link.succeeded(Operation::GetMany, begun);
                Tried::Answered(values)
            }
            Err(error) => Tried::Failed(error, handle),
        })
    }

    /// Prepares a read that failed with `error` for its next try. Returns the error that it ends with if no other try follows.
    ///
    /// # Errors
    ///
    /// The error of the read, if a retry cannot help.
    async fn after_failure<A>(
        &self,
        read: &mut Read<A>,
        error: &BackendError,
    ) -> Result<StoreError, StoreError> {
        read.is_lost = true;
        match error.remedy() {
            Remedy::Reconnect => {
                read.suspicion.losses += 1;
                if read.suspicion.is_proven() {
                    let sizes = read.suspicion.sizes.take();
                    return Err(self.blame(&read.keys, &BackendError::TooLarge, sizes, read.deadline).await);
                }
                Ok(error.into())
            }
            Remedy::Retry | Remedy::Reresolve => Ok(error.into()),
            Remedy::BadValue => {
                Err(self.blame(&read.keys, error, read.suspicion.sizes.take(), read.deadline).await)
            }
            Remedy::DropWrite | Remedy::Wait | Remedy::Configuration => Err(error.into()),
        }
    }

    /// A try that began at `begun` timed out, over the connection `asked`, or because there was no connection.
    fn timed_out(&self, asked: Option<&Handle>, begun: Instant) -> StoreError {
        let error = BackendError::TimedOut;
        if let Some(Handle { link, live }) = asked {
            link.failed(Operation::GetMany, &error, live.generation, begun);
        } else {
            self.links.iter().for_each(|link| link.found_no_connection(begun));
            self.links.first().into_iter().for_each(|link| {
                link.health.count(Operation::GetMany, Some(&error), begun.elapsed());
            });
        }
        StoreError::TimedOut
    }

    /// The connection that has been silent for the shortest time, or the next new one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] once every breaker is open.
    async fn next_connection(&self) -> Result<Handle, StoreError> {
        loop {
            let usable = || self.links.iter().filter(|link| !link.is_open());
            let live = usable().filter_map(|link| Some(Handle { link: link.clone(), live: link.live()? }));
            if let Some(handle) = live.min_by_key(|handle| handle.live.connection.silent_for()) {
                return Ok(handle);
            }
            let next: Vec<_> = usable().map(|link| Box::pin(link.next_live())).collect();
            if next.is_empty() {
                return Err(StoreError::Unavailable);
            }
            select_all(next).await;
        }
    }

    /// The end of a try that began at `begun`.
    fn limit(&self, begun: Instant, deadline: Instant) -> Instant {
        deadline.min(begun + self.timeout())
    }

    /// The timeout, which is the same for all links of a role.
    fn timeout(&self) -> Duration {
        self.links.first().map_or(Duration::ZERO, |link| link.policy.timeout)
    }

    /// Waits before a read is sent again, until its deadline at the latest; false if the budget is used up.
    async fn pause<A>(&self, read: &mut Read<A>) -> bool {
        if read.lost_a_good_one == Free::Now {
            read.lost_a_good_one = Free::Used;
        } else if !self.budget.borrow_mut().spend() {
            return false;
        }
        let attempt = u32::try_from(read.sent).unwrap_or(u32::MAX);
        let delay = BETWEEN_TRIES.delay(attempt, &mut fastrand::Rng::new());
        sleep_until(read.deadline.min(Instant::now() + delay)).await;
        true
    }
}

// ===== impl Read =====

impl<A> Read<A> {
    /// Its connection was lost.
    fn lose(&mut self, handle: &Handle) {
        self.is_lost = true;
        if self.lost_a_good_one == Free::Not && handle.live.has_answered.get() {
            self.lost_a_good_one = Free::Now;
        }
    }
}

// ===== impl Handle =====

impl Handle {
    /// Whether this is still the link's connection, and requests may be sent over it.
    fn is_current(&self) -> bool {
        !self.link.is_open() && self.link.live().is_some_and(|live| live.generation == self.live.generation)
    }
}

#[cfg(test)]
mod tests;
