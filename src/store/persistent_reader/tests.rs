mod at_fault;

use std::io::ErrorKind::NotConnected;

use futures_util::future::join_all;
use prometheus::{Registry, TextEncoder};
use proptest::prelude::*;
use rstest::rstest;
use tokio::{select, time::sleep};

use super::*;
use crate::{
    store::{
        LinkHealth, LinkPolicy, Role, StoreHealth, StoreMetrics,
        testing::{Act, MILLI, SECOND, Script, TIMEOUT, every_error, start_link, until_open},
    },
    testing::{paused, settle},
};

async fn persistent(script: &Script) -> (Link, PersistentReader) {
    let link = start_link(script, Role::Persistent);
    let requests = PersistentReader::new(std::slice::from_ref(&link), 3);
    settle().await;
    (link, requests)
}

/// Two links, over connections 1 and 2.
async fn two_links(script: &Script) -> (Vec<Link>, PersistentReader) {
    let links = vec![start_link(script, Role::Persistent), start_link(script, Role::Persistent)];
    let requests = PersistentReader::new(&links, 3);
    settle().await;
    (links, requests)
}

fn keys(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|&name| name.to_owned()).collect()
}

async fn read(requests: &PersistentReader, budget: Duration) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    requests.get_many(keys(&["i:1"]), Instant::now() + budget).await
}

#[test]
fn values_come_in_the_order_of_the_keys_with_gaps_for_missing() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        for key in ["i:1", "i:2"] {
            script.state().values.insert(key.to_owned(), key.into());
        }
        let values =
            requests.get_many(keys(&["i:2", "i:3", "i:1", "i:2"]), Instant::now() + SECOND).await.unwrap();
        let expected = [Some("i:2"), None, Some("i:1"), Some("i:2")];
        assert_eq!(values, expected.map(|value| value.map(Vec::from)));
    });
}

/// Fault 22: the caller sees nothing of it.
#[test]
fn a_read_cut_off_is_sent_again_once_on_the_next_connection() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Slow(100 * MILLI));
        sleep(100 * MILLI).await;
        let reading = read(&requests, SECOND);
        let cutting = async {
            sleep(10 * MILLI).await;
            script.cut();
        };
        let begun = Instant::now();
        let (outcome, ()) = tokio::join!(reading, cutting);
        outcome.unwrap();
        assert_eq!(script.state().get_manys, [1, 2]);
        assert!(begun.elapsed() <= 60 * MILLI, "{:?}", begun.elapsed());
    });
}

/// Replies come in order: one sent again would only be answered later than the first.
#[test]
fn a_slow_read_is_waited_for_and_not_sent_again() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        script.commands(&Act::Trickle(400 * MILLI));
        let begun = Instant::now();
        read(&requests, SECOND).await.unwrap();
        assert_eq!(begun.elapsed(), 400 * MILLI);
        assert_eq!(script.state().get_manys.len(), 1);
    });
}

/// Fault 13: only what was under way waits for the packet that is missing.
#[test]
fn reads_avoid_a_connection_that_is_stalled() {
    paused(async {
        let script = Script::default();
        let (_links, requests) = two_links(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Slow(200 * MILLI));
        let stalled = async {
            let begun = Instant::now();
            read(&requests, SECOND).await.unwrap();
            begun.elapsed()
        };
        let others = async {
            sleep(2 * MILLI).await;
            for _ in 0..10 {
                let begun = Instant::now();
                read(&requests, SECOND).await.unwrap();
                assert_eq!(begun.elapsed(), Duration::ZERO);
            }
        };
        let (took, ()) = tokio::join!(stalled, others);
        assert_eq!(took, 200 * MILLI);
        assert_eq!(script.state().get_manys, [&[1][..], &[2; 10]].concat());
    });
}

/// Fault 13: a connection that is given up as silent has cost its reads two time limits by then, and no try.
#[test]
fn a_read_on_a_silent_connection_is_sent_again_over_another() {
    paused(async {
        let script = Script::default();
        let (_links, requests) = two_links(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Hang);
        let begun = Instant::now();
        read(&requests, 570 * MILLI).await.unwrap();
        assert!(begun.elapsed() < 450 * MILLI, "{:?}", begun.elapsed());
        let sent = script.state().get_manys.clone();
        assert!(sent.len() == 2 && sent[0] == 1 && sent[1] > 1, "{sent:?}");
    });
}

