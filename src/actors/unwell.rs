//! The gauge of actors that are not well.
//!
//! It is computed on each scrape: an actor that blocks its thread cannot report it, so the scraping thread has to
//! judge.

use std::sync::Arc;

use prometheus::{
    IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::vitals::Vitals;

/// Counts the failing actors and the stuck actors, with the same definition as readiness.
pub(super) struct UnwellActors {
    gauge: IntGaugeVec,
    of: Vec<Arc<Vitals>>,
}

// ===== impl UnwellActors =====

impl UnwellActors {
    pub(super) fn new(of: Vec<Arc<Vitals>>) -> prometheus::Result<Self> {
        let help = "Actors that fall again and again (failing), or that read no messages (stuck).";
        let gauge = IntGaugeVec::new(Opts::new("scoring_actors_unwell", help), &["actor", "state"])?;
        Ok(Self { gauge, of })
    }
}

impl Collector for UnwellActors {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        for vitals in &self.of {
            for (state, count) in [("failing", vitals.failing()), ("stuck", vitals.stuck())] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.gauge.with_label_values(&[vitals.name(), state]).set(count);
            }
        }
        self.gauge.collect()
    }
}
