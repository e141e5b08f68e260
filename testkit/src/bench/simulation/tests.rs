//! The model of a loaded service, in cases where theory gives the answer.

use rstest::rstest;

use super::{Demand, Model, Predicted};

const CALLS: usize = 50_000;
/// Half before the store and half after it.
const WORK: f64 = 100.0;

/// Workers that never lack a core, and clients that cost nothing.
fn model() -> Model {
    Model {
        workers: 1,
        cores: 1_000,
        is_apart: false,
        connections: 10_000,
        demand: Demand { client: 0.0, worker: WORK, store: 0.0 },
        rest: Vec::new(),
    }
}

fn mean(predicted: &Predicted) -> f64 {
    predicted.took.iter().sum::<f64>() / predicted.took.len() as f64
}

fn assert_near(found: f64, expected: f64, tolerance: f64) {
    let off = (found / expected - 1.0).abs();
    assert!(off <= tolerance, "{found} instead of {expected}: off by {:.1} %", off * 100.0);
}

/// Pollaczek and Khinchine: the mean wait for one server with constant work is `load × work / 2 (1 − load)`.
fn wait(load: f64, work: f64) -> f64 {
    load * work / (2.0 * (1.0 - load))
}

#[rstest]
#[case::light(0.2)]
#[case::middle(0.5)]
#[case::heavy(0.8)]
fn a_store_in_one_thread_is_the_queue_of_theory(#[case] load: f64) {
    // With many workers that cost nothing, calls wait for the store only.
    let demand = Demand { client: 0.0, worker: 0.0, store: WORK };
    let predicted = Model { demand, workers: 1_000, ..model() }.simulate(load * 1e6 / WORK, CALLS, 1);
    assert_near(mean(&predicted), WORK + wait(load, WORK), 0.03);
}

#[test]
fn twice_the_workers_wait_as_one_does_with_half_the_load() {
    let one = model().simulate(3_000.0, CALLS, 1);
    let two = Model { workers: 2, ..model() }.simulate(6_000.0, CALLS, 2);
    assert_near(mean(&two), mean(&one), 0.05);
    assert!(mean(&one) > 1.1 * WORK, "something waited");
}

#[rstest]
#[case::one_thread(1, 1_000, 10_000.0)]
#[case::two_threads(2, 1_000, 20_000.0)]
#[case::two_threads_on_one_core(2, 1, 10_000.0)]
#[case::four_threads_on_two_cores(4, 2, 20_000.0)]
fn more_calls_than_go_through_are_answered_as_fast_as_goes(
    #[case] workers: usize,
    #[case] cores: usize,
    #[case] expected: f64,
) {
    let predicted = Model { workers, cores, ..model() }.simulate(100_000.0, CALLS, 1);
    assert_near(predicted.per_second, expected, 0.02);
}

#[test]
fn all_threads_share_the_cores_unless_they_have_their_own() {
    let demand = Demand { client: 50.0, worker: WORK, store: 50.0 };
    let shared = Model { demand, workers: 2, cores: 1, ..model() };
    assert_near(shared.simulate(100_000.0, CALLS, 1).per_second, 5_000.0, 0.02);
    let apart = Model { is_apart: true, ..shared };
    assert_near(apart.simulate(100_000.0, CALLS, 1).per_second, 10_000.0, 0.02);
}

#[test]
fn a_lonely_call_takes_its_work_and_the_rest() {
    let demand = Demand { client: 10.0, worker: WORK, store: 20.0 };
    let predicted = Model { demand, rest: vec![40.0, 60.0], ..model() }.simulate(1.0, 1_000, 1);
    assert_near(predicted.at(0.5), 130.0 + 50.0, 0.02);
    assert!(predicted.at(0.0) >= 170.0 && predicted.at(1.0) <= 190.1, "{predicted:?}");
}

#[test]
fn a_busy_connection_makes_the_calls_behind_it_late() {
    let one = Model { connections: 1, rest: vec![WORK, WORK], ..model() };
    // It is busy for twice the work, so calls wait as for a thread with that work.
    let predicted = one.simulate(2_500.0, CALLS, 1);
    assert_near(mean(&predicted), 2.0 * WORK + wait(0.5, 2.0 * WORK), 0.03);
}

#[test]
fn the_same_seed_predicts_the_same() {
    let predict = |seed| Model { rest: vec![0.0, 9.0], ..model() }.simulate(8_000.0, 1_000, seed);
    assert_eq!(predict(7), predict(7));
    assert_ne!(predict(7), predict(8));
}

#[rstest]
#[case::below_the_first(0.01, 60.0)]
#[case::at_one(0.5, 40.0)]
#[case::between_two(0.75, 30.0)]
#[case::at_the_last(1.0, 20.0)]
#[case::beyond_it(1.5, 20.0)]
fn costs_lie_on_lines_between_those_that_were_measured(#[case] share: f64, #[case] worker: f64) {
    let cost = |worker: f64| Demand { client: worker / 2.0, worker, store: worker / 4.0 };
    let measured = [(0.1, cost(60.0)), (0.5, cost(40.0)), (1.0, cost(20.0))];
    assert_eq!(Demand::at(&measured, share), cost(worker));
    assert_near(Demand::at(&measured, share).sum(), worker * 1.75, 1e-9);
}
