//! The order of the benchmark: first the contract, then start and memory, then the comparison groups, then latencies at a
//! fixed rate, then one long run.
//!
//! A group's contenders run side by side, each on a Redis of its own, and take short turns; one that waits for its turn
//! costs next to nothing. So the turns that are compared are seconds apart, and a change on the machine affects all
//! alike.

use std::{
    env, io,
    path::Path,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use testkit::bench::client::Connection;
use tokio::task::spawn_blocking;

use crate::{
    contenders::{Contender, NEAR, contenders},
    contract,
    data::{Data, Footprint, Latency, SHARES, Throughput},
    groups::{GROUPS, Group, LATENCY_GROUPS, Load, order},
    handshakes::handshakes,
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
/// The long run counts the calls above this time.
const SLOW: Duration = Duration::from_millis(25);
/// Fresh processes for start and memory, which hardly vary.
const STARTS: usize = 3;
/// With fewer rounds it is a trial run.
pub const ROUNDS: usize = 20;

/// Rounds and durations.
pub struct Plan {
    rounds: usize,
    turn: Duration,
}

/// A contender and its running processes.
type Member<'a> = (&'a Contender, Server);

// ===== impl Plan =====

impl Plan {
    /// `BENCH_ROUNDS` (20) with turns of `BENCH_SECONDS` (1). Fewer rounds are a trial run: its long run is a turn.
    pub fn from_environment() -> Self {
        let number =
            |name: &str| env::var(name).ok().map(|text| text.parse::<usize>().expect("a whole number"));
        let seconds = number("BENCH_SECONDS").unwrap_or(1).max(1);
        let rounds = number("BENCH_ROUNDS").unwrap_or(ROUNDS).max(1);
        Self { rounds, turn: Duration::from_secs(seconds as u64) }
    }

    /// Rounds of a group that has a share of them.
    fn rounds(&self, every: usize) -> usize {
        self.rounds.div_ceil(every)
    }
}

/// Checks that every installed contender answers according to the contract.
pub async fn check() {
    for contender in contenders().iter().filter(|of| of.is_installed() && of.is_checked()) {
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
        seconds: plan.turn.as_secs(),
        contenders: there.iter().map(|of| (of.id.to_owned(), of.what.to_owned())).collect(),
        missing: missing.iter().map(|of| (of.id.to_owned(), "not installed".to_owned())).collect(),
        ..Data::default()
    };
    check().await;
    println!("contract: {:.0?}", begun.elapsed());
    for round in 0..plan.rounds.min(STARTS) {
        for contender in there.iter().filter(|of| of.has_footprint()) {
            let server = Server::start(contender).await;
            data.footprint.push(footprint(round, contender, &server).await.expect("1,000 connections"));
        }
    }
    println!("start and memory: {:.0?}", begun.elapsed());
    let folder = tempfile::tempdir().unwrap();
    for group in GROUPS {
        compare(plan, group, &there, &folder, &mut data).await;
        println!("group {}: {:.0?}", group.name, begun.elapsed());
    }
    for (group, (every, names)) in LATENCY_GROUPS.iter().enumerate() {
        let members = start(&there, |id| names.contains(&id), &folder).await;
        // A rate means something only in comparison.
        if members.len() < 2 {
            continue;
        }
        let rate = LOAD * members.iter().map(|(of, _)| peak(&data, of)).fold(f64::INFINITY, f64::min);
        for round in 0..plan.rounds(*every) {
            for index in order(members.len(), round) {
                let (contender, server) = &members[index];
                let measured = at_rate(contender, server, rate, plan.turn).await;
                data.latency.push(Latency { round, group, ..measured });
            }
        }
        println!("latencies {}: {:.0?}", names.join(", "), begun.elapsed());
    }
    let ours = start(&there, |id| id == NEAR, &folder).await;
    let (contender, server) = ours.first().expect("the service is installed");
    let lasts = if plan.rounds < ROUNDS { plan.turn } else { LONG };
    data.long = Some(at_rate(contender, server, LOAD * peak(&data, contender), lasts).await);
    let took = format!("{:.1} minutes", begun.elapsed().as_secs_f64() / 60.0);
    data.circumstances.push(("took".to_owned(), took));
    data
}

/// Starts these contenders side by side, and warms them up.
async fn start<'a>(
    there: &'a [Contender],
    is_member: impl Fn(&str) -> bool,
    folder: &TempDir,
) -> Vec<Member<'a>> {
    let mut members = Vec::new();
    for contender in there.iter().filter(|of| is_member(of.id)) {
        let server = Server::start(contender).await;
        warm_up(&server, folder.path()).await;
        members.push((contender, server));
    }
    members
}

