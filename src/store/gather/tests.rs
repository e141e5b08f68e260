use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    store::{
        BreakerPolicy, CacheClient, Link, Redirect, Role,
        testing::{Act, MILLI, SECOND, Script, start_link},
        url::HostAndPort,
    },
    testing::{paused, settle},
};

/// A store that has the values `0` to `99` under `uid:0` to `uid:99`, and answers several look-ups at once.
async fn cache() -> (Script, Link, CacheClient) {
    let script = Script::default();
    script.state().gathers = true;
    script.state().values = (0..100).map(|n: u32| (key(n), n.to_string().into_bytes())).collect();
    let link = start_link(&script, Role::Cache);
    let client = CacheClient::new(&link, None);
    settle().await;
    (script, link, client)
}

fn key(number: u32) -> String {
    format!("uid:{number}")
}

fn look_up(
    client: &CacheClient,
    number: u32,
    budget: Duration,
) -> impl Future<Output = Result<Option<Vec<u8>>, BackendError>> + use<> {
    client.get(key(number), Instant::now() + budget)
}

fn value(number: u32) -> Option<Vec<u8>> {
    Some(number.to_string().into_bytes())
}

/// The last look-up has no value.
#[rstest]
#[case::alone(1, &[1])]
#[case::together(3, &[3])]
#[case::as_many_as_may_be(64, &[64])]
#[case::one_more(65, &[64, 1])]
fn look_ups_of_one_turn_are_one_question_and_each_gets_its_own_value(
    #[case] count: u32,
    #[case] questions: &[usize],
) {
    paused(async {
        let (script, _link, client) = cache().await;
        let numbers: Vec<_> = (0..count - 1).chain([1_000]).collect();
        let look_ups: Vec<_> = numbers.iter().map(|&number| look_up(&client, number, SECOND)).collect();
        for (number, found) in numbers.iter().zip(join_all(look_ups).await) {
            assert_eq!(found.unwrap(), if *number < 100 { value(*number) } else { None });
        }
        assert_eq!(script.state().together, questions);
    });
}

#[test]
fn a_look_up_does_not_wait_for_others() {
    paused(async {
        let (script, _link, client) = cache().await;
        let begun = Instant::now();
        for number in 0..3 {
            assert_eq!(look_up(&client, number, SECOND).await.unwrap(), value(number));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(script.state().together, [1, 1, 1]);
    });
}

#[test]
fn each_look_up_keeps_its_own_deadline() {
    paused(async {
        let (script, _link, client) = cache().await;
        script.state().get = Act::Slow(30 * MILLI);
        let begun = Instant::now();
        let short = look_up(&client, 1, 10 * MILLI).map(|found| (found, begun.elapsed()));
        let (short, long) = tokio::join!(short, look_up(&client, 2, SECOND));
        assert!(matches!(short.0, Err(BackendError::TimedOut)) && short.1 <= 11 * MILLI, "{short:?}");
        assert_eq!(long.unwrap(), value(2));
    });
}

/// Also one that left before it was polled, and the one that sent the batch.
#[test]
fn an_asker_that_leaves_takes_no_answer_from_the_others() {
    paused(async {
        let (script, _link, client) = cache().await;
        script.state().get = Act::Slow(30 * MILLI);
        let unpolled = look_up(&client, 1, SECOND);
        let mut sender = Box::pin(look_up(&client, 2, SECOND));
        let stays = look_up(&client, 3, SECOND);
        drop(unpolled);
        assert!((&mut sender).now_or_never().is_none());
        let stays = tokio::task::spawn_local(stays);
        sleep(10 * MILLI).await;
        drop(sender);
        assert_eq!(stays.await.unwrap().unwrap(), value(3));
        assert_eq!(script.state().together, [3]);
    });
}

#[test]
fn the_breaker_counts_a_failed_batch_once() {
    paused(async {
        let (script, link, client) = cache().await;
        // Failures overlap only if they take time.
        script.state().get = Act::FailAfter(MILLI, BackendError::NotServing { code: "LOADING".to_owned() });
        let opens_after = BreakerPolicy::default().failures;
        for _ in 0..opens_after {
            assert!(!link.state().is_open());
            sleep(MILLI).await;
            let failed = (0..10).map(|number| look_up(&client, number, SECOND));
            assert!(join_all(failed).await.into_iter().all(|found| found.is_err()));
        }
        assert!(link.state().is_open());
    });
}

#[test]
fn a_loss_fails_the_batches_on_its_connection_and_no_later_one() {
    paused(async {
        let (script, _link, client) = cache().await;
        script.state().get = Act::Hang;
        let lost: Vec<_> = (0..10).map(|number| look_up(&client, number, SECOND)).collect();
        let lost = tokio::task::spawn_local(join_all(lost));
        settle().await;
        script.heal();
        script.cut();
        assert!(lost.await.unwrap().into_iter().all(|found| found.is_err()));
        sleep(SECOND).await;
        assert_eq!(look_up(&client, 1, SECOND).await.unwrap(), value(1));
    });
}

#[test]
fn a_panic_is_an_error_of_each_request_of_its_batch() {
    paused(async {
        let (script, _link, client) = cache().await;
        script.state().get = Act::Panic;
        let begun = Instant::now();
        let lost: Vec<_> = (0..3).map(|number| look_up(&client, number, SECOND)).collect();
        assert!(join_all(lost).await.iter().all(|found| matches!(found, Err(BackendError::Protocol))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_batch_that_was_not_sent_does_not_outlive_its_connection() {
    paused(async {
        let (script, _link, client) = cache().await;
        let unsent = look_up(&client, 1, SECOND);
        script.cut();
        sleep(SECOND).await;
        assert_eq!(look_up(&client, 2, SECOND).await.unwrap(), value(2));
        assert_eq!(script.state().together, [1]);
        drop(unsent);
    });
}

#[test]
fn writes_of_one_turn_are_one_question_and_each_has_its_own_outcome() {
    paused(async {
        let (script, _link, client) = cache().await;
        let elsewhere =
            Redirect { asking: false, slot: 0, to: HostAndPort { host: "h".to_owned(), port: 1 } };
        script.state().is_shard = true;
        script.state().redirects.insert(key(101), elsewhere.clone());
        let writes: Vec<_> =
            (100..103).map(|number| client.set(key(number), b"new".to_vec(), SECOND)).collect();
        let outcomes = join_all(writes).await;
        assert_eq!(outcomes, [None, Some(Box::new(elsewhere)), None]);
        assert_eq!(script.state().written_together, [3]);
        let has = |number| script.state().values.contains_key(&key(number));
        assert_eq!([100, 101, 102].map(has), [true, false, true]);
    });
}
