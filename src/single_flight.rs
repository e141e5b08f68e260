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

/// How long a result is kept for the next caller if all callers had given up before it came.
const KEPT: Duration = Duration::from_secs(1);

/// Runs blocking work on detached threads, at most one at a time for each key. Clones share the work.
pub(crate) struct SingleFlight<T> {
    /// The name of the threads, 15 bytes at most.
    thread: &'static str,
    flights: Arc<Mutex<Flights<T>>>,
}

type Flights<T> = HashMap<String, Flight<T>>;
type Outcome<T> = Result<T, NoResult>;

enum Flight<T> {
    UnderWay(watch::Sender<Option<Outcome<T>>>),
    Done { outcome: Outcome<T>, at: Instant },
}

/// Why work has no result.
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

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    pub(crate) fn new(thread: &'static str) -> Self {
        Self { thread, flights: Arc::default() }
    }

    /// The result of the work under way for `key`; without any, that of `work`, which is then started.
    ///
    /// Waits without a bound: each caller has a limit of its own, and may be dropped at any time.
    ///
    /// # Errors
    ///
    /// [`NoResult`], if no thread can be had or the work panics.
    pub(crate) async fn result(&self, key: &str, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let mut outcome = {
            let mut flights = lock(&self.flights);
            match flights.remove(key) {
                Some(Flight::Done { outcome, at }) if at.elapsed() < KEPT => return outcome,
                Some(Flight::UnderWay(sender)) => {
                    let receiver = sender.subscribe();
                    flights.insert(key.to_owned(), Flight::UnderWay(sender));
                    receiver
                }
                Some(Flight::Done { .. }) | None => {
                    self.start(key.to_owned(), work).map_err(|error| NoResult::NoThread(error.kind()))?;
                    let (sender, receiver) = watch::channel(None);
                    // The thread cannot have finished yet: it needs the lock for that.
                    flights.insert(key.to_owned(), Flight::UnderWay(sender));
                    receiver
                }
            }
        };
        let outcome = outcome.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(NoResult::Panicked))
    }

    fn start(&self, key: String, work: impl FnOnce() -> T + Send + 'static) -> io::Result<()> {
        let flights = self.flights.clone();
        let thread = thread::Builder::new().name(self.thread.to_owned());
        thread.spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(work)).map_err(|_| NoResult::Panicked);
            let mut flights = lock(&flights);
            match flights.remove(&key) {
                Some(Flight::UnderWay(sender)) if sender.receiver_count() > 0 => {
                    sender.send_replace(Some(outcome));
                }
                _ => _ = flights.insert(key, Flight::Done { outcome, at: Instant::now() }),
            }
        })?;
        Ok(())
    }
}

impl<T> Clone for SingleFlight<T> {
    fn clone(&self) -> Self {
        Self { thread: self.thread, flights: self.flights.clone() }
    }
}

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// Work that panics does so without the lock, so the map is whole.
fn lock<T>(flights: &Mutex<Flights<T>>) -> MutexGuard<'_, Flights<T>> {
    flights.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
