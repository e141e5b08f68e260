//! The model's predictions from the measurements.

use testkit::bench::simulation::{Demand, Model, Predicted};

use super::{
    data::{Load, SHARES, Scale, Stage},
    questions::median,
};
use crate::open_loop::CONNECTIONS;

/// Simulated calls for each prediction.
const CALLS: usize = 200_000;
const SEED: u64 = 1;

/// A load, measured and predicted.
pub struct Check {
    pub stage: Stage,
    pub rate: f64,
    /// At each of [`SHARES`], in microseconds.
    pub measured: [f64; SHARES.len()],
    pub predicted: [f64; SHARES.len()],
    /// Calls a second.
    pub answered: [f64; 2],
}

// ===== impl Check =====

impl Check {
    /// Relative error of the prediction of a percentile.
    pub fn error(&self, index: usize) -> f64 {
        self.predicted[index] / self.measured[index] - 1.0
    }
}

/// All loads except the light one, whose latencies are an input of the model.
pub fn checks(scale: &Scale) -> Vec<Check> {
    let stages = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Light);
    let stages = stages.filter(|stage| scale.loads.iter().any(|load| load.stage == *stage));
    let check = |stage: Stage| {
        let rate = median(scale.load_spread(stage, |load| load.rate));
        let predicted = as_measured(scale, stage.share().min(1.0)).simulate(rate, CALLS, SEED);
        let answered = median(scale.load_spread(stage, |load| load.per_second));
        let measured: Vec<_> = (0..SHARES.len())
            .map(|index| median(scale.load_spread(stage, |load| load.percentiles[index])))
            .collect();
        Check {
            stage,
            rate,
            measured: measured.try_into().unwrap(),
            predicted: SHARES.map(|share| predicted.at(share)),
            answered: [answered, predicted.per_second],
        }
    };
    stages.map(check).collect()
}

/// The measured machine: load generator, Redis and service on the same cores.
fn as_measured(scale: &Scale, share: f64) -> Model {
    let light = demand(scale, Stage::Light);
    let mut costs = Stage::ALL.map(|stage| (stage.share().min(1.0), demand(scale, stage)));
    costs.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let rest = (0..=100).map(|hundredth| {
        let took = |load: &Load| load.hundredths.get(hundredth).copied().unwrap_or(0.0);
        (median(scale.load_spread(Stage::Light, took)) - light.sum()).max(0.0)
    });
    Model {
        workers: scale.workers,
        cores: scale.workers,
        is_apart: false,
        connections: CONNECTIONS,
        demand: Demand::at(&costs, share),
        rest: rest.collect(),
    }
}

fn demand(scale: &Scale, stage: Stage) -> Demand {
    Demand {
        client: median(scale.load_spread(stage, |load| load.client_cpu_us)),
        worker: median(scale.load_spread(stage, |load| load.cpu_us)),
        store: median(scale.load_spread(stage, |load| load.redis_cpu_us)),
    }
}

/// Several instances with cores of their own in front of one Redis, at a share of their cores' capacity: calls a second
/// of each instance, and the latencies.
pub fn alone(scale: &Scale, instances: usize, share: f64) -> (f64, Predicted) {
    let measured = as_measured(scale, share);
    let workers = scale.workers * instances;
    let demand = Demand { client: 0.0, ..measured.demand };
    let rate = workers as f64 * share * 1e6 / demand.worker;
    let model = Model {
        workers,
        cores: workers,
        is_apart: true,
        connections: CONNECTIONS * instances,
        demand,
        ..measured
    };
    (rate / instances as f64, model.simulate(rate, CALLS, SEED))
}
