//! Counts the lost lines of the log: those that found the queue full, and those that could not be written.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use prometheus::{
    IntCounter, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tracing_appender::non_blocking::ErrorCounter;

use crate::units::as_u64;

/// The metric `scoring_log_lines_dropped_total`. Clones share the count.
#[derive(Debug, Clone)]
pub struct DroppedLines {
    unqueued: ErrorCounter,
    unwritten: Unwritten,
}

/// The number of lines that the writer could not write.
#[derive(Debug, Clone, Default)]
pub(super) struct Unwritten(Arc<AtomicU64>);

// ===== impl DroppedLines =====

impl DroppedLines {
    pub(super) fn new(unqueued: ErrorCounter, unwritten: Unwritten) -> Self {
        Self { unqueued, unwritten }
    }

    fn metric(&self) -> prometheus::Result<IntCounter> {
        let help =
            "Lines of the log that were lost because nobody took them in time, or that could not be written.";
        let metric = IntCounter::with_opts(Opts::new("scoring_log_lines_dropped_total", help))?;
        let unqueued = as_u64(self.unqueued.dropped_lines());
        metric.inc_by(unqueued.saturating_add(self.unwritten.get()));
        Ok(metric)
    }
}

/// The counts are kept elsewhere, so the metric is built on each scrape.
impl Collector for DroppedLines {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.metric().map(|metric| metric.collect()).unwrap_or_default()
    }
}

// ===== impl Unwritten =====

impl Unwritten {
    pub(super) fn add(&self, lines: usize) {
        self.0.fetch_add(as_u64(lines), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
