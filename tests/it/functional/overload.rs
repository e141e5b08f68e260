//! More load than can be served: row 33 of the fault table.
//!
//! The capacity is known exactly on every machine: a number of calls at a time, each of which takes the store a fixed
//! time. The load is *open-loop*: calls start by the clock, even if earlier calls are slow, as independent callers
//! do.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use scoring_api::{
    app::Stores,
    store::{BackendError, Connection, Connector, Memory, ReplyFuture},
};
use testkit::{ALL_IS_OK_WITHIN, SLACK, TestApp, alone, settings};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

/// How long a read takes, and how many there may be at a time: together 24 calls a second, few enough that neither
/// clients nor service need much of a core, even on a starved machine.
const READ_TAKES: Duration = Duration::from_millis(160);
const MAX_IN_FLIGHT: u32 = 4;
const CAPACITY: u32 = 1_000 / 160 * MAX_IN_FLIGHT;

/// How long each load lasts.
const LASTS: Duration = Duration::from_secs(2);

/// The longest that a refusal may take.
const REFUSED_WITHIN: Duration = Duration::from_millis(10 * SLACK as u64);

/// A store whose reads take their time, side by side.
#[derive(Debug, Clone)]
struct Slow(Memory, Duration);

impl Connector for Slow {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        Box::pin(async { Ok(connection) })
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn address(&self) -> String {
        "scripted".to_owned()
    }
}

impl Connection for Slow {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        self.0.get(key)
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let (reply, takes) = (self.0.get_many(keys), self.1);
        Box::pin(async move {
            sleep(takes).await;
            reply.await
        })
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        self.0.set(key, value, ttl)
    }

    fn silent_for(&self) -> Duration {
        self.0.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        self.0.closed()
    }

    fn close(&self) {
        self.0.close();
    }
}

/// The result of a load: sorted durations of calls.
#[derive(Debug, Default)]
struct Outcome {
    served: Vec<Duration>,
    refused: Vec<Duration>,
}

/// Sends calls of `clients_interests` at `times` the rate that can be served.
async fn load(app: &Arc<TestApp>, times: u32) -> Outcome {
    let mut ticks = interval(Duration::from_secs(1) / (CAPACITY * times));
    // A delayed client catches up, so that the load is as stated.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = JoinSet::new();
    let begun = Instant::now();
    while begun.elapsed() < LASTS {
        ticks.tick().await;
        let app = app.clone();
        calls.spawn(async move { app.interests(&[1, 2]).await });
    }
    let mut outcome = Outcome::default();
    while let Some(reply) = calls.join_next().await {
        let reply = reply.unwrap();
        match reply.status {
            200 => outcome.served.push(reply.took),
            _ => {
                assert_eq!((reply.status, reply.error()), (503, "Service Unavailable"));
                assert!(reply.headers.contains_key("retry-after"));
                outcome.refused.push(reply.took);
            }
        }
    }
    outcome.served.sort();
    outcome.refused.sort();
    outcome
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

#[tokio::test]
async fn row_33_a_load_of_five_times_the_capacity_costs_calls_nothing() {
    alone();
    let memory = Memory::new(100);
    for (key, value) in TestApp::seeds() {
        memory.insert(key.to_owned(), value.into());
    }
    let stores = Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(Slow(memory, READ_TAKES)) };
    let limit = format!("limits.max_in_flight={MAX_IN_FLIGHT}");
    let app =
        Arc::new(TestApp::start(settings(&[&limit, "store.timeout=5s", "store.deadline=5s"]), stores).await);
    app.recovers().await;

    let (one, two, five) = (load(&app, 1).await, load(&app, 2).await, load(&app, 5).await);
    app.recovers_within(ALL_IS_OK_WITHIN).await;

    let goodput = [&one, &two, &five].map(|outcome| outcome.served.len());
    let refused = [&one, &two, &five].map(|outcome| outcome.refused.len());
    let peak = goodput.into_iter().max().unwrap();
    assert!(five.served.len() * 10 >= peak * 7, "served {goodput:?}");
    let slowest = percentile(&five.served, 99);
    assert!(slowest <= 2 * READ_TAKES * SLACK, "at five times the load, p99 of the served is {slowest:?}");
    assert!(refused[1] > 0 && refused[2] > refused[1], "refused {refused:?}");
    // Of these the median: calls that queue would all be late, and the few that are late otherwise waited for a core.
    let typical = percentile(&five.refused, 50);
    assert!(typical <= REFUSED_WITHIN, "at five times the load, a refusal takes {typical:?}");
    let shed = app.metric(r#"scoring_requests_shed_total{reason="overload"}"#).await;
    assert_eq!(shed, refused.into_iter().sum::<usize>() as f64);
}

/// A body that cannot be served is not parsed either.
#[tokio::test]
async fn row_33_with_all_permits_taken_a_body_is_not_even_parsed() {
    let memory = Memory::new(100);
    let slow = Slow(memory.clone(), Duration::from_secs(60));
    let stores = Stores { cache: Arc::new(memory), persistent: Arc::new(slow) };
    let limit = format!("limits.max_in_flight={MAX_IN_FLIGHT}");
    // Each call holds its permit for as long as it waits for its read.
    let app = settings(&[&limit, "store.timeout=20s", "store.deadline=20s"]);
    let app = Arc::new(TestApp::start(app, stores).await);
    let mut calls = JoinSet::new();
    for _ in 0..MAX_IN_FLIGHT {
        let app = app.clone();
        calls.spawn(async move { app.interests(&[1]).await });
    }
    testkit::eventually(Duration::from_secs(10), "all permits are taken", async || {
        app.post("no JSON").await.status == 503
    })
    .await;
    let reply = app.post("no JSON").await;
    assert_eq!((reply.status, reply.error()), (503, "Service Unavailable"));
    assert!(reply.headers.contains_key("retry-after"));
    assert!(app.metric(r#"scoring_requests_shed_total{reason="overload"}"#).await >= 2.0);
    calls.abort_all();
}
