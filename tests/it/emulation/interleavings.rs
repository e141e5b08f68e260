//! Row 27 as a property: reads are sent, abandoned, late, cut off and answered twice in any order, and each answer
//! belongs to its question.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use prometheus::Registry;
use proptest::{prelude::*, test_runner::TestRunner};
use scoring_api::{
    resolver::Resolver,
    store::{
        CacheClient, Connector, Link, LinkHealth, LinkPolicy, MemcachedConnector, PersistentReader,
        RedisConnector, Role, StoreHealth, StoreMetrics, TarantoolConnector, url::StoreUrl,
    },
};
use testkit::{DATA, Fault, RespServer, alone};
use tokio::{
    runtime::Builder,
    task::{LocalSet, spawn_local, yield_now},
    time::{Instant, sleep, timeout},
};

/// Of the keys `i:0`, `uid:0`, `i:1`, … the values are `of i:0`, `of uid:0`, `of i:1`, …
pub const KEYS: u64 = 1_000;

/// The next event.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A caller reads this many keys of its own, and leaves after this many microseconds.
    Read { keys: u64, patience_us: u64 },
    /// A caller looks up a cached key of its own, and leaves after this many microseconds.
    LookUp { patience_us: u64 },
    /// Something happens to the store.
    Upset(Upset),
    /// Nothing, for this many microseconds.
    Pause(u64),
}

/// A fault of the store.
#[derive(Clone, Copy, Debug)]
pub enum Upset {
    /// Its next answer is late by this many milliseconds.
    Late(u64),
    /// All its connections end.
    Cut,
    /// It sends this many of its next replies twice. No real store does.
    Twice(usize),
}

/// Any step; most of them are reads, and of those some are patient enough to be answered.
pub fn any_step() -> impl Strategy<Value = Step> {
    let patience_us = || prop_oneof![0u64..3_000, Just(200_000)];
    prop_oneof![
        12 => (1u64..4, patience_us()).prop_map(|(keys, patience_us)| Step::Read { keys, patience_us }),
        12 => patience_us().prop_map(|patience_us| Step::LookUp { patience_us }),
        2 => (1u64..40).prop_map(|ms| Step::Upset(Upset::Late(ms))),
        1 => Just(Step::Upset(Upset::Cut)),
        1 => (1usize..4).prop_map(|replies| Step::Upset(Upset::Twice(replies))),
        3 => (0u64..2_000).prop_map(Step::Pause),
    ]
}

/// Takes the steps, with `upset` to upset the store, and checks each answer. Returns how many there were. A store that is only
/// a cache has no reads.
pub async fn take(url: &str, steps: Vec<Step>, upset: impl AsyncFn(Upset)) -> usize {
    let is_persistent = url.parse::<StoreUrl>().unwrap().is_persistent();
    let links = [link(url, Role::Persistent), link(url, Role::Persistent)];
    let requests = PersistentReader::new(&links, 3);
    let cache_link = link(url, Role::Cache);
    let cache = CacheClient::new(&cache_link, None);
    let answers = Rc::<Cell<usize>>::default();
    let (mut readers, mut next) = (Vec::new(), 0);
    for step in steps {
        match step {
            Step::Read { keys, patience_us } if is_persistent => {
                let (requests, answers) = (requests.clone(), answers.clone());
                let ids: Vec<_> = (next..next + keys).map(|id| id % KEYS).collect();
                next += keys;
                readers.push(spawn_local(async move {
                    let names: Arc<[String]> = ids.iter().map(|id| format!("i:{id}")).collect();
                    let read = requests.get_many(names, Instant::now() + Duration::from_millis(150));
                    if let Ok(Ok(values)) = timeout(Duration::from_micros(patience_us), read).await {
                        let own: Vec<_> =
                            ids.iter().map(|id| Some(format!("of i:{id}").into_bytes())).collect();
                        assert_eq!(values, own);
                        answers.set(answers.get() + 1);
                    }
                }));
                yield_now().await;
            }
            Step::Read { patience_us, .. } | Step::LookUp { patience_us } => {
                let (cache, answers, key) = (cache.clone(), answers.clone(), format!("uid:{}", next % KEYS));
                next += 1;
                readers.push(spawn_local(async move {
                    let read = cache.get(key.clone(), Instant::now() + Duration::from_millis(150));
                    if let Ok(Ok(value)) = timeout(Duration::from_micros(patience_us), read).await {
                        assert_eq!(value, Some(format!("of {key}").into_bytes()));
                        answers.set(answers.get() + 1);
                    }
                }));
                yield_now().await;
            }
            Step::Pause(us) => sleep(Duration::from_micros(us)).await,
            Step::Upset(what) => upset(what).await,
        }
    }
    for reader in readers {
        reader.await.expect("an answer belonged to another question");
    }
    answers.get()
}

/// The stored value that [`take`] finds.
pub fn entries() -> impl Iterator<Item = (String, String)> {
    let keys = (0..KEYS).flat_map(|id| [format!("i:{id}"), format!("uid:{id}")]);
    keys.map(|key| (key.clone(), format!("of {key}")))
}

fn link(url: &str, role: Role) -> Link {
    let (limit, resolver) = (Duration::from_millis(300), Resolver::system());
    let connector: Arc<dyn Connector> = match url.parse().unwrap() {
        StoreUrl::Redis(target) => Arc::new(RedisConnector::new(target, limit, resolver)),
        StoreUrl::Memcached(servers) => Arc::new(MemcachedConnector::new(&servers, limit, resolver)),
        StoreUrl::Tarantool(target) => Arc::new(TarantoolConnector::new(target, limit, resolver)),
        StoreUrl::Embedded(_) | StoreUrl::Memory => panic!("{url}"),
    };
    let status =
        StoreHealth::new(role, "scripted:1".to_owned(), StoreMetrics::register(&Registry::new()).unwrap());
    Link::start(connector, LinkPolicy::new(Duration::from_millis(30)), LinkHealth::new(status)).0
}

#[test]
fn row_27_every_answer_belongs_to_its_own_question() {
    alone();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) };
    let answers = Cell::new(0);
    let any_steps = proptest::collection::vec(any_step(), 50..300);
    let outcome = TestRunner::new(config).run(&any_steps, |steps| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let answered = LocalSet::new().block_on(&runtime, async {
            let store = RespServer::start();
            entries().for_each(|(key, value)| store.put(&key, value));
            let upset = async |what| match what {
                Upset::Late(ms) => store.also(Fault::Delay(Duration::from_millis(ms)).on(DATA).times(1)),
                Upset::Cut => store.drop_connections(),
                Upset::Twice(replies) => store.also(Fault::Twice.on(DATA).times(replies)),
            };
            take(&store.url(), steps, upset).await
        });
        answers.set(answers.get() + answered);
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(answers.get() > 0, "nothing could be checked");
}
