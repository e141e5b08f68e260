//! The targets: numbers of one run with their intervals.

use testkit::bench::comparison::{Bound, Interval, Pair, Verdict};

use crate::{
    contenders::{
        ASSIGNMENT, AXUM, CLUSTER, DEAD, DIRECT, FASTAPI, FASTIFY, FROZEN, MEMCACHED, NEAR, NO_LOG,
        PUBLIC_TLS, PURE, SERVICE, TARANTOOL, TLS,
    },
    data::{Compared, Data, Footprint, Latency, P99, P999, Side, Spread, Throughput},
    workloads::Workload,
};

/// 5 % more counts as equal.
const LEVEL: f64 = 1.05;

/// Largest difference of an A/A pair from 1: for throughput and CPU, and for percentiles, whose targets allow more.
const CLAIM: f64 = 0.05;
const CLAIM_OF_P99: f64 = 0.25;
const CLAIM_OF_P999: f64 = 0.5;

/// The least duration of the long run, in seconds.
const LONG_SECONDS: f64 = 59.0;

/// The latency group of contenders within Rust.
const OURS: usize = 0;

/// One target, and its measured value.
pub struct Target {
    pub what: String,
    pub bound: Bound,
    pub unit: &'static str,
    /// `None` with too few rounds.
    pub measured: Option<Interval>,
    /// Rounds in which it was measured.
    pub rounds: usize,
    /// The A/A pair of a ratio.
    pub pair: Option<Pair>,
    /// Beside a ratio of calls a second: that of the CPU time of a call.
    pub cpu: Option<Interval>,
}

// ===== impl Target =====

impl Target {
    fn ratio(what: impl Into<String>, bound: Bound, compared: Compared, tolerance: f64) -> Self {
        let Compared { ratio: measured, rounds, cpu, pair } = compared;
        let pair = Some(Pair { ratio: pair, tolerance });
        Self { what: what.into(), bound, unit: "×", measured, rounds, pair, cpu }
    }

    /// A number of few rounds that hardly differs between them: all of them must be within the bound.
    fn number(what: &str, bound: Bound, unit: &'static str, spread: Option<Spread>) -> Self {
        let measured = spread.map(|Spread { median, min, max }| Interval { median, low: min, high: max });
        Self {
            what: what.to_owned(),
            bound,
            unit,
            measured,
            rounds: usize::from(spread.is_some()),
            pair: None,
            cpu: None,
        }
    }

    pub fn verdict(&self) -> Verdict {
        self.bound.judge(self.measured, self.rounds, self.pair)
    }
}

