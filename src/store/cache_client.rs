//! The cache half of a store: asked once, and every failure is a miss.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{Either, ready},
};
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    BackendError, Found, Link, Operation, Redirect, Remedy,
    gather::{Gather, Get, Set},
    link::{LinkState, LiveConnection},
};

/// Maximum cache writes in flight; further ones are dropped, because no caller waits for them.
const WRITES_IN_FLIGHT: usize = 256;

/// The cache half of a store. A read is one attempt, and every failure is as good as a miss.
#[derive(Debug, Clone)]
pub struct CacheClient {
    link: Rc<LinkState>,
    gathered_reads: Rc<Gather<Get>>,
    /// The same as `link`, unless writes need a separate connection.
    write_link: Rc<LinkState>,
    gathered_writes: Rc<Gather<Set>>,
    writes: Rc<Cell<usize>>,
}

// ===== impl CacheClient =====

impl CacheClient {
    /// Sends reads over `link`, and writes over `writes`, if there is one.
    pub fn new(link: &Link, writes: Option<&Link>) -> Self {
        let write_link = writes.unwrap_or(link).state();
        Self {
            link: link.state(),
            gathered_reads: Rc::default(),
            write_link,
            gathered_writes: Rc::default(),
            writes: Rc::default(),
        }
    }

    /// Whether a read would be rejected at once.
    pub fn refuses_reads(&self) -> bool {
        live(&self.link).is_err()
    }

    /// Whether a write would be rejected at once. If so, it is counted as rejected.
    pub fn refuses_write(&self) -> bool {
        let Err(error) = self.writable() else { return false };
        self.write_link.health.count(Operation::Set, Some(&error), Duration::ZERO);
        true
    }

    /// Reads `key` once, by `deadline` at the latest. It may be asked for together with the keys of other reads that are made
    /// before this one is polled.
    ///
    /// # Errors
    ///
    /// At once if the breaker is open or there is no connection; else the store's error, or a timeout.
    pub fn get(
        &self,
        key: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BackendError>> + use<> {
        let begun = Instant::now();
        let asked = live(&self.link).and_then(|live| {
            if begun >= deadline {
                return Err(BackendError::TimedOut);
            }
            Ok((self.gathered_reads.ask(&live, Get(key)), live))
        });
        let (look_up, live) = match asked {
            Ok(asked) => asked,
            Err(error) => return Either::Left(ready(Err(error))),
        };
        let link = self.link.clone();
        let until = deadline.min(begun + link.policy.timeout);
        Either::Right(timeout_at(until, look_up).map(move |outcome| {
            let outcome = outcome.unwrap_or(Err(BackendError::TimedOut));
            match &outcome {
                Ok(_) => link.succeeded(Operation::Get, begun),
                // A node of a cluster that names another one serves.
                Err(BackendError::Redirected(_)) if live.connection.is_shard() => {
                    link.succeeded(Operation::Get, begun);
                }
                Err(error) => link.failed(Operation::Get, error, live.generation, begun),
            }
            outcome
        }))
    }

    /// As [`get`](Self::get), from a server to which the slot of `key` is being moved.
    pub(super) async fn get_asking(
        &self,
        key: String,
        deadline: Instant,
    ) -> Result<Option<Vec<u8>>, BackendError> {
        let live = live(&self.link)?;
        let until = deadline.min(Instant::now() + self.link.policy.timeout);
        let reply = live.connection.get_each(Arc::from([key]), true);
        let found = timeout_at(until, reply).await.unwrap_or(Err(BackendError::TimedOut))?;
        match found.into_iter().next() {
            Some(Found::Value(value)) => Ok(value),
            Some(Found::Elsewhere(redirect)) => Err(BackendError::Redirected(redirect)),
            None => Err(BackendError::Protocol),
        }
    }

    /// Writes `key` once. A failure is counted and dropped, also while reads are rejected. Returns the address of the server that
    /// has the key, if another one of the cluster does. It may be sent together with other writes that are made before this one is
    /// polled.
    pub fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Duration,
    ) -> impl Future<Output = Option<Box<Redirect>>> + use<> {
        let link = self.write_link.clone();
        let begun = Instant::now();
        let asked = match (WriteSlot::acquire(&self.writes), self.writable()) {
            (None, _) => Err(BackendError::TooManyWrites),
            (_, Err(error)) => Err(error),
            (Some(slot), Ok(live)) => Ok((self.gathered_writes.ask(&live, Set(key, value, ttl)), live, slot)),
        };
        let (written, live, slot) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                link.health.count(Operation::Set, Some(&error), Duration::ZERO);
                return Either::Left(ready(None));
            }
        };
        Either::Right(timeout(link.policy.timeout, written).map(move |outcome| {
            drop(slot);
            match outcome.unwrap_or(Err(BackendError::TimedOut)) {
                Ok(()) => link.health.count(Operation::Set, None, begun.elapsed()),
                Err(BackendError::Redirected(redirect)) if live.connection.is_shard() => {
                    return Some(redirect);
                }
                // Failed writes do not stop reads; only a connection that must be replaced matters to the link.
                Err(error) if matches!(error.remedy(), Remedy::Reconnect | Remedy::Reresolve) => {
                    link.failed(Operation::Set, &error, live.generation, begun);
                }
                Err(error) => link.health.count(Operation::Set, Some(&error), begun.elapsed()),
            }
            None
        }))
    }

    /// The connection for writes. While reads are rejected, writes are too.
    fn writable(&self) -> Result<LiveConnection, BackendError> {
        live(&self.link).and_then(|_| live(&self.write_link))
    }
}

/// The current connection, if requests may be sent.
fn live(link: &LinkState) -> Result<LiveConnection, BackendError> {
    let unavailable = BackendError::Disconnected(std::io::ErrorKind::NotConnected);
    if link.is_open() { Err(unavailable) } else { link.live().ok_or(unavailable) }
}

/// One of the slots for writes in flight; released when dropped.
struct WriteSlot(Rc<Cell<usize>>);

impl WriteSlot {
    fn acquire(taken: &Rc<Cell<usize>>) -> Option<Self> {
        (taken.get() < WRITES_IN_FLIGHT).then(|| {
            taken.set(taken.get() + 1);
            Self(taken.clone())
        })
    }
}

impl Drop for WriteSlot {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests;