#[test]
fn reads_are_refused_only_once_every_breaker_is_open() {
    paused(async {
        let script = Script::default();
        let (links, requests) = two_links(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Fail(BackendError::NotServing { code: "LOADING".to_owned() }));
        until_open(&links[0]).await;
        for _ in 0..10 {
            read(&requests, SECOND).await.unwrap();
        }
        script.state().only_connection = 0;
        until_open(&links[1]).await;
        let begun = Instant::now();
        assert_eq!(read(&requests, SECOND).await, Err(StoreError::Unavailable));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[rstest]
#[case::it_is_loading(
    Act::Fail(BackendError::NotServing { code: "LOADING".to_owned() }),
    StoreError::Unavailable,
    3
)]
#[case::its_connections_break(
    Act::FailAfter(10 * MILLI, BackendError::Protocol),
    StoreError::Unavailable,
    3
)]
#[case::the_value_is_of_the_wrong_kind(Act::Fail(BackendError::WrongType), StoreError::BadValue, 1)]
#[case::access_is_denied(
    Act::Fail(BackendError::Denied { code: "NOPERM".to_owned() }),
    StoreError::Unavailable,
    1
)]
#[case::it_does_not_know_the_command(
    Act::Fail(BackendError::Refused { code: "ERR".to_owned() }),
    StoreError::Unavailable,
    1
)]
#[case::it_never_answers(Act::Trickle(10 * SECOND), StoreError::TimedOut, 1)]
fn a_read_is_sent_again_only_where_that_can_help(
    #[case] act: Act,
    #[case] error: StoreError,
    #[case] sent: usize,
) {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        script.state().get_many = act;
        assert_eq!(read(&requests, 600 * MILLI).await, Err(error));
        assert_eq!(script.state().get_manys.len(), sent);
    });
}

#[test]
fn every_error_of_the_store_is_told_and_never_an_empty_answer() {
    for error in every_error() {
        paused(async {
            let script = Script::default();
            let (_link, requests) = persistent(&script).await;
            script.state().get_many = Act::Fail(error.clone());
            assert_eq!(read(&requests, SECOND).await, Err(StoreError::from(&error)));
        });
    }
}

#[test]
fn a_try_that_finds_no_connection_on_any_link_is_one_operation() {
    paused(async {
        let script = Script::default();
        script.state().connect = Act::Hang;
        let registry = Registry::new();
        let status = StoreHealth::new(
            Role::Persistent,
            "scripted:1".to_owned(),
            StoreMetrics::register(&registry).unwrap(),
        );
        let links = [(); 2].map(|()| {
            Link::start(script.connector(), LinkPolicy::new(TIMEOUT), LinkHealth::new(status.clone())).0
        });
        let requests = PersistentReader::new(&links, 1);
        assert_eq!(read(&requests, SECOND).await, Err(StoreError::TimedOut));
        let metrics = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let timed_out =
            r#"scoring_store_operations_total{op="get_many",outcome="timed_out",role="persistent"} 1"#;
        assert!(metrics.lines().any(|line| line == timed_out), "{metrics}");
    });
}

#[test]
fn a_read_without_a_connection_waits_for_the_next_one() {
    paused(async {
        let script = Script::default();
        script.state().connect = Act::Slow(200 * MILLI);
        let (_link, requests) = persistent(&script).await;
        read(&requests, SECOND).await.unwrap();
    });
}

#[test]
fn an_opening_breaker_fails_reads_that_wait_for_a_connection() {
    paused(async {
        let script = Script::default();
        let (link, requests) = persistent(&script).await;
        script.refuse_connects();
        settle().await;
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let requests = requests.clone();
                tokio::task::spawn_local(async move {
                    let outcome = read(&requests, 10 * SECOND).await;
                    (outcome, Instant::now())
                })
            })
            .collect();
        until_open(&link).await;
        let opened = Instant::now();
        for read in waiting {
            let (outcome, at) = read.await.unwrap();
            assert_eq!(outcome, Err(StoreError::Unavailable));
            assert!(at <= opened + MILLI);
        }
        let begun = Instant::now();
        assert_eq!(read(&requests, SECOND).await, Err(StoreError::Unavailable));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(script.state().get_manys.is_empty());
    });
}

/// Each of many reads fails and would like to try again; together they may add a tenth to the load.
#[test]
fn an_outage_is_not_multiplied_by_retries() {
    paused(async {
        let script = Script::default();
        let (link, requests) = persistent(&script).await;
        let loading = BackendError::NotServing { code: "LOADING".to_owned() };
        let mut first = 0;
        while !link.state().is_open() {
            // One answer in two keeps the breaker closed.
            script.state().get_many = Act::Fail(loading.clone());
            let _ = read(&requests, SECOND).await;
            script.state().get_many = Act::Answer;
            let _ = read(&requests, SECOND).await;
            first += 2;
            if first == 1_000 {
                break;
            }
        }
        let sent = script.state().get_manys.len();
        assert_eq!(first, 1_000);
        assert!(sent > first, "nothing was tried again");
        assert!(sent <= first + first / 10 + 10, "{sent} sent for {first}");
    });
}

