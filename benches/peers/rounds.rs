//! The order of the benchmark: first the contract, then rounds of throughput, then rounds at a fixed rate, then one long run.
//!
//! Contenders take turns within a round, and each round begins with a different one, so changes on the machine during the
//! run affect all alike. Each turn is a fresh process on a fresh Redis.

use std::{
    env, io,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::bench::client::Connection;
use tokio::task::spawn_blocking;

use crate::{
    contenders::{Contender, LATENCY_GROUPS, NEAR, contenders},
    contract,
    data::{Data, Footprint, Latency, SHARES, Throughput},
    open_loop::{evenly, open_loop},
    report,
    server::Server,
    workloads::{Workload, write_bodies},
    wrk::wrk,
};

/// Share of the slowest contender's peak.
const LOAD: f64 = 0.6;
const WARM_UP: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 1_000;
const LONG: Duration = Duration::from_secs(60);

/// Rounds and durations.
pub struct Plan {
    rounds: usize,
    load: Duration,
    long: Duration,
}

// ===== impl Plan =====

impl Plan {
    /// `BENCH_ROUNDS` (5) of `BENCH_SECONDS` (2) each load. Less than 2 s is a trial run: its long run is short, too.
    pub fn from_environment() -> Self {
        let number =
            |name: &str| env::var(name).ok().map(|text| text.parse::<u64>().expect("a whole number"));
        let seconds = number("BENCH_SECONDS").unwrap_or(2).max(1);
        let load = Duration::from_secs(seconds);
        let rounds = number("BENCH_ROUNDS").unwrap_or(5).max(1);
        let long = if seconds < 2 { load } else { LONG };
        Self { rounds: usize::try_from(rounds).unwrap(), load, long }
    }
}

/// Checks that every installed contender answers according to the contract.
pub async fn check() {
    for contender in contenders().iter().filter(|contender| contender.is_installed()) {
        contract::check(contender, &Server::start(contender).await).await;
        println!("{}: answers as the contract says", contender.id);
    }
}

/// Runs the whole benchmark.
pub async fn run(plan: &Plan) -> Data {
    let begun = Instant::now();
    let (there, missing): (Vec<_>, Vec<_>) = contenders().into_iter().partition(Contender::is_installed);
    let mut data = Data {
        circumstances: report::circumstances(),
        rounds: plan.rounds,
        seconds: plan.load.as_secs(),
        contenders: there.iter().map(|of| (of.id.to_owned(), of.what.to_owned())).collect(),
        missing: missing.iter().map(|of| (of.id.to_owned(), "not installed".to_owned())).collect(),
        ..Data::default()
    };
    check().await;
    let folder = tempfile::tempdir().unwrap();
    for round in 0..plan.rounds {
        for turn in 0..there.len() {
            let contender = &there[(turn + round) % there.len()];
            throughput(plan, round, contender, &folder, &mut data).await;
        }
        println!("round {} of {}: {:.0?}", round + 1, plan.rounds, begun.elapsed());
    }
    for round in 0..plan.rounds {
        for (group, names) in LATENCY_GROUPS.iter().enumerate() {
            let members: Vec<_> = there.iter().filter(|of| names.contains(&of.id)).collect();
            // A rate means something only in comparison.
            if members.len() < 2 {
                continue;
            }
            let rate = LOAD * peak(&data, &members);
            for turn in 0..members.len() {
                let contender = members[(turn + round) % members.len()];
                let measured = at_rate(contender, rate, plan.load, &folder).await;
                data.latency.push(Latency { round, group, ..measured });
            }
        }
        println!("latencies, round {} of {}: {:.0?}", round + 1, plan.rounds, begun.elapsed());
    }
    let ours = there.iter().find(|of| of.id == NEAR).unwrap();
    data.long = Some(at_rate(ours, LOAD * peak(&data, &[ours]), plan.long, &folder).await);
    let took = format!("{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    data.circumstances.push(("took".to_owned(), took));
    data
}

/// The slowest member's median of cached scores a second.
fn peak(data: &Data, members: &[&Contender]) -> f64 {
    let peak =
        |of: &&Contender| data.spread(of.id, Workload::Cached, 32, |run| run.per_second).unwrap().median;
    members.iter().map(peak).fold(f64::INFINITY, f64::min)
}

async fn throughput(plan: &Plan, round: usize, contender: &Contender, folder: &TempDir, data: &mut Data) {
    let server = Server::start(contender).await;
    if contender.has_footprint() {
        let footprint = footprint(round, contender, &server).await.expect("1,000 connections");
        data.footprint.push(footprint);
    }
    warm_up(&server, folder.path()).await;
    for &workload in contender.workloads {
        let bodies = write_bodies(workload, folder.path());
        for &connections in workload.connections() {
            let (cpu, redis_cpu) = (server.cpu(), server.redis_cpu(contender.store).await);
            let summary = wrk(server.port(), &bodies, connections, plan.load).await;
            let (cpu, redis_cpu) = (server.cpu() - cpu, server.redis_cpu(contender.store).await - redis_cpu);
            let each = |seconds: f64| seconds * 1e6 / (summary.requests.max(1) as f64);
            let run = Throughput {
                round,
                contender: contender.id.to_owned(),
                workload,
                connections,
                per_second: summary.per_second(),
                cpu_us: each(cpu),
                redis_cpu_us: each(redis_cpu),
                errors: summary.errors,
                peak_rss_kib: server.peak_rss_kib(),
            };
            println!(
                "{:>14} {:<20} {connections:>4} connections: {:>7.0}/s, {:>6.1} µs CPU, {} errors",
                run.contender,
                workload.name(),
                run.per_second,
                run.cpu_us,
                run.errors
            );
            data.throughput.push(run);
        }
    }
}

/// Also fills the cache with the persons of the cached workload.
async fn warm_up(server: &Server, folder: &Path) {
    wrk(server.port(), &write_bodies(Workload::Cached, folder), 32, WARM_UP).await;
}

async fn at_rate(contender: &Contender, rate: f64, lasts: Duration, folder: &TempDir) -> Latency {
    let server = Server::start(contender).await;
    warm_up(&server, folder.path()).await;
    let port = server.port();
    let bodies = Workload::Cached.bodies();
    let seen = spawn_blocking(move || open_loop(port, &bodies, &evenly(rate, lasts), lasts));
    let seen = seen.await.unwrap().unwrap();
    let limit = Duration::from_millis(50);
    let latency = Latency {
        round: 0,
        group: 0,
        contender: contender.id.to_owned(),
        rate,
        calls: seen.took.len(),
        errors: seen.failed + seen.unsent,
        percentiles: SHARES.map(|share| seen.micros_at(share)).to_vec(),
        worst: seen.micros_at(1.0),
        over_50_ms: seen.took.len() - seen.took.partition_point(|took| *took <= limit),
    };
    println!(
        "{:>14} at {rate:.0}/s: {:.0?} µs, worst {:.0} µs, {} failed, {} unsent",
        latency.contender, latency.percentiles, latency.worst, seen.failed, seen.unsent
    );
    latency
}

async fn footprint(round: usize, contender: &Contender, server: &Server) -> io::Result<Footprint> {
    let idle_rss_kib = server.rss_kib();
    let call = testkit::bench::client::post(&Workload::Cached.bodies()[0]);
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::open(server.target.public()).await?;
        connection.exchange(call.as_bytes()).await?;
        connections.push(connection);
    }
    let connected_rss_kib = server.rss_kib();
    Ok(Footprint {
        round,
        contender: contender.id.to_owned(),
        first_answer_ms: server.first_answer.as_secs_f64() * 1e3,
        idle_rss_kib,
        connected_rss_kib,
    })
}
