//! The store's metrics.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
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
    writes_refused: IntGaugeVec,
}

/// The series of one role's operations. Each is looked up when it is needed for the first time, and then kept.
#[derive(Debug)]
pub(super) struct OperationMetrics {
    role: Role,
    metrics: StoreMetrics,
    /// In the order of [`Operation::ALL`].
    of_operation: [OnceLock<OfOperation>; Operation::ALL.len()],
}

#[derive(Debug)]
struct OfOperation {
    ok: IntCounter,
    duration: Histogram,
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
                &["op", "outcome", "role"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new("scoring_store_operation_duration_seconds", "How long the store took.")
                    .buckets(LATENCY_BUCKETS.to_vec()),
                &["op", "role"],
            )?,
            writes_refused: IntGaugeVec::new(
                Opts::new(
                    "scoring_store_writes_refused",
                    "Whether the store refuses the service's writes while it answers reads (1) or not (0).",
                ),
                &["role"],
            )?,
        };
        registry.register(Box::new(metrics.up.clone()))?;
        registry.register(Box::new(metrics.breaker.clone()))?;
        registry.register(Box::new(metrics.operations.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.writes_refused.clone()))?;
        Ok(metrics)
    }

    /// The gauge of refused writes.
    pub(super) fn writes_refused(&self, role: Role) -> IntGauge {
        self.writes_refused.with_label_values(&[role.as_str()])
    }

    /// The series of one role's operations.
    pub(super) fn operations_of(&self, role: Role) -> OperationMetrics {
        OperationMetrics { role, metrics: self.clone(), of_operation: Default::default() }
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

// ===== impl OperationMetrics =====

impl OperationMetrics {
    /// Counts an operation and, if it succeeded, its duration.
    pub(super) fn count(&self, operation: Operation, error: Option<&BackendError>, took: Duration) {
        let (op, role) = (operation.as_str(), self.role.as_str());
        match (error, self.of_operation.get(operation as usize)) {
            (None, Some(known)) => {
                let known = known.get_or_init(|| OfOperation {
                    ok: self.metrics.operations.with_label_values(&[op, "ok", role]),
                    duration: self.metrics.durations.with_label_values(&[op, role]),
                });
                known.ok.inc();
                known.duration.observe(took.as_secs_f64());
            }
            (error, _) => {
                let outcome = error.map_or("ok", BackendError::kind);
                self.metrics.operations.with_label_values(&[op, outcome, role]).inc();
            }
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

/// The kind of each store, and the state of its sentinels and of its cluster, read when the metrics are. Stores without
/// sentinels or a cluster have no series of these.
pub(crate) struct ConnectorMetrics {
    kind: IntGaugeVec,
    sentinels: IntGaugeVec,
    unowned: IntGaugeVec,
    stores: [(Role, Arc<dyn Connector>); 2],
}

// ===== impl ConnectorMetrics =====

impl ConnectorMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    ///
    /// If one of them is already registered.
    pub(crate) fn register(
        registry: &Registry,
        stores: [(Role, Arc<dyn Connector>); 2],
    ) -> prometheus::Result<()> {
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let kind = gauge("scoring_store_info", "The kind of the store; always 1.", &["kind", "role"])?;
        let sentinels = gauge(
            "scoring_store_sentinels",
            "The sentinels that name the store's primary, and answer or not.",
            &["answers", "role"],
        )?;
        let unowned = gauge(
            "scoring_store_unowned_slots",
            "The slots of the store's cluster that no primary owns.",
            &["role"],
        )?;
        for (role, store) in &stores {
            kind.with_label_values(&[store.kind(), role.as_str()]).set(1);
        }
        registry.register(Box::new(Self { kind, sentinels, unowned, stores }))
    }
}

impl Collector for ConnectorMetrics {
    fn desc(&self) -> Vec<&Desc> {
        [self.kind.desc(), self.sentinels.desc(), self.unowned.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (role, store) in &self.stores {
            if let Some(sentinels) = store.sentinels() {
                for (answers, count) in [("true", sentinels.answering), ("false", sentinels.silent)] {
                    self.sentinels.with_label_values(&[answers, role.as_str()]).set(number(count));
                }
            }
            let view = store.cluster().and_then(|cluster| cluster.last_view());
            if let Some(map) = view.and_then(|view| view.map) {
                self.unowned.with_label_values(&[role.as_str()]).set(number(map.unowned()));
            }
        }
        [self.kind.collect(), self.sentinels.collect(), self.unowned.collect()].concat()
    }
}
