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
    BackendError, Backoff, Link, Operation, Remedy, Reply, StoreError,
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

/// A read in flight, and its connection.
struct PendingRead {
    asked: Handle,
    reply: Reply<Vec<Option<Vec<u8>>>>,
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
    /// multiply the load of a slow store. A read that is sent again after a loss is taken off the retry budget. The
    /// number of tries limits both the sends and the timeouts of a read: after a timeout and a lost connection it may
    /// still be sent again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] at once if the breaker is open. [`StoreError::BadValue`],
    /// [`StoreError::CrossSlot`] and [`StoreError::TooLarge`] are not retried; for several keys they come as
    /// [`StoreError::AtFault`]. A question whose answer was too large is rejected for a second without asking.
    pub async fn get_many(
        &self,
        keys: Arc<[String]>,
        deadline: Instant,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let judgement = self.faulty.borrow_mut().judge(&keys, Instant::now());
        match judgement {
            Judgement::Unknown => self.read(keys, deadline, Suspicion::default()).await,
            Judgement::AtFault(positions) => Err(self.reject(&keys, positions)),
            Judgement::TryAgain => {
                let outcome = self.read(keys.clone(), deadline, Suspicion::again()).await;
                if outcome.is_ok() {
                    self.faulty.borrow_mut().forget(&keys);
                }
                outcome
            }
        }
    }

    async fn read(
        &self,
        keys: Arc<[String]>,
        deadline: Instant,
        mut suspicion: Suspicion,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.budget.borrow_mut().earn();
        let mut under_way: Option<PendingRead> = None;
        let mut last = StoreError::TimedOut;
        let mut lost = false;
        let (mut sent, mut waited) = (0, 0);
        while waited < self.attempts {
            lost |= under_way.take_if(|read| !read.asked.is_there()).is_some();
            if under_way.is_none() && suspicion.needs_sizes() {
                let (begun, mut asked) = (Instant::now(), None);
                if begun >= deadline {
                    break;
                }
                let until = deadline.min(begun + self.timeout());
                match timeout_at(until, self.sizes(&keys, &mut asked)).await {
                    Ok(Some(sizes)) => suspicion.sizes = Some(sizes),
                    Ok(None) => return Err(StoreError::Unavailable),
                    Err(_) => {
                        waited += 1;
                        last = self.late(asked.as_ref(), begun);
                        continue;
                    }
                }
                self.examine(&keys, &mut suspicion, deadline).await?;
            }
            if lost && (sent >= self.attempts || !self.pause(sent, deadline).await) {
                break;
            }
            lost = false;
            let begun = Instant::now();
            if begun >= deadline {
                break;
            }
            let until = deadline.min(begun + self.timeout());
            match timeout_at(until, self.attempt(&keys, &mut under_way, &mut sent)).await {
                Ok(Ok(values)) => {
                    if let Some(read) = under_way {
                        read.asked.link.succeeded(Operation::GetMany, begun);
                    }
                    return Ok(values);
                }
                Ok(Err(None)) => return Err(StoreError::Unavailable),
                Ok(Err(Some((error, asked)))) => {
                    under_way = None;
                    lost = true;
                    asked.link.failed(Operation::GetMany, &error, asked.live.generation, begun);
                    last = StoreError::from(&error);
                    match error.remedy() {
                        Remedy::Reconnect => {
                            suspicion.losses += 1;
                            if suspicion.is_proven() {
                                let error = BackendError::TooLarge;
                                return Err(self.blame(&keys, &error, suspicion.sizes, deadline).await);
                            }
                        }
                        Remedy::Retry | Remedy::Reresolve => {}
                        Remedy::BadValue => {
                            return Err(self.blame(&keys, &error, suspicion.sizes, deadline).await);
                        }
                        Remedy::DropWrite | Remedy::Wait | Remedy::Configuration => return Err(last),
                    }
                }
                Err(_) => {
                    waited += 1;
                    last = self.late(under_way.as_ref().map(|read| &read.asked), begun);
                }
            }
        }
        if let Some(read) = under_way {
            self.learn_from(keys, read);
        }
        Err(last)
    }

    /// A try that began at `begun` timed out, over the connection `asked`, or because there was no connection.
    fn late(&self, asked: Option<&Handle>, begun: Instant) -> StoreError {
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

    /// One try: sends the read, unless it is in flight, and waits for its answer.
    async fn attempt(
        &self,
        keys: &Arc<[String]>,
        under_way: &mut Option<PendingRead>,
        sent: &mut usize,
    ) -> Result<Vec<Option<Vec<u8>>>, Option<(BackendError, Handle)>> {
        let read = match under_way.take() {
            Some(read) => read,
            None => {
                let asked = self.next_connection().await.ok_or(None)?;
                *sent += 1;
                PendingRead { reply: asked.live.connection.get_many(keys.clone()), asked }
            }
        };
        let read = under_way.insert(read);
        read.reply.as_mut().await.map_err(|error| Some((error, read.asked.clone())))
    }

    /// The connection that has been silent for the shortest time, or the next new one; `None` once every breaker is
    /// open.
    async fn next_connection(&self) -> Option<Handle> {
        loop {
            let usable = || self.links.iter().filter(|link| !link.is_open());
            let there = usable().filter_map(|link| Some(Handle { link: link.clone(), live: link.live()? }));
            if let Some(asked) = there.min_by_key(|asked| asked.live.connection.silent_for()) {
                return Some(asked);
            }
            let next: Vec<_> = usable().map(|link| Box::pin(link.next_live())).collect();
            if next.is_empty() {
                return None;
            }
            select_all(next).await;
        }
    }

    /// The timeout, which is the same for all links of a role.
    fn timeout(&self) -> Duration {
        self.links.first().map_or(Duration::ZERO, |link| link.policy.timeout)
    }

    /// Waits before a read is sent again, until `deadline` at the latest; false if the budget is used up.
    async fn pause(&self, attempt: usize, deadline: Instant) -> bool {
        if !self.budget.borrow_mut().spend() {
            return false;
        }
        let delay =
            BETWEEN_TRIES.delay(u32::try_from(attempt).unwrap_or(u32::MAX), &mut fastrand::Rng::new());
        sleep_until(deadline.min(Instant::now() + delay)).await;
        true
    }
}

// ===== impl Handle =====

impl Handle {
    /// Whether this is still the link's connection, and requests may be sent over it.
    fn is_there(&self) -> bool {
        !self.link.is_open() && self.link.live().is_some_and(|live| live.generation == self.live.generation)
    }
}

#[cfg(test)]
mod tests;
