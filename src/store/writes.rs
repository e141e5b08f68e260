//! Whether a store accepts the service's writes. A full store, a replica or a user without the right refuses them while reads
//! go on, so nothing else shows it.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use prometheus::IntGauge;
use tokio::time::Instant;

use super::{BackendError, Role};
use crate::wall_clock;

/// Writes count as accepted again when one is accepted this long after the last refusal: a full store that evicts, or a
/// cluster of which one server is full, accepts some and refuses others.
const CALM: Duration = Duration::from_secs(10);

/// The state of writes to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WritesStatus {
    /// Nothing has been written yet. The persistent store stays so, because the service only reads it.
    Unknown,
    /// The last writes were accepted.
    Accepted,
    /// The store refuses writes.
    Refused,
}

/// A [`WritesStatus`] with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    /// The state.
    pub status: WritesStatus,
    /// The time of the last change of `status`.
    pub since: SystemTime,
    /// The last refusal, in words for operators; `None` unless writes are refused.
    pub cause: Option<String>,
}

/// Watches the outcomes of a role's writes.
#[derive(Debug)]
pub(super) struct WriteWatch {
    role: Role,
    address: String,
    /// Whether the next accepted write changes nothing. It keeps the usual case free of the lock.
    is_calm: AtomicBool,
    state: Mutex<State>,
    /// Whether writes are refused: 1 or 0.
    refused: IntGauge,
}

#[derive(Debug)]
struct State {
    writes: Writes,
    last_refusal: Option<Instant>,
}

// ===== impl WritesStatus =====

impl WritesStatus {
    /// The name in readiness and on the status page.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
        }
    }
}

// ===== impl WriteWatch =====

impl WriteWatch {
    pub(super) fn new(role: Role, address: String, refused: IntGauge) -> Self {
        let writes = Writes { status: WritesStatus::Unknown, since: wall_clock::now().into(), cause: None };
        let state = Mutex::new(State { writes, last_refusal: None });
        Self { role, address, is_calm: AtomicBool::new(false), state, refused }
    }

    /// The state now.
    pub(super) fn report(&self) -> Writes {
        self.lock().writes.clone()
    }

    /// A write was accepted.
    pub(super) fn accepted(&self) {
        if self.is_calm.load(Relaxed) {
            return;
        }
        let mut state = self.lock();
        if state.last_refusal.is_some_and(|at| at.elapsed() < CALM) {
            return;
        }
        self.is_calm.store(true, Relaxed);
        let was_refused = state.writes.status == WritesStatus::Refused;
        state.enter(WritesStatus::Accepted, None);
        // Under the lock, so that the last change is the last value.
        self.refused.set(0);
        drop(state);
        if was_refused {
            tracing::info!(role = %self.role, address = self.address, "writes are accepted again");
        }
    }

    /// A write failed. Only a refusal says something about writes: a lost connection is an outage of the whole store.
    pub(super) fn failed(&self, error: &BackendError) {
        if !is_refusal(error) {
            return;
        }
        let mut state = self.lock();
        self.is_calm.store(false, Relaxed);
        state.last_refusal = Some(Instant::now());
        let cause = error.to_string();
        let is_news = state.writes.status != WritesStatus::Refused;
        state.enter(WritesStatus::Refused, Some(cause.clone()));
        self.refused.set(1);
        drop(state);
        if is_news {
            let error = error.kind();
            tracing::warn!(role = %self.role, address = self.address, error, cause, "writes are refused");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl State =====

impl State {
    fn enter(&mut self, status: WritesStatus, cause: Option<String>) {
        if self.writes.status != status {
            self.writes.since = wall_clock::now().into();
        }
        (self.writes.status, self.writes.cause) = (status, cause);
    }
}

/// A full store, a replica, or a user without the right to write.
fn is_refusal(error: &BackendError) -> bool {
    matches!(error, BackendError::WritesRefused { .. } | BackendError::ReadOnly | BackendError::Denied { .. })
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::testing::Log;

    fn watch() -> WriteWatch {
        let refused = IntGauge::new("refused", "Refused.").unwrap();
        WriteWatch::new(Role::Cache, "redis:6379".to_owned(), refused)
    }

    fn full() -> BackendError {
        BackendError::WritesRefused { code: "OOM".to_owned() }
    }

    #[tokio::test(start_paused = true)]
    async fn refused_writes_are_a_state_with_one_line_for_each_change() {
        let (log, _guard) = Log::capture();
        let watch = watch();
        assert_eq!(watch.report().status, WritesStatus::Unknown);
        watch.accepted();
        assert_eq!(watch.report().status, WritesStatus::Accepted);
        for _ in 0..3 {
            watch.failed(&full());
        }
        let writes = watch.report();
        assert_eq!(writes.status, WritesStatus::Refused);
        assert_eq!(writes.cause.as_deref(), Some("writes are refused (OOM)"));
        assert_eq!(watch.refused.get(), 1);
        let line = "writes are refused role=cache address=\"redis:6379\" error=\"writes_refused\" \
                    cause=\"writes are refused (OOM)\"";
        assert_eq!(log.lines_with(line), 1, "{}", log.text());

        watch.accepted();
        assert_eq!(watch.report().status, WritesStatus::Refused, "another one was refused a moment ago");
        advance(CALM).await;
        watch.accepted();
        let writes = watch.report();
        assert_eq!((writes.status, writes.cause), (WritesStatus::Accepted, None));
        assert_eq!(watch.refused.get(), 0);
        assert_eq!(log.lines_with("writes are accepted again"), 1, "{}", log.text());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_accepts_some_writes_and_refuses_others_does_not_flap() {
        let (log, _guard) = Log::capture();
        let watch = watch();
        for _ in 0..100 {
            watch.failed(&full());
            watch.accepted();
            advance(CALM / 2).await;
        }
        assert_eq!(watch.report().status, WritesStatus::Refused);
        assert_eq!(log.lines_with("writes are"), 1, "{}", log.text());
    }

    #[test]
    fn an_outage_and_a_queue_of_our_own_are_no_refusals() {
        let watch = watch();
        for error in [
            BackendError::TimedOut,
            BackendError::TooManyWrites,
            BackendError::Disconnected(std::io::ErrorKind::NotConnected),
        ] {
            watch.failed(&error);
            assert_eq!(watch.report().status, WritesStatus::Unknown, "{error}");
        }
    }
}