/// The median of its cached scores a second.
fn peak(data: &Data, contender: &Contender) -> f64 {
    data.spread(contender.id, Workload::Cached, 32, |run| run.per_second).map_or(0.0, |peak| peak.median)
}

/// All rounds of a group.
async fn compare(plan: &Plan, group: &Group, there: &[Contender], folder: &TempDir, data: &mut Data) {
    let is_member = |id: &str| group.loads.iter().any(|load| load.members.contains(&id));
    let all = start(there, is_member, folder).await;
    for round in 0..plan.rounds(group.every) {
        for load in group.loads {
            let there = load.members.iter().filter_map(|id| all.iter().find(|(of, _)| of.id == *id));
            let members: Vec<_> = there.collect();
            for index in order(members.len(), round) {
                let run = turn(plan, group, load, round, members[index], folder).await;
                data.throughput.push(run);
            }
        }
    }
}

/// One turn of one contender.
async fn turn(
    plan: &Plan,
    group: &Group,
    load: &Load,
    round: usize,
    (contender, server): &Member<'_>,
    folder: &TempDir,
) -> Throughput {
    let &Load { workload, connections, .. } = load;
    let bodies = write_bodies(workload, folder.path());
    let lasts = plan.turn * workload.turns();
    let (cpu, redis_cpu) = (server.cpu(), server.redis_cpu(contender.store).await);
    let summary = if workload == Workload::Handshakes {
        let (address, client) = (server.target.public(), server.tls_client());
        handshakes(address, client, &workload.bodies()[0], connections, lasts).await
    } else {
        wrk(&server.url(), &bodies, connections, lasts).await
    };
    let (cpu, redis_cpu) = (server.cpu() - cpu, server.redis_cpu(contender.store).await - redis_cpu);
    server.idle().await;
    let each = |seconds: f64| seconds * 1e6 / (summary.requests.max(1) as f64);
    let run = Throughput {
        group: group.name.to_owned(),
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
        "{:>16} {:<20} {connections:>4} connections: {:>7.0}/s, {:>6.1} µs CPU, {:>4.1} µs store, {} errors",
        run.contender,
        workload.name(),
        run.per_second,
        run.cpu_us,
        run.redis_cpu_us,
        run.errors
    );
    run
}

/// Also fills the cache with the persons of the cached workload.
async fn warm_up(server: &Server, folder: &Path) {
    wrk(&server.url(), &write_bodies(Workload::Cached, folder), 32, WARM_UP).await;
}

async fn at_rate(contender: &Contender, server: &Server, rate: f64, lasts: Duration) -> Latency {
    let port = server.port();
    let bodies = Workload::Cached.bodies();
    let seen = spawn_blocking(move || open_loop(port, &bodies, &evenly(rate, lasts), lasts));
    let seen = seen.await.unwrap().unwrap();
    server.idle().await;
    let latency = Latency {
        round: 0,
        group: 0,
        contender: contender.id.to_owned(),
        rate,
        calls: seen.took.len(),
        errors: seen.failed + seen.unsent,
        percentiles: SHARES.map(|share| seen.micros_at(share)).to_vec(),
        worst: seen.micros_at(1.0),
        over_25_ms: seen.took.len() - seen.took.partition_point(|took| *took <= SLOW),
    };
    println!(
        "{:>16} at {rate:.0}/s: {:.0?} µs, worst {:.0} µs, {} failed, {} unsent",
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
