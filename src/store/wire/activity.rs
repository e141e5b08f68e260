//! The activity of one connection: whether answers are owed, and the time without a byte.
//!
//! A connection is alive if bytes arrive. A single timeout proves nothing: slow is not dead, but silent is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::units::millis;

/// The state of a connection, according to its bytes. Shared between the connection and the link.
#[derive(Debug)]
pub(in crate::store) struct ReadActivity {
    start: Instant,
    /// The time since which answers have been owed without a byte, in milliseconds after `start`, plus one; 0 if
    /// nothing is owed.
    waiting_since: AtomicU64,
}

// ===== impl ReadActivity =====

impl ReadActivity {
    pub(in crate::store) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), waiting_since: AtomicU64::new(0) })
    }

    /// The time for which an answer, or the rest of one, has been owed without a byte.
    pub(in crate::store) fn silent_for(&self) -> Duration {
        match self.waiting_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    fn now(&self) -> u64 {
        millis(self.start.elapsed()).saturating_add(1)
    }

    /// A question was sent. If other questions wait for answers, they have waited longer.
    pub(in crate::store) fn sent(&self) {
        let _ = self.waiting_since.compare_exchange(0, self.now(), Relaxed, Relaxed);
    }

    /// Bytes came, and more are owed.
    pub(in crate::store) fn received(&self) {
        self.waiting_since.store(self.now(), Relaxed);
    }

    /// All questions are answered.
    pub(in crate::store) fn owes_nothing(&self) {
        self.waiting_since.store(0, Relaxed);
    }
}