/// All targets, in the order of the report.
pub fn targets(data: &Data) -> Vec<Target> {
    use Bound::{AtLeast, AtMost};

    let per_second = |one, other, workload, connections| {
        data.compare_speed(side(one, workload, connections), side(other, workload, connections))
    };
    let cached = |one, other| per_second(one, other, Workload::Cached, 32);
    let interests = |one, other, ids| {
        let workload = Workload::Interests(ids);
        per_second(one, other, workload, workload.connections())
    };
    let cpu = |one, other, workload| {
        data.compare(side(one, workload, 32), side(other, workload, 32), |run| run.cpu_us)
    };
    let redis_cpu = |one, other| {
        let of = |id| side(id, Workload::Cached, 256);
        data.compare(of(one), of(other), |run| run.redis_cpu_us)
    };
    let mut all = Vec::new();
    let mut add = |what: &str, bound, compared| all.push(Target::ratio(what, bound, compared, CLAIM));
    add("near-cache hits of `online_score`, by *pure*", AtLeast(0.92), cached(NEAR, PURE));
    add("the same, by the same without the log", AtLeast(0.97), cached(NEAR, NO_LOG));
    add("Redis-cached with the near cache off, by *direct*", AtLeast(1.0), cached(SERVICE, DIRECT));
    add("the same with 256 connections", AtLeast(1.05), per_second(SERVICE, DIRECT, Workload::Cached, 256));
    add(
        "Redis' own CPU for a look-up with 256 connections, by *direct*'s",
        AtMost(0.6),
        redis_cpu(SERVICE, DIRECT),
    );
    add("cached `online_score`, near cache on, by FastAPI", AtLeast(12.0), cached(NEAR, FASTAPI));
    add("the same by Fastify", AtLeast(3.0), cached(NEAR, FASTIFY));
    add("the same by Python's `http.server`", AtLeast(25.0), cached(NEAR, ASSIGNMENT));
    for (ids, bound) in [(100, 6.0), (1_000, 5.0), (10_000, 6.0)] {
        let what = format!("`clients_interests` of {ids}, by FastAPI");
        add(&what, AtLeast(bound), interests(SERVICE, FASTAPI, ids));
    }
    for (fewer, more) in [(10, 100), (100, 1_000), (1_000, 10_000)] {
        let what = format!("CPU for each id of {more}, by that for each of {fewer}");
        add(&what, AtMost(LEVEL), cost_per_id(data, fewer, more));
    }
    add(
        "TLS on the public listener, near-cache hits, by those in the clear",
        AtLeast(0.8),
        cached(PUBLIC_TLS, NEAR),
    );
    add(
        "Redis over TLS: CPU of a cached `online_score`, by that in the clear",
        AtMost(1.3),
        cpu(TLS, SERVICE, Workload::Cached),
    );
    add(
        "three shards: CPU of `clients_interests` of 100, by that of one Redis",
        AtMost(2.5),
        cpu(CLUSTER, SERVICE, Workload::Interests(100)),
    );
    add("memcached: cached `online_score`, by that on Redis", AtLeast(1.0), cached(MEMCACHED, SERVICE));
    add("Tarantool: cached `online_score`, by that on Redis", AtLeast(0.8), cached(TARANTOOL, SERVICE));
    for ids in [100, 1_000] {
        let what = format!("Tarantool: `clients_interests` of {ids}, by that on Redis");
        add(&what, AtLeast(0.8), interests(TARANTOOL, SERVICE, ids));
    }
    for (what, id) in [("dead", DEAD), ("frozen", FROZEN)] {
        let what = format!("Redis {what}: `online_score`, by that with Redis well");
        add(&what, AtLeast(1.0), cached(id, SERVICE));
    }
    for (what, id) in [("dead", DEAD), ("frozen", FROZEN)] {
        let what = format!("Redis {what}: its p99 at 60 % load, by that with Redis well");
        let compared = data.compare_latency(id, SERVICE, OURS, P99);
        all.push(Target::ratio(what, AtMost(1.0), compared, CLAIM_OF_P99));
    }
    for (what, bound, share, claim) in [("p99", 1.5, P99, CLAIM_OF_P99), ("p99.9", 2.0, P999, CLAIM_OF_P999)]
    {
        let what = format!("{what} of near-cache hits at 60 % load, by *pure*'s");
        let compared = data.compare_latency(NEAR, PURE, OURS, share);
        all.push(Target::ratio(what, AtMost(bound), compared, claim));
    }
    // That of a trial run is short.
    let is_long = |long: &&Latency| long.calls + long.errors >= (LONG_SECONDS * long.rate) as usize;
    let slowest = data.long.as_ref().filter(is_long).map(|long| long.worst / 1e3);
    let mib = |kib: u64| kib as f64 / 1024.0;
    let footprint = |number: &dyn Fn(&Footprint) -> f64| data.footprints(NEAR, number);
    all.extend([
        handshakes(data),
        Target::number("the slowest of 60 s at 60 % load", AtMost(25.0), " ms", Spread::of(slowest)),
        Target::number("idle memory (RSS)", AtMost(20.0), " MiB", footprint(&|of| mib(of.idle_rss_kib))),
        Target::number(
            "memory with 1,000 connections",
            AtMost(80.0),
            " MiB",
            footprint(&|of| mib(of.connected_rss_kib)),
        ),
        Target::number(
            "first answer after the start",
            AtMost(100.0),
            " ms",
            footprint(&|of| of.first_answer_ms),
        ),
    ]);
    all
}

/// A number of a turn, and its name.
type Number = (&'static str, fn(&Throughput) -> f64);

/// The comparisons of the service with *direct* with 256 connections: each number and its ratio.
pub fn at_256(data: &Data) -> [(Number, Compared); 3] {
    let numbers: [Number; 3] = [
        ("calls a second", |run| run.per_second),
        ("CPU µs of a call", |run| run.cpu_us),
        ("Redis' CPU µs of a look-up", |run| run.redis_cpu_us),
    ];
    let of = |id| side(id, Workload::Cached, 256);
    numbers.map(|number| (number, data.compare(of(SERVICE), of(DIRECT), number.1)))
}

/// How the service compares with the peer in Rust, without a target.
pub fn by_axum(data: &Data) -> Vec<(String, Compared)> {
    let row = |one, workload: Workload, connections| {
        let what = format!("{one}, {}, {connections} connections", workload.name());
        let of = |id| side(id, workload, connections);
        (what, data.compare_speed(of(one), of(AXUM)))
    };
    let mut rows = vec![
        row(NEAR, Workload::Cached, 32),
        row(NEAR, Workload::Cached, 256),
        row(SERVICE, Workload::Cached, 32),
        row(SERVICE, Workload::Cached, 256),
    ];
    for workload in [10, 100, 1_000, 10_000].map(Workload::Interests) {
        rows.push(row(SERVICE, workload, workload.connections()));
    }
    rows
}

fn side(contender: &str, workload: Workload, connections: usize) -> Side<'_> {
    Side { contender, workload, connections }
}

/// CPU time for each id, divided by that of the workload with fewer ids.
fn cost_per_id(data: &Data, fewer: usize, more: usize) -> Compared {
    let of = |ids| side(SERVICE, Workload::Interests(ids), Workload::Interests(ids).connections());
    data.compare(of(more), of(fewer), |run| match run.workload {
        Workload::Interests(ids) => run.cpu_us / ids as f64,
        Workload::Cached | Workload::Distinct | Workload::Handshakes => run.cpu_us,
    })
}

fn handshakes(data: &Data) -> Target {
    let runs = data.throughput.iter().filter(|run| run.workload == Workload::Handshakes);
    let numbers: Vec<_> = runs.map(|run| run.per_second).collect();
    Target {
        what: "TLS handshakes a second, each with one call".to_owned(),
        bound: Bound::AtLeast(2_000.0),
        unit: "",
        rounds: numbers.len(),
        measured: Interval::of(numbers),
        pair: None,
        cpu: None,
    }
}
