use std::sync::Arc;

use prometheus::{
    Registry,
    proto::{Metric, MetricFamily},
};
use rstest::rstest;
use tokio::time::sleep;

use super::*;
use crate::{
    actors::runtime::{ActorHealth, ActorsHealth, RestartPolicy, supervise},
    store::{
        LinkPolicy, Role, StoreHealth, StoreMetrics,
        testing::{Act, Script, every_error},
    },
    testing::{paused, settle},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const KEY: &str = "uid:1";

struct Test {
    script: Script,
    address: Addr<CacheStoreActor>,
    health: Arc<ActorHealth>,
    status: Arc<StoreHealth>,
    lookups: CacheLookups,
    registry: Registry,
}

async fn start() -> Test {
    start_on(Script::default()).await
}

async fn start_on(script: Script) -> Test {
    let registry = Registry::new();
    let status =
        StoreHealth::new(Role::Cache, "scripted:1".to_owned(), StoreMetrics::register(&registry).unwrap());
    let lookups = CacheLookups::register(&registry).unwrap();
    let role = RolePlan {
        connector: script.connector(),
        policy: LinkPolicy::new(100 * MILLI),
        health: status.clone(),
    };
    let plan = CacheStorePlan { role, ttl: SECOND, lookups: lookups.clone() };
    let health = ActorsHealth::default().of("store");
    let address = supervise(CacheStoreActor::new(plan), RestartPolicy::default(), &health).address;
    settle().await;
    Test { script, address, health, status, lookups, registry }
}

fn within(budget: Duration) -> Deadline {
    Deadline::after(Instant::now(), budget)
}

impl Test {
    async fn get(&self) -> Option<Score> {
        let key = KEY.to_owned();
        let deadline = within(80 * MILLI);
        self.address.send(CacheGet { key, deadline }).await.unwrap()
    }

    async fn put(&self, score: f64, budget: Duration) {
        let put =
            CachePut { key: KEY.to_owned(), score: Score::new(score).unwrap(), deadline: within(budget) };
        self.address.send(put).await.unwrap();
    }

    fn store(&self, value: &str) {
        self.script.state().values.insert(KEY.to_owned(), value.as_bytes().to_vec());
    }

    fn counted(&self, lookup: Lookup) -> u64 {
        self.lookups.counted(lookup)
    }

    /// The number of writes counted with this outcome.
    fn writes(&self, outcome: &str) -> f64 {
        let families = self.registry.gather();
        let of_operations = |family: &&MetricFamily| family.name() == "scoring_store_operations_total";
        let series = families.iter().filter(of_operations).flat_map(MetricFamily::get_metric);
        let has = |metric: &Metric, value| metric.get_label().iter().any(|label| label.value() == value);
        series.filter(|of| has(of, "set") && has(of, outcome)).map(|of| of.get_counter().get_value()).sum()
    }
}

#[rstest]
#[case::zero(0.0)]
#[case::with_a_fraction(4.5)]
fn a_score_that_was_put_is_a_hit(#[case] score: f64) {
    paused(async {
        let test = start().await;
        assert_eq!(test.get().await, None);
        test.put(score, SECOND).await;
        assert_eq!(test.get().await, Score::new(score));
        assert_eq!((test.counted(Lookup::Hit), test.counted(Lookup::Miss)), (1, 1));
    });
}

#[rstest]
#[case::empty("")]
#[case::text("five")]
#[case::not_a_number("NaN")]
#[case::infinite("inf")]
#[case::negative("-1")]
#[case::json(r#"{"score": 1}"#)]
fn a_malformed_cached_value_is_a_miss_until_it_is_overwritten(#[case] value: &str) {
    paused(async {
        let test = start().await;
        test.store(value);
        assert_eq!(test.get().await, None);
        assert_eq!(test.counted(Lookup::Miss), 1);
        test.put(3.0, SECOND).await;
        assert_eq!(test.get().await, Score::new(3.0));
    });
}

#[test]
fn any_failure_of_the_cache_is_a_miss_counted_as_degraded() {
    let failing = every_error().into_iter().map(Act::Fail);
    for act in failing.chain([Act::Hang, Act::Trickle(SECOND)]) {
        paused(async {
            let test = start().await;
            test.store("3");
            test.script.commands(&act);
            let begun = Instant::now();
            assert_eq!(test.get().await, None);
            assert!(begun.elapsed() <= 81 * MILLI, "{act:?}: {:?}", begun.elapsed());
            assert_eq!(test.counted(Lookup::Degraded), 1);
        });
    }
}

#[test]
fn a_cache_that_is_down_is_not_asked_and_writes_are_counted() {
    paused(async {
        let test = start().await;
        // No connect is answered before the script is healed, however early the first one comes.
        test.script.state().connect = Act::Slow(3600 * SECOND);
        test.script.cut();
        settle().await;
        let begun = Instant::now();
        assert_eq!(test.get().await, None);
        test.put(3.0, SECOND).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(test.counted(Lookup::Degraded), 1);
        assert_eq!((test.writes("disconnected"), test.script.state().sets), (1.0, 0));

        test.script.heal();
        sleep(SECOND).await;
        test.put(3.0, SECOND).await;
        assert_eq!(test.get().await, Score::new(3.0));
        assert_eq!((test.writes("disconnected"), test.writes("ok")), (1.0, 1.0));
    });
}

#[test]
fn a_score_is_not_written_after_its_deadline() {
    paused(async {
        let test = start().await;
        test.put(3.0, Duration::ZERO).await;
        assert_eq!(test.script.state().sets, 0);
    });
}

/// The link's keeper is part of the actor: if the keeper panics, the actor does.
#[test]
fn a_panicking_connector_restarts_the_actor_with_one_connection() {
    paused(async {
        let test = start().await;
        test.script.state().connect = Act::Panic;
        test.script.cut();
        sleep(5 * SECOND).await;
        assert!(test.health.is_failing());
        let attempts = test.script.connects();
        assert!(attempts < 60, "{attempts} in 5 s");

        test.script.heal();
        test.store("3");
        sleep(SECOND).await;
        assert_eq!(test.get().await, Score::new(3.0));
        assert_eq!(test.script.open(), 1);
        assert!(test.status.report().up);
    });
}

#[test]
fn a_backend_that_panics_on_a_command_fails_that_request_only() {
    paused(async {
        let test = start().await;
        test.script.state().set = Act::Panic;
        let put = CachePut { key: KEY.to_owned(), score: Score::new(3.0).unwrap(), deadline: within(SECOND) };
        assert_eq!(test.address.send(put).await, Err(MailboxError::Closed));
        test.store("3");
        assert_eq!(test.get().await, Score::new(3.0));
        assert_eq!(test.health.restarts(), 0);
    });
}

/// Fault 23: readiness depends on the look-ups' link only.
#[test]
fn a_link_for_writes_that_fails_is_nobodys_concern() {
    paused(async {
        let script = Script::default();
        script.state().is_one_stream = true;
        let test = start_on(script).await;
        assert_eq!(test.script.open(), 2);
        test.script.state().only_connection = 2;
        test.script.commands(&Act::Hang);
        for _ in 0..20 {
            test.put(3.0, SECOND).await;
            assert!(test.status.report().up);
            assert_eq!(test.status.report().last_error, None);
            assert_eq!(test.get().await.is_some(), test.counted(Lookup::Hit) > 0);
        }
        assert_eq!(test.counted(Lookup::Degraded), 0);
        assert_eq!(test.script.open(), 2, "it was given up as silent, and made anew");
        assert_eq!(test.health.restarts(), 0);
    });
}

#[test]
fn the_connection_ends_with_the_actors_last_address() {
    paused(async {
        let Test { script, address, health, status, .. } = start().await;
        assert_eq!(script.open(), 1);
        drop(address);
        settle().await;
        assert_eq!(script.open(), 0);
        assert_eq!(health.restarts(), 0);
        assert!(!status.report().up);
    });
}
