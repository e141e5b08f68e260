//! The service's log in simulated time, and the times of its lines about the store.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use tracing::{Level, Subscriber, subscriber::DefaultGuard};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};

/// The lines so far. Clones share them.
#[derive(Debug, Clone)]
pub struct Log {
    start: Instant,
    text: Arc<Mutex<Vec<u8>>>,
}

struct SimulatedTime(Instant);

// ===== impl Log =====

impl Log {
    /// Takes over the log of this thread, while the guard lives.
    pub fn capture(level: Level) -> (Self, DefaultGuard) {
        let log = Self { start: Instant::now(), text: Arc::default() };
        let guard = tracing::subscriber::set_default(log.subscriber(level));
        (log, guard)
    }

    fn subscriber(&self, level: Level) -> impl Subscriber + Send + Sync + use<> {
        let writer = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_timer(SimulatedTime(self.start))
            .with_writer(move || writer.clone())
            .finish()
    }

    /// Adds a line of the simulation itself.
    pub fn say(&self, what: &dyn fmt::Display) {
        let line = format!("{:11.6} {what}\n", self.start.elapsed().as_secs_f64());
        self.lock().extend_from_slice(line.as_bytes());
    }

    /// All lines.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock()).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FormatTime for SimulatedTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:11.6}", self.0.elapsed().as_secs_f64())
    }
}
