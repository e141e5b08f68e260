//! The store's metrics.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{BackendError, Operation, Role};
use crate::units::LATENCY_BUCKETS;

/// The store's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    pub(super) up: IntGaugeVec,
    pub(super) breaker: IntGaugeVec,
    pub(super) operations: IntCounterVec,
    pub(super) durations: HistogramVec,
}

// ===== impl StoreMetrics =====

impl StoreMetrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    ///
    /// If one of them is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            up: IntGaugeVec::new(
                Opts::new("scoring_store_up", "Whether the store serves (1) or not (0)."),
                &["role"],
            )?,
            breaker: IntGaugeVec::new(
                Opts::new("scoring_store_breaker_state", "The circuit breaker: closed (0) or open (1)."),
                &["role"],
            )?,
            operations: IntCounterVec::new(
                Opts::new(
                    "scoring_store_operations_total",
                    "What was asked of the store, and what came of it.",
                ),
                &["op", "outcome"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new("scoring_store_operation_duration_seconds", "How long the store took.")
                    .buckets(LATENCY_BUCKETS.to_vec()),
                &["op"],
            )?,
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        Ok(metrics)
    }

    /// Counts an operation and, if it succeeded, its duration.
    pub(super) fn count(&self, operation: Operation, error: Option<&BackendError>, took: Duration) {
        let outcome = error.map_or("ok", BackendError::kind);
        self.operations.with_label_values(&[operation.as_str(), outcome]).inc();
        if error.is_none() {
            self.durations.with_label_values(&[operation.as_str()]).observe(took.as_secs_f64());
        }
    }

    /// Publishes whether `role` is up, and whether one of its breakers is open.
    pub(super) fn set_state(&self, role: Role, up: bool, open: bool) {
        self.up.with_label_values(&[role.as_str()]).set(up.into());
        self.breaker.with_label_values(&[role.as_str()]).set(open.into());
    }
}
