use std::io::ErrorKind::NotConnected;

use futures_util::{FutureExt, future::join_all};
use rstest::rstest;
use tokio::time::sleep;

use super::*;
use crate::{
    store::{
        Role,
        testing::{Act, MILLI, SECOND, Script, TIMEOUT, every_error, start_link, until_open},
    },
    testing::{paused, settle},
};

async fn cache(script: &Script) -> (Link, CacheClient) {
    let link = start_link(script, Role::Cache);
    let requests = CacheClient::new(&link, None);
    settle().await;
    (link, requests)
}

async fn get(requests: &CacheClient, budget: Duration) -> Result<Option<Vec<u8>>, BackendError> {
    requests.get("uid:1".to_owned(), Instant::now() + budget).await
}

#[test]
fn a_cached_value_is_found_after_it_was_written() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = cache(&script).await;
        assert_eq!(get(&requests, SECOND).await.unwrap(), None);
        requests.set("uid:1".to_owned(), b"3".to_vec(), SECOND).await;
        assert_eq!(get(&requests, SECOND).await.unwrap(), Some(b"3".to_vec()));
    });
}

#[test]
fn a_failed_cache_read_is_sent_once_and_keeps_its_error() {
    for error in every_error() {
        paused(async {
            let script = Script::default();
            let (_link, requests) = cache(&script).await;
            script.state().get = Act::Fail(error.clone());
            let begun = Instant::now();
            let outcome = get(&requests, SECOND).await;
            assert_eq!(outcome.unwrap_err().kind(), error.kind());
            assert_eq!(begun.elapsed(), Duration::ZERO);
            assert_eq!(script.state().gets, 1);
        });
    }
}

#[rstest]
#[case::the_time_limit_is_the_stricter(SECOND, TIMEOUT)]
#[case::the_deadline_is_the_stricter(30 * MILLI, 30 * MILLI)]
#[case::the_deadline_is_now(Duration::ZERO, Duration::ZERO)]
fn a_cache_read_that_is_not_answered_ends_on_time(
    #[case] budget: Duration,
    #[case] took: Duration,
    #[values(Act::Hang, Act::Slow(200 * MILLI), Act::Trickle(10 * SECOND))] act: Act,
) {
    paused(async {
        let script = Script::default();
        let (_link, requests) = cache(&script).await;
        script.commands(&act);
        let begun = Instant::now();
        assert!(matches!(get(&requests, budget).await, Err(BackendError::TimedOut)));
        let late = begun.elapsed().saturating_sub(took);
        assert!(begun.elapsed() >= took && late <= MILLI, "{late:?} late");
        assert_eq!(script.state().gets, usize::from(!budget.is_zero()));
    });
}

#[test]
fn a_cache_read_without_a_connection_fails_at_once() {
    paused(async {
        let script = Script::default();
        script.state().connect = Act::Hang;
        let (_link, requests) = cache(&script).await;
        let begun = Instant::now();
        assert!(matches!(get(&requests, SECOND).await, Err(BackendError::Disconnected(NotConnected))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[rstest]
fn a_cache_write_ends_by_the_time_limit_and_says_nothing(
    #[values(
        Act::Answer,
        Act::Hang,
        Act::Slow(300 * MILLI),
        Act::Fail(BackendError::Protocol),
        Act::Fail(BackendError::WrongType)
    )]
    act: Act,
) {
    paused(async {
        let script = Script::default();
        let (_link, requests) = cache(&script).await;
        script.state().set = act;
        let begun = Instant::now();
        requests.set("uid:1".to_owned(), b"3".to_vec(), SECOND).await;
        assert!(begun.elapsed() <= TIMEOUT + MILLI, "{:?}", begun.elapsed());
        assert_eq!(script.state().sets, 1);
    });
}

#[test]
fn writes_under_way_are_bounded_and_their_places_are_given_back() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = cache(&script).await;
        let writes = || (0..1_000).map(|key| requests.set(format!("uid:{key}"), b"3".to_vec(), SECOND));
        for round in 1..=2 {
            script.state().set = Act::Trickle(10 * SECOND);
            join_all(writes()).await;
            assert_eq!(script.state().sets, round * WRITES_IN_FLIGHT);
        }
        // A write that nobody waits for any more gives its place back as well.
        assert!(join_all(writes()).now_or_never().is_none());
        assert_eq!(requests.writes.get(), 0);
    });
}

#[test]
fn an_open_breaker_keeps_cache_writes_from_the_store() {
    paused(async {
        let script = Script::default();
        let (link, requests) = cache(&script).await;
        script.commands(&Act::Fail(BackendError::TimedOut));
        until_open(&link).await;
        requests.set("uid:1".to_owned(), b"3".to_vec(), SECOND).await;
        assert_eq!(script.state().sets, 0);
    });
}

/// Fault 23: whatever a write waits for, no look-up waits behind it.
#[test]
fn failures_of_a_separate_link_for_writes_affect_only_writes() {
    paused(async {
        let script = Script::default();
        let (reads, writes) = (start_link(&script, Role::Cache), start_link(&script, Role::Cache));
        let requests = CacheClient::new(&reads, Some(&writes));
        settle().await;
        script.state().only_connection = 2;
        script.commands(&Act::Fail(BackendError::ReadOnly));
        for _ in 0..20 {
            requests.set("uid:1".to_owned(), b"3".to_vec(), SECOND).await;
            assert!(script.state().last_set >= 2);
            get(&requests, SECOND).await.unwrap();
        }
        sleep(SECOND / 2).await;
        assert_eq!((script.connects(), script.open()), (3, 2), "only the writes' connection is replaced");
        assert!(!reads.state().is_open());
    });
}
