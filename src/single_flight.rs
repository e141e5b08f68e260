//! Blocking work that runs once for all callers that ask for it at the same time.
//!
//! A caller may stop waiting; the work cannot be stopped. Without this, each caller that gives up leaves one more blocked
//! thread behind. The threads are detached and not tokio's: a runtime waits for its blocking tasks when it is dropped, which
//! would delay the end of the process by a slow name server's 10 s.

use std::{
    collections::HashMap,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// Time that a value is kept if it came slowly, or after its callers had left. Otherwise a resolver that is slower
/// than its callers' limits could never be used.
const KEPT: Duration = Duration::from_secs(1);

/// Work that takes longer counts as slow. Its callers may have no time left for the value.
const SLOW: Duration = Duration::from_millis(100);

/// Runs blocking work on detached threads, at most one at a time for each key. Clones share the work.
pub(crate) struct SingleFlight<V, E> {
    /// The name of the threads, 15 bytes at most.
    thread: &'static str,
    flights: Arc<Mutex<Flights<V, E>>>,
}

type Flights<V, E> = HashMap<String, Flight<V, E>>;

enum Flight<V, E> {
    Running(watch::Sender<Option<Result<V, E>>>),
    Kept { value: V, since: Instant },
}

/// The reason why work has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoResult {
    /// The system has no thread left.
    #[error("no thread for it: {0}")]
    NoThread(io::ErrorKind),
    /// The work panicked, which is a bug.
    #[error("an internal error")]
    Panicked,
}

// ===== impl SingleFlight =====

impl<V, E> SingleFlight<V, E>
where
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + From<NoResult> + 'static,
{
    pub(crate) fn new(thread: &'static str) -> Self {
        Self { thread, flights: Arc::default() }
    }

    /// The result of the running work for `key`; if there is none, starts `work`.
    ///
    /// Waits without a limit: each caller has its own, and may be dropped at any time. A value that came slowly, or
    /// after its callers had left, serves all callers of the next second; errors and other values are never kept.
    ///
    /// # Errors
    ///
    /// The errors of the work; [`NoResult`], if no thread can be started or the work panics.
    pub(crate) async fn result(
        &self,
        key: &str,
        work: impl FnOnce() -> Result<V, E> + Send + 'static,
    ) -> Result<V, E> {
        let mut receiver = {
            let mut flights = lock(&self.flights);
            match flights.get(key) {
                Some(Flight::Kept { value, since }) if since.elapsed() < KEPT => return Ok(value.clone()),
                Some(Flight::Running(sender)) => sender.subscribe(),
                Some(Flight::Kept { .. }) | None => {
                    self.start(key.to_owned(), work).map_err(|error| NoResult::NoThread(error.kind()))?;
                    let (sender, receiver) = watch::channel(None);
                    // The thread cannot have finished yet, because it needs this lock.
                    flights.insert(key.to_owned(), Flight::Running(sender));
                    receiver
                }
            }
        };
        let result = receiver.wait_for(Option::is_some).await;
        result.ok().and_then(|result| result.clone()).unwrap_or_else(|| Err(NoResult::Panicked.into()))
    }

    fn start(&self, key: String, work: impl FnOnce() -> Result<V, E> + Send + 'static) -> io::Result<()> {
        let flights = self.flights.clone();
        thread::Builder::new().name(self.thread.to_owned()).spawn(move || {
            let begun = Instant::now();
            let result =
                catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(NoResult::Panicked.into()));
            let mut flights = lock(&flights);
            let Some(Flight::Running(sender)) = flights.remove(&key) else { return };
            let is_late = sender.receiver_count() == 0 || begun.elapsed() > SLOW;
            if let (Ok(value), true) = (&result, is_late) {
                flights.insert(key, Flight::Kept { value: value.clone(), since: Instant::now() });
            }
            sender.send_replace(Some(result));
        })?;
        Ok(())
    }
}

impl<V, E> Clone for SingleFlight<V, E> {
    fn clone(&self) -> Self {
        Self { thread: self.thread, flights: self.flights.clone() }
    }
}

impl<V, E> fmt::Debug for SingleFlight<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl From<NoResult> for String {
    fn from(lost: NoResult) -> Self {
        lost.to_string()
    }
}

/// Work does not hold the lock when it panics, so the map is intact.
fn lock<V, E>(flights: &Mutex<Flights<V, E>>) -> MutexGuard<'_, Flights<V, E>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
