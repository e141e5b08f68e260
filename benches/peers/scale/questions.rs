//! The quantities that grow, their sizes, and the contenders.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Plan,
    data::{Import, Question, Scale, Stage},
    measure::{Ask, load, point},
};
use crate::{
    contenders::{CLUSTER, Contender, EMBEDDED, EMBEDDED_URL, NEAR, SERVICE, contenders},
    data::Spread,
    server::{Server, import, workers},
    workloads::{MARK, Workload, interests, score, write_bodies},
};

pub const CONNECTIONS: [usize; 7] = [1, 4, 16, 64, 256, 1_000, 4_000];
pub const IDS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const KEYS: [i64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const HITS: [i64; 5] = [0, 25, 50, 75, 100];
const WORKERS: [(i64, &str); 2] = [(1, "http.workers=1"), (2, "http.workers=2")];

/// Connections, unless their number is the question. The load at a fixed rate has the same number.
pub const USUAL: usize = 64;

/// Ids of each call to the embedded store; below, the number of different calls.
pub const IDS_OF_KEYS: usize = 100;
const CALLS_OF_KEYS: usize = 2_000;

/// Allows as many calls in flight as there are connections; otherwise the service sheds the calls over its limit.
const ALL_IN_FLIGHT: &str = "limits.max_in_flight=16384";

/// The longest import, in seconds.
const PATIENCE: f64 = 180.0;

/// Generous estimate of one key's size on disk.
const BYTES_OF_KEY: i64 = 400;

/// Each embedded store's number of keys, and its folder.
type Stores = Vec<(i64, PathBuf)>;

fn contender(id: &str) -> Option<Contender> {
    contenders().into_iter().find(|contender| contender.id == id)
}

/// The contenders that exist: a service without a near cache has no such contender.
fn those<'a>(ids: &'a [&'a str]) -> impl Iterator<Item = Contender> + 'a {
    ids.iter().filter_map(|id| contender(id))
}

/// Fills the embedded stores, as far as time and disk allow.
pub fn fill_stores(most: i64, folder: &Path, scale: &mut Scale) -> Stores {
    let mut stores = Stores::new();
    for keys in KEYS.into_iter().filter(|keys| *keys <= most) {
        let expected = scale.imports.last().map_or(0.0, |last| last.seconds * keys as f64 / last.keys as f64);
        if expected > PATIENCE || free(folder) < keys * BYTES_OF_KEY {
            scale.left_out.push(format!(
                "{keys} keys: the import would take {expected:.0} s and up to {} MiB of disk",
                (keys * BYTES_OF_KEY) >> 20
            ));
            continue;
        }
        let path = folder.join(keys.to_string());
        fs::create_dir(&path).unwrap();
        let seconds = import(&path, EMBEDDED_URL, keys).as_secs_f64();
        let file_bytes = fs::metadata(path.join("scoring.redb")).unwrap().len();
        println!("imported {keys} keys in {seconds:.1} s: {} KiB", file_bytes >> 10);
        scale.imports.push(Import { keys, seconds, file_bytes });
        stores.push((keys, path));
    }
    stores
}

/// Free bytes on the disk of a folder.
fn free(folder: &Path) -> i64 {
    let output = Command::new("df").args(["-k", "--output=avail"]).arg(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().last().and_then(|line| line.trim().parse::<i64>().ok()).unwrap_or(0) << 10
}

/// Connections of one worker, as the idle service's Redis counts them.
pub async fn connections_per_worker() -> f64 {
    let service = contender(SERVICE).unwrap();
    let server = Server::start(&service).await;
    let all = server.redis_info(service.store, &["connected_clients"]).await;
    // One of them is this query's own.
    (all - 1.0) / workers() as f64
}

/// One round of all measurements.
pub async fn ask_all(plan: &Plan, round: usize, folder: &Path, stores: &Stores, scale: &mut Scale) {
    let cached = write_bodies(Workload::Cached, folder);
    let mut asks = Vec::new();
    for connections in CONNECTIONS {
        for service in those(&[SERVICE, NEAR]) {
            let service = service.with(ALL_IN_FLIGHT);
            asks.push((Question::Connections, connections as i64, service, cached.clone(), connections));
        }
    }
    for ids in IDS {
        let bodies = write_bodies(Workload::Interests(ids), folder);
        asks.extend(those(&[SERVICE]).map(|of| (Question::Ids, ids as i64, of, bodies.clone(), USUAL)));
    }
    for hits in HITS {
        let bodies = mixed(hits, folder);
        let both = those(&[SERVICE, NEAR]);
        asks.extend(both.map(|of| (Question::Hits, hits, of, bodies.clone(), USUAL)));
    }
    for (workers, setting) in WORKERS {
        let all = those(&[SERVICE, NEAR, EMBEDDED]);
        asks.extend(all.map(|of| (Question::Workers, workers, of.with(setting), cached.clone(), USUAL)));
    }
    let hundred = write_bodies(Workload::Interests(100), folder);
    for (shards, id) in [(1, SERVICE), (3, CLUSTER)] {
        asks.extend(those(&[id]).map(|of| (Question::Shards, shards, of, hundred.clone(), USUAL)));
    }
    for (question, at, contender, bodies, connections) in &asks {
        let server = Server::start(contender).await;
        let warm_up = if matches!(question, Question::Ids | Question::Shards) { bodies } else { &cached };
        let ask = Ask {
            question: *question,
            round,
            contender,
            at: *at,
            bodies,
            warm_up,
            connections: *connections,
            lasts: plan.load,
        };
        scale.points.push(point(&ask, &server).await);
    }
    ask_instances(plan, round, &cached, scale).await;
    ask_stores(plan, round, folder, stores, scale).await;
    ask_loads(plan, round, scale).await;
}

async fn ask_instances(plan: &Plan, round: usize, bodies: &Path, scale: &mut Scale) {
    let contender = contender(SERVICE).unwrap().with("http.workers=1");
    let ask = |at: i64| Ask {
        question: Question::Instances,
        round,
        contender: &contender,
        at,
        bodies,
        warm_up: bodies,
        connections: USUAL / usize::try_from(at).unwrap(),
        lasts: plan.load,
    };
    let first = Server::start(&contender).await;
    scale.points.push(point(&ask(1), &first).await);
    let second = Server::start_beside(&first, &contender).await;
    let both = ask(2);
    let (one, other) = tokio::join!(point(&both, &first), point(&both, &second));
    scale.points.push(one.beside(&other));
}

async fn ask_stores(plan: &Plan, round: usize, folder: &Path, stores: &Stores, scale: &mut Scale) {
    let contender = contender(EMBEDDED).unwrap();
    for (keys, store) in stores {
        let bodies = of_keys(*keys, round as u64, folder);
        let server = Server::start_in(&contender, store).await;
        let ask = Ask {
            question: Question::Keys,
            round,
            contender: &contender,
            at: *keys,
            bodies: &bodies,
            warm_up: &bodies,
            connections: USUAL,
            lasts: plan.load,
        };
        scale.points.push(point(&ask, &server).await);
    }
}

/// The loads that the model is checked against.
async fn ask_loads(plan: &Plan, round: usize, scale: &mut Scale) {
    let service = contender(SERVICE).unwrap();
    let server = Server::start(&service).await;
    let usual = |point: &super::data::Point| point.per_second;
    let mut peak =
        scale.spread(Question::Connections, SERVICE, USUAL as i64, usual).map_or(0.0, |of| of.median);
    for stage in Stage::ALL {
        let measured = load(round, stage, stage.share() * peak, plan.load, &server, service.store).await;
        if stage == Stage::Peak {
            peak = measured.per_second;
        }
        scale.loads.push(measured);
    }
}

/// Bodies of which `hits` in a hundred ask for a cached score, well mixed.
fn mixed(hits: i64, folder: &Path) -> PathBuf {
    // 37 and 100 have no common divisor, so each number comes up once.
    let body = |turn: i64| if turn * 37 % 100 < hits { score(&format!("{turn:010}")) } else { score(MARK) };
    write(&folder.join(format!("mixed-{hits}")), (0..100).map(body))
}

/// Bodies that ask an embedded store of `keys` keys for random ones.
fn of_keys(keys: i64, seed: u64, folder: &Path) -> PathBuf {
    let mut random = fastrand::Rng::with_seed(seed);
    let body = |_| {
        let mut ids = Vec::with_capacity(IDS_OF_KEYS);
        while ids.len() < IDS_OF_KEYS {
            let id = random.i64(1..=keys);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        interests(&ids)
    };
    write(&folder.join(format!("keys-{keys}")), (0..CALLS_OF_KEYS).map(body))
}

fn write(path: &Path, bodies: impl Iterator<Item = String>) -> PathBuf {
    fs::write(path, bodies.collect::<Vec<_>>().join("\n")).unwrap();
    path.to_owned()
}

/// The median, or 0.
pub fn median(spread: Option<Spread>) -> f64 {
    spread.map_or(0.0, |spread| spread.median)
}
