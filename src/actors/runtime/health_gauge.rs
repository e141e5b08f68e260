//! The gauge of actors that are not well.
//!
//! It is computed on each scrape: an actor that blocks its thread cannot report it, so the scraping thread has to
//! judge.

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::health::ActorsHealth;

/// Counts the failing actors and the stuck actors, with the same definition as readiness.
pub(super) struct HealthGauge {
    gauge: IntGaugeVec,
    actors: ActorsHealth,
}

// ===== impl HealthGauge =====

impl HealthGauge {
    pub(super) fn new(actors: ActorsHealth) -> prometheus::Result<Self> {
        let help = "Actors that are restarted again and again (failing), or that read no messages (stuck).";
        let gauge = IntGaugeVec::new(Opts::new("scoring_actors_unwell", help), &["actor", "state"])?;
        Ok(Self { gauge, actors })
    }
}

impl Collector for HealthGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for health in self.actors.all() {
            for (state, count) in [("failing", health.failing()), ("stuck", health.stuck())] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.gauge.with_label_values(&[health.name(), state]).set(count);
            }
        }
        self.gauge.collect()
    }
}
