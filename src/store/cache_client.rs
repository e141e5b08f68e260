//! The cache half of a store: asked once, and every failure is a miss.

use std::{cell::Cell, rc::Rc, time::Duration};

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    BackendError, Link, Operation, Remedy,
    link::{LinkState, LiveConnection},
};

/// Cache writes that may be under way at once; more are dropped, for nobody waits for them.
const WRITES_IN_FLIGHT: usize = 256;

/// The cache half of a store: one attempt, and every failure is as good as a miss.
#[derive(Debug, Clone)]
pub struct CacheClient {
    link: Rc<LinkState>,
    /// The same as `link`, unless writes need a connection of their own.
    write_link: Rc<LinkState>,
    writes: Rc<Cell<usize>>,
}

// ===== impl CacheClient =====

impl CacheClient {
    /// Requests over `link`; writes over one of their own, if there is one.
    pub fn new(link: &Link, writes: Option<&Link>) -> Self {
        Self { link: link.state(), write_link: writes.unwrap_or(link).state(), writes: Rc::default() }
    }

    /// Whether a read would be refused at once.
    pub fn refuses_reads(&self) -> bool {
        live(&self.link).is_err()
    }

    /// Whether a write would be refused at once. If so, it is counted as one that was.
    pub fn refuses_write(&self) -> bool {
        let Err(error) = self.writable() else { return false };
        self.write_link.health.count(Operation::Set, Some(&error), Duration::ZERO);
        true
    }

    /// Reads `key` once, by `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// At once if the breaker is open or there is no connection; after that, whatever the store said, or nothing in time.
    pub async fn get(&self, key: String, deadline: Instant) -> Result<Option<Vec<u8>>, BackendError> {
        let live = live(&self.link)?;
        let begun = Instant::now();
        if begun >= deadline {
            return Err(BackendError::TimedOut);
        }
        let until = deadline.min(begun + self.link.policy.timeout);
        let outcome =
            timeout_at(until, live.connection.get(key)).await.unwrap_or(Err(BackendError::TimedOut));
        match &outcome {
            Ok(_) => self.link.succeeded(Operation::Get, begun),
            Err(error) => self.link.failed(Operation::Get, error, live.generation, begun),
        }
        outcome
    }

    /// Writes `key` once. What fails is counted and dropped, also while look-ups are refused.
    pub async fn set(&self, key: String, value: Vec<u8>, ttl: Duration) {
        let Some(_slot) = WriteSlot::acquire(&self.writes) else {
            let full = BackendError::WritesRefused { code: "QUEUE".to_owned() };
            return self.write_link.health.count(Operation::Set, Some(&full), Duration::ZERO);
        };
        let begun = Instant::now();
        let (outcome, generation) = match self.writable() {
            Err(error) => (Err(error), 0),
            Ok(live) => {
                let written =
                    timeout(self.write_link.policy.timeout, live.connection.set(key, value, ttl)).await;
                (written.unwrap_or(Err(BackendError::TimedOut)), live.generation)
            }
        };
        match outcome {
            Ok(()) => self.write_link.health.count(Operation::Set, None, begun.elapsed()),
            // Only a connection that must be replaced is of interest: writes that fail do not stop reads.
            Err(error) if matches!(error.remedy(), Remedy::Reconnect | Remedy::Reresolve) => {
                self.write_link.failed(Operation::Set, &error, generation, begun);
            }
            Err(error) => self.write_link.health.count(Operation::Set, Some(&error), begun.elapsed()),
        }
    }

    /// The connection that may be written over. A store that is not read from is not written to either.
    fn writable(&self) -> Result<LiveConnection, BackendError> {
        live(&self.link).and_then(|_| live(&self.write_link))
    }
}

/// The connection that may be asked now.
fn live(link: &LinkState) -> Result<LiveConnection, BackendError> {
    let unavailable = BackendError::Disconnected(std::io::ErrorKind::NotConnected);
    if link.is_open() { Err(unavailable) } else { link.live().ok_or(unavailable) }
}

/// One of the places for writes under way; given back when dropped.
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
