//! The phase of the service's life.

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
    /// Asked to stop: not ready, but still accepting and serving.
    Draining,
    /// Not accepting any more: each connection is closed after its current response.
    Closing,
}

// ===== impl Phase =====

impl Phase {
    /// The phase's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Closing => "closing",
        }
    }
}

// ===== impl Lifecycle =====

impl Lifecycle {
    /// The service listens.
    pub fn serving(&self) {
        self.enter(Phase::Serving);
    }

    /// The service was asked to stop.
    pub fn draining(&self) {
        self.enter(Phase::Draining);
    }

    /// The service does not accept connections any more.
    pub fn closing(&self) {
        self.enter(Phase::Closing);
    }

    /// Calls `observer` at the start of each phase. There can be only one observer; a second one is ignored.
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
