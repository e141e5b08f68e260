//! The capacity that many calls need, calculated by hand.

use rstest::rstest;

use super::{Cost, Needs, Terms};

const TERMS: Terms = Terms {
    utilisation: 0.5,
    cores: 2,
    connections_per_worker: 4.0,
    max_clients: 10_000.0,
    network_bits: 10e9,
};

const COST: Cost = Cost { cpu_us: 20.0, redis_cpu_us: 5.0, client_bytes: 1_250.0, redis_bytes: 250.0 };

#[test]
fn a_million_calls_take_their_cost_a_million_times() {
    assert_eq!(
        TERMS.needs(COST, 1e6),
        Needs {
            cores: 40.0,
            instances: 20.0,
            stores: 10.0,
            instances_per_store: 2.0,
            connections_per_store: 16.0,
            client_gbits: 10.0,
            redis_gbits: 2.0,
        }
    );
}

#[rstest]
#[case::halves_are_rounded_up(Cost { cpu_us: 20.1, ..COST }, 21.0, 10.0)]
#[case::no_store(Cost { redis_cpu_us: 0.0, ..COST }, 20.0, 0.0)]
#[case::connections_ask_for_more_than_cpu(Cost { cpu_us: 20_000.0, redis_cpu_us: 0.1, ..COST }, 20_000.0, 16.0)]
fn instances_and_stores_are_whole(#[case] cost: Cost, #[case] instances: f64, #[case] stores: f64) {
    let needs = TERMS.needs(cost, 1e6);
    assert_eq!((needs.instances, needs.stores), (instances, stores));
    assert!(needs.connections_per_store <= TERMS.max_clients, "{needs:?}");
}

#[test]
fn the_first_exhausted_resource_comes_first() {
    let limits: Vec<_> = TERMS.limits(COST).into_iter().map(|limit| (limit.per_second, limit.what)).collect();
    assert_eq!(
        limits,
        [
            (50_000.0, "the cores of one instance"),
            (100_000.0, "the core of one Redis"),
            (1e6, "the network of one balancer"),
            (5e6, "the network of one Redis"),
            (62.5e6, "the connections of one Redis"),
        ]
    );
}

#[test]
fn without_a_redis_its_limit_is_absent() {
    let limits = TERMS.limits(Cost { redis_cpu_us: 0.0, redis_bytes: 0.0, ..COST });
    assert!(limits.iter().all(|limit| !limit.what.contains("Redis")), "{limits:?}");
    assert_eq!(limits.len(), 2);
}
