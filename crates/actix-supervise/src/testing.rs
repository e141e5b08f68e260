//! Shared by the tests: a clock that jumps, and a captured log.

use std::{
    io,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use tokio::{runtime::Builder, task::LocalSet, time::sleep};
use tracing::{
    Level,
    subscriber::{DefaultGuard, set_default, set_global_default},
};
use tracing_subscriber::fmt;

/// Runs `test` on a runtime for actors, with a clock that jumps to the next timer when all tasks wait.
///
/// Hours pass at once, and a duration that a test measures is exact.
pub(crate) fn paused<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// Lets all tasks run that can run now, and one millisecond pass.
pub(crate) async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// The log of this thread, while the guard lives.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> (Self, DefaultGuard) {
        // Otherwise `tracing` may keep its finding that no one wants an event: one of a thread without a subscriber, made while this
        // thread sets its own.
        static WANTED: Once = Once::new();
        WANTED.call_once(|| {
            _ = set_global_default(fmt().with_max_level(Level::TRACE).with_writer(io::sink).finish());
        });
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            fmt().with_max_level(Level::TRACE).with_ansi(false).with_writer(move || writer.clone()).finish();
        let guard = set_default(subscriber);
        (log, guard)
    }

    /// The number of lines that contain `text`.
    pub(crate) fn lines_with(&self, text: &str) -> usize {
        self.text().lines().filter(|line| line.contains(text)).count()
    }

    pub(crate) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
