//! The targets: medians of ratios within one run.

use crate::{
    contenders::{
        ASSIGNMENT, CLUSTER, DEAD, DIRECT, FASTAPI, FASTIFY, FROZEN, MEMCACHED, NEAR, PURE, SERVICE,
        TARANTOOL, TLS,
    },
    data::{Data, Spread},
    workloads::Workload,
};

/// 5 % more counts as equal: rounds differ by as much.
const LEVEL: f64 = 1.05;

/// The group of contenders within Rust.
const OURS: usize = 0;

/// One target, and its measured value.
pub struct Target {
    pub what: String,
    pub bound: Bound,
    pub unit: &'static str,
    /// `None` if a contender or workload was not measured.
    pub measured: Option<Spread>,
}

#[derive(Debug, Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

// ===== impl Target =====

impl Target {
    /// Compares the median.
    pub fn is_met(&self) -> Option<bool> {
        let median = self.measured?.median;
        Some(match self.bound {
            Bound::AtLeast(bound) => median >= bound,
            Bound::AtMost(bound) => median <= bound,
        })
    }
}

/// All targets, in the order of the report.
pub fn targets(data: &Data) -> Vec<Target> {
    use Bound::{AtLeast, AtMost};

    let cached = |one, other| data.ratio(one, other, Workload::Cached, 32);
    let interests = |ids| data.ratio(SERVICE, FASTAPI, Workload::Interests(ids), 32);
    let target = |what: &str, bound, unit, measured| Target { what: what.to_owned(), bound, unit, measured };
    let mut all = vec![
        target("near-cache hits of `online_score`, by *pure*", AtLeast(0.85), "×", cached(NEAR, PURE)),
        target(
            "Redis-cached with the near cache off, by *direct*",
            AtLeast(0.97),
            "×",
            cached(SERVICE, DIRECT),
        ),
        target("cached `online_score`, near cache on, by FastAPI", AtLeast(12.0), "×", cached(NEAR, FASTAPI)),
        target("the same by Fastify", AtLeast(3.0), "×", cached(NEAR, FASTIFY)),
        target("the same by Python's `http.server`", AtLeast(25.0), "×", cached(NEAR, ASSIGNMENT)),
        target("`clients_interests` of 100, by FastAPI", AtLeast(5.0), "×", interests(100)),
        target("`clients_interests` of 1,000, by FastAPI", AtLeast(5.0), "×", interests(1_000)),
    ];
    for (fewer, more) in [(10, 100), (100, 1_000), (1_000, 10_000)] {
        let what = format!("CPU for each id of {more}, by that for each of {fewer}");
        all.push(Target { what, bound: AtMost(LEVEL), unit: "×", measured: cost_per_id(data, fewer, more) });
    }
    all.push(target(
        "Redis over TLS: CPU of a cached `online_score`, by that in the clear",
        AtMost(1.3),
        "×",
        cpu_ratio(data, TLS, SERVICE, Workload::Cached),
    ));
    all.push(target(
        "three shards: CPU of `clients_interests` of 100, by that of one Redis",
        AtMost(2.5),
        "×",
        cpu_ratio(data, CLUSTER, SERVICE, Workload::Interests(100)),
    ));
    all.push(target(
        "memcached: cached `online_score`, by that on Redis",
        AtLeast(1.0),
        "×",
        cached(MEMCACHED, SERVICE),
    ));
    all.push(target(
        "Tarantool: cached `online_score`, by that on Redis",
        AtLeast(0.8),
        "×",
        cached(TARANTOOL, SERVICE),
    ));
    for ids in [100, 1_000] {
        all.push(target(
            &format!("Tarantool: `clients_interests` of {ids}, by that on Redis"),
            AtLeast(0.8),
            "×",
            data.ratio(TARANTOOL, SERVICE, Workload::Interests(ids), 32),
        ));
    }
    for (what, id) in [("dead", DEAD), ("frozen", FROZEN)] {
        all.push(target(
            &format!("Redis {what}: `online_score`, by that with Redis well"),
            AtLeast(1.0),
            "×",
            cached(id, SERVICE),
        ));
        all.push(target(
            &format!("Redis {what}: its p99 at 60 % load, by that with Redis well"),
            AtMost(1.0),
            "×",
            data.p99_ratio(id, SERVICE, OURS),
        ));
    }
    let best = if data.contenders.iter().any(|(id, _)| id == NEAR) { NEAR } else { SERVICE };
    let slowest = data.long.as_ref().map(|long| long.worst / 1e3);
    let mib = |kib: u64| kib as f64 / 1024.0;
    all.extend([
        target("p99 at 60 % load, by *pure*'s", AtMost(2.0), "×", data.p99_ratio(best, PURE, OURS)),
        target("the slowest of 60 s at 60 % load", AtMost(50.0), " ms", Spread::of(slowest)),
        target("idle memory (RSS)", AtMost(20.0), " MiB", data.footprints(best, |of| mib(of.idle_rss_kib))),
        target(
            "memory with 1,000 connections",
            AtMost(80.0),
            " MiB",
            data.footprints(best, |of| mib(of.connected_rss_kib)),
        ),
        target(
            "first answer after the start",
            AtMost(100.0),
            " ms",
            data.footprints(best, |of| of.first_answer_ms),
        ),
    ]);
    all
}

/// CPU time of a call, divided by that of another contender in the same round.
fn cpu_ratio(data: &Data, one: &str, other: &str, workload: Workload) -> Option<Spread> {
    let of = |id: &str| {
        data.runs(id, workload, 32, |run: &crate::data::Throughput| run.cpu_us).collect::<Vec<_>>()
    };
    let others = of(other);
    let ratios = of(one).into_iter().filter_map(|(round, cost)| {
        let base = others.iter().find(|(other, _)| *other == round)?.1;
        Some(cost / base)
    });
    Spread::of(ratios)
}

/// CPU time for each id, divided by that of the workload with fewer ids.
fn cost_per_id(data: &Data, fewer: usize, more: usize) -> Option<Spread> {
    let each = |ids: usize| {
        let number = move |run: &crate::data::Throughput| run.cpu_us / ids as f64;
        data.runs(SERVICE, Workload::Interests(ids), 32, number).collect::<Vec<_>>()
    };
    let few = each(fewer);
    let ratios = each(more).into_iter().filter_map(|(round, cost)| {
        let base = few.iter().find(|(other, _)| *other == round)?.1;
        Some(cost / base)
    });
    Spread::of(ratios)
}
