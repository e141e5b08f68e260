//! A clock that stands still while the whole process does: it was stopped, or its machine was moved or asleep.
//!
//! The time since an actor's last sign of life says nothing after such a pause, because no thread could give one.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Maximum time that counts between two readings. Supervisors read the clock four times a second.
const MOST_AT_ONCE: Duration = Duration::from_secs(1);

/// See the [module](self). One for all actors of a process.
#[derive(Debug)]
pub(crate) struct AwakeClock(Mutex<Reading>);

#[derive(Debug)]
struct Reading {
    at: Instant,
    awake: Duration,
}

// ===== impl AwakeClock =====

impl AwakeClock {
    /// The time for which the process has been awake. A reader that asks less often than once a second, while all threads are
    /// blocked, is told too little.
    pub(crate) fn now(&self) -> Duration {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = now.saturating_duration_since(reading.at);
        *reading = Reading { at: now, awake: reading.awake + since.min(MOST_AT_ONCE) };
        reading.awake
    }
}

impl Default for AwakeClock {
    fn default() -> Self {
        Self(Mutex::new(Reading { at: Instant::now(), awake: Duration::ZERO }))
    }
}
