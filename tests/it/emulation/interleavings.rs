//! Row 27 as a property: whatever the order in which reads are sent, abandoned, late and cut off, each answer is the one to
//! its own question.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use prometheus::Registry;
use proptest::{prelude::*, test_runner::TestRunner};
use scoring_api::store::{
    Link, LinkPolicy, Monitor, PersistentRequests, RedisConnector, Role, RoleStatus, StoreMetrics,
    url::StoreUrl,
};
use tokio::{
    runtime::Builder,
    task::{LocalSet, spawn_local, yield_now},
    time::{Instant, sleep, timeout},
};

use crate::{
    harness::alone,
    tools::{DATA, Fault, RespServer},
};

/// Of the keys `i:0`, `i:1`, … the values are `of 0`, `of 1`, …
pub const KEYS: u64 = 1_000;

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Somebody reads so many keys of their own, and goes away after so many microseconds.
    Read { keys: u64, patience_us: u64 },
    /// Something happens to the store.
    Upset(Upset),
    /// Nothing, for so many microseconds.
    Pause(u64),
}

/// What can happen to the store.
#[derive(Clone, Copy, Debug)]
pub enum Upset {
    /// It is late with its next answer, by so many milliseconds.
    Late(u64),
    /// All its connections end.
    Cut,
}

/// Any step; most of them are reads, and of those some are patient enough to be answered.
pub fn any_step() -> impl Strategy<Value = Step> {
    let patience_us = prop_oneof![0u64..3_000, Just(200_000)];
    prop_oneof![
        12 => (1u64..4, patience_us).prop_map(|(keys, patience_us)| Step::Read { keys, patience_us }),
        2 => (1u64..40).prop_map(|ms| Step::Upset(Upset::Late(ms))),
        1 => Just(Step::Upset(Upset::Cut)),
        3 => (0u64..2_000).prop_map(Step::Pause),
    ]
}

/// Takes the steps, with `upset` to upset the store, and checks each answer. Returns how many there were.
pub async fn take(url: &str, steps: Vec<Step>, upset: impl AsyncFn(Upset)) -> usize {
    let links = [link(url), link(url)];
    let requests = PersistentRequests::new(&links, 3);
    let answers = Rc::<Cell<usize>>::default();
    let (mut readers, mut next) = (Vec::new(), 0);
    for step in steps {
        match step {
            Step::Read { keys, patience_us } => {
                let (requests, answers) = (requests.clone(), answers.clone());
                let ids: Vec<_> = (next..next + keys).map(|id| id % KEYS).collect();
                next += keys;
                readers.push(spawn_local(async move {
                    let names: Arc<[String]> = ids.iter().map(|id| format!("i:{id}")).collect();
                    let read = requests.get_many(names, Instant::now() + Duration::from_millis(150));
                    if let Ok(Ok(values)) = timeout(Duration::from_micros(patience_us), read).await {
                        let own: Vec<_> =
                            ids.iter().map(|id| Some(format!("of {id}").into_bytes())).collect();
                        assert_eq!(values, own);
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

fn link(url: &str) -> Link {
    let StoreUrl::Redis(target) = url.parse().unwrap() else { panic!("{url}") };
    let connector = Arc::new(RedisConnector::new(target, Duration::from_millis(300)));
    let status = RoleStatus::new(Role::Persistent, StoreMetrics::register(&Registry::new()).unwrap());
    Link::start(connector, LinkPolicy::new(Duration::from_millis(30)), Monitor::new(status)).0
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
            (0..KEYS).for_each(|id| store.put(&format!("i:{id}"), format!("of {id}")));
            let upset = async |what| match what {
                Upset::Late(ms) => store.also(Fault::Delay(Duration::from_millis(ms)).on(DATA).times(1)),
                Upset::Cut => store.drop_connections(),
            };
            take(&store.url(), steps, upset).await
        });
        answers.set(answers.get() + answered);
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(answers.get() > 0, "nothing could be checked");
}