/// The first loss of a connection that had answered is not an outage yet; a second one may be.
#[test]
fn row_26e_all_reads_in_flight_on_a_lost_connection_are_sent_again_once() {
    for (cuts, expected) in [(1, 40), (2, 10)] {
        paused(async {
            let script = Script::default();
            let (_link, requests) = persistent(&script).await;
            script.state().get_many = Act::Slow(90 * MILLI);
            let reads = (0..40).map(|_| read(&requests, SECOND / 2));
            let upset = async {
                for _ in 0..cuts {
                    sleep(30 * MILLI).await;
                    script.cut();
                    // The new connection answers its probe meanwhile.
                    sleep(50 * MILLI).await;
                }
            };
            let (outcomes, ()) = tokio::join!(join_all(reads), upset);
            assert_eq!(outcomes.into_iter().filter(Result::is_ok).count(), expected, "after {cuts} cuts");
        });
    }
}

#[test]
fn a_connection_that_has_answered_nothing_grants_no_send() {
    paused(async {
        let script = Script::default();
        script.commands(&Act::Hang);
        let (_link, requests) = persistent(&script).await;
        let reads = (0..40).map(|_| read(&requests, SECOND / 2));
        let upset = async {
            sleep(30 * MILLI).await;
            script.heal();
            script.cut();
        };
        let (outcomes, ()) = tokio::join!(join_all(reads), upset);
        assert_eq!(outcomes.into_iter().filter(Result::is_ok).count(), 10);
    });
}

#[test]
fn nothing_is_sent_once_the_deadline_has_passed() {
    for budget in 0..20 {
        paused(async {
            let script = Script::default();
            let (_link, requests) = persistent(&script).await;
            script.state().get_many = Act::Fail(BackendError::NotServing { code: "LOADING".to_owned() });
            let deadline = Instant::now() + budget * MILLI;
            requests.get_many(keys(&["i:1"]), deadline).await.unwrap_err();
            assert!(script.state().last_sent.is_none_or(|sent| sent < deadline));
        });
    }
}

/// Row 27 of the fault table, as far as this layer goes.
#[test]
fn every_answer_belongs_to_its_question_among_abandoned_ones() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        for key in 0..500 {
            script.state().values.insert(format!("i:{key}"), key.to_string().into());
        }
        script.commands(&Act::Slow(5 * MILLI));
        let reads = (0..500u64).map(|key| {
            let requests = requests.clone();
            async move {
                let budget = if key % 2 == 0 { SECOND } else { 3 * MILLI };
                let keys: Arc<[String]> = Arc::from([format!("i:{key}")]);
                (key, requests.get_many(keys, Instant::now() + budget).await)
            }
        });
        for (key, outcome) in join_all(reads).await {
            match outcome {
                Ok(values) => assert_eq!(values, [Some(Vec::from(key.to_string()))]),
                Err(error) => assert_eq!((error, key % 2), (StoreError::TimedOut, 1)),
            }
        }
    });
}

fn any_act() -> impl Strategy<Value = Act> {
    let delay = || (0u64..800).prop_map(Duration::from_millis);
    prop_oneof![
        Just(Act::Answer),
        Just(Act::Hang),
        delay().prop_map(Act::Slow),
        delay().prop_map(Act::Trickle),
        (0..every_error().len()).prop_map(|index| Act::Fail(every_error()[index].clone())),
        (delay(), 0..every_error().len())
            .prop_map(|(after, index)| Act::FailAfter(after, every_error()[index].clone())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_read_ends_by_its_deadline_after_at_most_three_tries(
        history in proptest::collection::vec((any_act(), any_act(), any::<bool>(), 0u64..300), 1..12),
        budget in 0u64..1_000,
    ) {
        paused(async {
            let script = Script::default();
            let (_link, requests) = persistent(&script).await;
            let upsets = async {
                for (connect, commands, cut, wait) in history {
                    script.state().connect = connect;
                    script.commands(&commands);
                    if cut {
                        script.cut();
                    }
                    sleep(Duration::from_millis(wait)).await;
                }
                std::future::pending::<()>().await;
            };
            let begun = Instant::now();
            let reading = async {
                settle().await;
                let budget = Duration::from_millis(budget);
                let begun = Instant::now();
                let _ = read(&requests, budget).await;
                (begun.elapsed(), budget)
            };
            let (took, budget) = select! {
                biased;
                () = upsets => unreachable!(),
                outcome = reading => outcome,
            };
            prop_assert!(took <= budget + MILLI, "{took:?} for {budget:?}");
            prop_assert!(script.state().get_manys.len() <= 3);
            prop_assert!(begun.elapsed() < 2 * SECOND);
            Ok(())
        })?;
    }
}
