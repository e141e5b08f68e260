//! The gauges of the limits, and of the memory of bodies, read when the metrics are.

use std::sync::Arc;

use prometheus::{
    IntGauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::Semaphore;

use super::settings::LimitSettings;

pub(super) struct LimitGauges {
    bodies: Arc<Semaphore>,
    body_memory: usize,
    used: IntGauge,
    limits: [IntGauge; 2],
}

// ===== impl LimitGauges =====

impl LimitGauges {
    /// Registers the gauges.
    ///
    /// # Errors
    ///
    /// If one of them is already registered.
    pub(super) fn register(
        registry: &Registry,
        settings: &LimitSettings,
        bodies: Arc<Semaphore>,
    ) -> prometheus::Result<()> {
        let used = IntGauge::new("scoring_body_memory_bytes", "Memory that received bodies use.")?;
        let limits = [
            IntGauge::new("scoring_requests_in_flight_limit", "The setting limits.max_in_flight.")?,
            IntGauge::new("scoring_body_memory_limit_bytes", "The setting limits.body_memory.")?,
        ];
        for (gauge, limit) in limits.iter().zip([settings.max_in_flight, settings.body_memory]) {
            gauge.set(number(limit));
        }
        registry.register(Box::new(Self { bodies, body_memory: settings.body_memory, used, limits }))
    }
}

impl Collector for LimitGauges {
    fn desc(&self) -> Vec<&Desc> {
        self.limits.iter().chain([&self.used]).flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.used.set(number(self.body_memory.saturating_sub(self.bodies.available_permits())));
        self.limits.iter().chain([&self.used]).flat_map(Collector::collect).collect()
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
