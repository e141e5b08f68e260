//! One load, and its cost.

use std::{path::Path, time::Duration};

use testkit::bench::machine::read;
use tokio::task::spawn_blocking;

use super::data::{Load, Point, Question, SHARES, Stage};
use crate::{
    contenders::{Contender, Store},
    open_loop::{at_random, evenly, open_loop},
    server::{Server, own_cpu},
    workloads::Workload,
    wrk::wrk,
};

const WARM_UP: Duration = Duration::from_secs(1);
const LOOK_UPS: &str = "scoring_cache_lookups_total";

/// One measurement: a quantity at one size.
pub struct Ask<'a> {
    pub question: Question,
    pub round: usize,
    pub contender: &'a Contender,
    pub at: i64,
    /// Bodies to send in turn.
    pub bodies: &'a Path,
    /// Bodies to send before the measurement.
    pub warm_up: &'a Path,
    pub connections: usize,
    pub lasts: Duration,
}

/// Counters at one moment.
struct Meter {
    cpu: f64,
    redis_cpu: f64,
    redis_bytes: f64,
    loopback: f64,
    look_ups: f64,
    misses: f64,
}

// ===== impl Meter =====

impl Meter {
    async fn read(server: &Server, store: Store) -> Self {
        let bytes = ["total_net_input_bytes", "total_net_output_bytes"];
        Self {
            cpu: server.cpu(),
            redis_cpu: server.redis_cpu(store).await,
            redis_bytes: server.redis_info(store, &bytes).await,
            look_ups: server.target.metric(LOOK_UPS).await,
            misses: server.target.metric(&format!("{LOOK_UPS}{{result=\"miss\"}}")).await,
            loopback: loopback(),
        }
    }
}

/// Bytes that have passed the loopback interface, with packet headers.
fn loopback() -> f64 {
    let text = read("/proc/net/dev");
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}

/// Loads a server as fast as it answers.
pub async fn point(ask: &Ask<'_>, server: &Server) -> Point {
    let Ask { question, round, contender, at, connections, .. } = *ask;
    wrk(&server.url(), ask.warm_up, connections, WARM_UP).await;
    let before = Meter::read(server, contender.store).await;
    let summary = wrk(&server.url(), ask.bodies, connections, ask.lasts).await;
    let after = Meter::read(server, contender.store).await;
    let each =
        |number: fn(&Meter) -> f64| (number(&after) - number(&before)) / summary.requests.max(1) as f64;
    let look_ups = each(|meter| meter.look_ups);
    let point = Point {
        question,
        round,
        contender: contender.id.to_owned(),
        at,
        per_second: summary.per_second(),
        p50_us: summary.p50_us,
        p99_us: summary.p99_us,
        cpu_us: each(|meter| meter.cpu) * 1e6,
        redis_cpu_us: each(|meter| meter.redis_cpu) * 1e6,
        request_bytes: summary.request_bytes,
        reply_bytes: summary.reply_bytes,
        redis_bytes: each(|meter| meter.redis_bytes),
        loopback_bytes: each(|meter| meter.loopback),
        hits: (look_ups > 0.0).then(|| 1.0 - each(|meter| meter.misses) / look_ups),
        peak_rss_kib: server.peak_rss_kib(),
        errors: summary.errors,
    };
    println!(
        "{question:?} {at:>8} {:>12}: {:>7.0}/s, p99 {:>8.0} µs, {:>8.1} µs CPU, {:>6.1} µs Redis, {} KiB, {} errors",
        point.contender,
        point.per_second,
        point.p99_us,
        point.cpu_us,
        point.redis_cpu_us,
        point.peak_rss_kib,
        point.errors
    );
    point
}

/// Loads a server with cached scores at a fixed rate. Calls come at random times, as in the model, except at the peak, where more
/// calls are due than are answered and their times make no difference.
pub async fn load(
    round: usize,
    stage: Stage,
    rate: f64,
    lasts: Duration,
    server: &Server,
    store: Store,
) -> Load {
    let port = server.port();
    let before = (server.cpu(), server.redis_cpu(store).await, own_cpu());
    let seen = spawn_blocking(move || {
        let due = match stage {
            Stage::Peak => evenly(rate, lasts),
            Stage::Light | Stage::Percent(_) => at_random(rate, lasts, round as u64),
        };
        open_loop(port, &Workload::Cached.bodies(), &due, lasts)
    });
    let seen = seen.await.unwrap().unwrap();
    let after = (server.cpu(), server.redis_cpu(store).await, own_cpu());
    let each = |seconds: f64| seconds * 1e6 / seen.took.len().max(1) as f64;
    let hundredths = 0..if stage == Stage::Light { 101 } else { 0 };
    let load = Load {
        round,
        stage,
        rate,
        per_second: seen.took.len() as f64 / lasts.as_secs_f64(),
        cpu_us: each(after.0 - before.0),
        redis_cpu_us: each(after.1 - before.1),
        client_cpu_us: each(after.2 - before.2),
        percentiles: SHARES.map(|share| seen.micros_at(share)).to_vec(),
        hundredths: hundredths.map(|share| seen.micros_at(f64::from(share) / 100.0)).collect(),
        errors: if stage == Stage::Peak { seen.failed } else { seen.failed + seen.unsent },
    };
    println!(
        "{stage:?} {rate:.0}/s: {:.0}/s, {:.0?} µs; CPU µs: {:.1}, Redis {:.1}, client {:.1}; {} errors",
        load.per_second, load.percentiles, load.cpu_us, load.redis_cpu_us, load.client_cpu_us, load.errors
    );
    load
}
