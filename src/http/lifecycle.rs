//! Where the process is in its life.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
};

/// Clones share the phase.
#[derive(Clone, Default)]
pub struct Lifecycle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    phase: AtomicU8,
    observer: OnceLock<Box<dyn Fn(Phase) + Send + Sync>>,
}

/// The phases, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not listening yet.
    Starting,
    /// Serving.
    Serving,
    /// Told to stop: unready, but still accepting and serving.
    Draining,
    /// Accepting no more: connections are closed after the answer that is under way.
    Closing,
}

impl Lifecycle {
    /// The service listens.
    pub fn serving(&self) {
        self.enter(Phase::Serving);
    }

    /// The service has been told to stop.
    pub fn draining(&self) {
        self.enter(Phase::Draining);
    }

    /// The service accepts no more.
    pub fn closing(&self) {
        self.enter(Phase::Closing);
    }

    /// Has each phase told to `observer` as it is entered. There can be only one; a second is ignored.
    pub fn observe(&self, observer: impl Fn(Phase) + Send + Sync + 'static) {
        _ = self.0.observer.set(Box::new(observer));
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        match self.0.phase.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Closing,
        }
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Relaxed);
        if let Some(observer) = self.0.observer.get() {
            observer(phase);
        }
    }
}

impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lifecycle").field(&self.phase()).finish()
    }
}
