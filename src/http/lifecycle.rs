//! Where the process is in its life.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

/// Clones share the phase.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle(Arc<AtomicU8>);

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
        self.0.store(Phase::Serving as u8, Relaxed);
    }

    /// The service has been told to stop.
    pub fn draining(&self) {
        self.0.store(Phase::Draining as u8, Relaxed);
    }

    /// The service accepts no more.
    pub fn closing(&self) {
        self.0.store(Phase::Closing as u8, Relaxed);
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        match self.0.load(Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Serving,
            2 => Phase::Draining,
            _ => Phase::Closing,
        }
    }
}
