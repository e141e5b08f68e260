//! The store's metrics.

use std::{sync::Arc, time::Duration};

use prometheus::{
    HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::{BackendError, Connector, Operation, Role};
use crate::units::LATENCY_BUCKETS;

/// The store's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    pub(super) up: ByShard,
    pub(super) breaker: ByShard,
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
            up: ByShard::new("scoring_store_up", "Whether the store serves (1) or not (0).")?,
            breaker: ByShard::new(
                "scoring_store_breaker_state",
                "The circuit breaker: closed (0) or open (1).",
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

    /// Publishes whether a shard of `role` is up, and whether one of its breakers is open.
    pub(super) fn set_state(&self, role: Role, shard: &str, up: bool, open: bool) {
        self.up.0.with_label_values(&[role.as_str(), shard]).set(up.into());
        self.breaker.0.with_label_values(&[role.as_str(), shard]).set(open.into());
    }

    /// A shard has left the cluster.
    pub(super) fn forget(&self, role: Role, shard: &str) {
        for gauge in [&self.up, &self.breaker] {
            // It may never have been published.
            let _ = gauge.0.remove_label_values(&[role.as_str(), shard]);
        }
    }
}

/// A gauge with the labels `role` and `shard`. A store that is no cluster has only the first.
#[derive(Debug, Clone)]
pub(super) struct ByShard(pub(super) IntGaugeVec);

impl ByShard {
    fn new(name: &str, help: &str) -> prometheus::Result<Self> {
        Ok(Self(IntGaugeVec::new(Opts::new(name, help), &["role", "shard"])?))
    }
}

impl Collector for ByShard {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.0.collect();
        for metric in families.iter_mut().flat_map(MetricFamily::mut_metric) {
            let mut labels = metric.take_label();
            labels.retain(|label| !label.value().is_empty());
            metric.set_label(labels);
        }
        families
    }
}

/// The numbers of sentinels that answer and that do not, read when the metrics are. A store without sentinels has no series.
pub(crate) struct SentinelMetrics {
    gauge: IntGaugeVec,
    stores: [(Role, Arc<dyn Connector>); 2],
}

// ===== impl SentinelMetrics =====

impl SentinelMetrics {
    /// Registers the metric.
    ///
    /// # Errors
    ///
    /// If it is already registered.
    pub(crate) fn register(
        registry: &Registry,
        stores: [(Role, Arc<dyn Connector>); 2],
    ) -> prometheus::Result<()> {
        let gauge = IntGaugeVec::new(
            Opts::new(
                "scoring_store_sentinels",
                "The sentinels that name the store's primary, and answer or not.",
            ),
            &["answers", "role"],
        )?;
        registry.register(Box::new(Self { gauge, stores }))
    }
}

impl Collector for SentinelMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for (role, store) in &self.stores {
            let Some(sentinels) = store.sentinels() else { continue };
            for (answers, count) in [("true", sentinels.answering), ("false", sentinels.silent)] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.gauge.with_label_values(&[answers, role.as_str()]).set(count);
            }
        }
        self.gauge.collect()
    }
}
