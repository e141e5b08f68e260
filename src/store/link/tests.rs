mod breaker;

use std::time::Duration;

use rstest::rstest;
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    store::{
        BackendError, CacheClient, PersistentReader, Role, StoreError,
        testing::{Act, Script, health, status},
    },
    testing::{paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_millis(100);

fn start(script: &Script, role: Role) -> Link {
    Link::start(script.connector(), LinkPolicy::new(TIMEOUT), health(role)).0
}

/// A link to a healthy store, and a client of it.
async fn connected(script: &Script) -> (Link, CacheClient) {
    let link = start(script, Role::Cache);
    let cache = CacheClient::new(&link, None);
    sleep(SECOND).await;
    (link, cache)
}

async fn get(cache: &CacheClient) -> Result<Option<Vec<u8>>, BackendError> {
    cache.get("uid:1".to_owned(), Instant::now() + SECOND).await
}

/// Sends requests until they are rejected at once. Panics if that takes more than 5 s.
async fn until_open(link: &Link, cache: &CacheClient) {
    let begun = Instant::now();
    while !link.state().is_open() {
        assert!(begun.elapsed() < 5 * SECOND, "the breaker did not open");
        let _ = get(cache).await;
        sleep(Duration::from_millis(10)).await;
    }
}

fn refused() -> BackendError {
    BackendError::Disconnected(std::io::ErrorKind::ConnectionRefused)
}

fn denied() -> BackendError {
    BackendError::Denied { code: "NOAUTH".to_owned() }
}

fn loading() -> BackendError {
    BackendError::NotServing { code: "LOADING".to_owned() }
}

// ===== connecting =====

#[test]
fn connects_at_start_without_anyone_asking() {
    paused(async {
        let script = Script::default();
        let _link = start(&script, Role::Cache);
        settle().await;
        assert_eq!(script.open(), 1);
    });
}

#[test]
fn a_connection_that_lasted_is_replaced_at_once_when_it_closes() {
    paused(async {
        let script = Script::default();
        let (_link, cache) = connected(&script).await;
        for cuts in 1..=20 {
            script.cut();
            settle().await;
            assert_eq!((script.connects(), script.open()), (1 + cuts, 1));
            get(&cache).await.unwrap();
            sleep(TIMEOUT).await;
        }
    });
}

#[rstest]
#[case::it_refuses_connections(Act::Fail(refused()), false)]
#[case::its_connections_end_at_once(Act::Answer, true)]
#[case::its_connections_fail_every_command(Act::Answer, false)]
fn a_store_that_cannot_be_used_is_tried_with_backoff(#[case] connect: Act, #[case] short_lived: bool) {
    paused(async {
        let script = Script::default();
        script.state().connect = connect;
        script.state().short_lived = short_lived;
        script.commands(&Act::Fail(BackendError::Protocol));
        let _link = start(&script, Role::Cache);
        sleep(10 * SECOND).await;
        let attempts = script.connects();
        assert!((50..300).contains(&attempts), "{attempts} attempts in 10 s");
    });
}

#[rstest]
#[case::at_the_log_in(Act::Fail(denied()), Act::Answer)]
#[case::to_every_command(Act::Answer, Act::Fail(denied()))]
fn a_store_that_denies_access_is_tried_at_most_once_a_second(#[case] connect: Act, #[case] commands: Act) {
    paused(async {
        let script = Script::default();
        script.state().connect = connect;
        script.commands(&commands);
        let link = start(&script, Role::Cache);
        sleep(5 * SECOND).await;
        let connects_before = script.connects();
        let probes_before = script.state().probes.len();
        sleep(20 * SECOND).await;

        let connects = script.state().connects.clone();
        let probes = script.state().probes.len() - probes_before;
        for pair in connects.windows(2) {
            assert!(pair[1] - pair[0] >= SECOND, "{:?}", pair[1] - pair[0]);
        }
        let attempts = connects.len() - connects_before;
        assert!((9..=20).contains(&attempts), "{attempts} in 20 s");
        assert!(probes <= 20, "{probes} commands in 20 s");
        assert!(link.state().is_open());

        script.heal();
        sleep(3 * SECOND).await;
        assert!(!link.state().is_open());
        assert_eq!(script.open(), 1);
    });
}

#[test]
fn ending_the_link_closes_its_connection_and_ends_its_keeper() {
    paused(async {
        let script = Script::default();
        let (link, keeper) = Link::start(script.connector(), LinkPolicy::new(TIMEOUT), health(Role::Cache));
        settle().await;
        drop(link);
        assert_eq!(script.open(), 0);
        assert!(keeper.await.unwrap_err().is_cancelled());
        sleep(10 * SECOND).await;
        assert_eq!(script.connects(), 1);
    });
}

#[test]
fn a_connector_that_panics_ends_the_keeper_with_that_panic() {
    paused(async {
        let script = Script::default();
        script.state().connect = Act::Panic;
        let (_link, keeper) = Link::start(script.connector(), LinkPolicy::new(TIMEOUT), health(Role::Cache));
        assert!(keeper.await.unwrap_err().is_panic());
    });
}

// ===== silence =====

#[test]
fn a_connection_silent_under_load_is_rebuilt_in_half_a_second() {
    paused(async {
        let script = Script::default();
        let (_link, cache) = connected(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Hang);
        let _ = get(&cache).await;
        sleep(Duration::from_millis(400)).await;
        assert_eq!((script.connects(), script.open()), (2, 1));
        get(&cache).await.unwrap();
    });
}

#[test]
fn a_connection_silent_while_idle_is_rebuilt_within_a_second() {
    paused(async {
        let script = Script::default();
        let (_link, cache) = connected(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Hang);
        sleep(Duration::from_millis(700)).await;
        assert_eq!(script.connects(), 2);
        get(&cache).await.unwrap();
    });
}

#[rstest]
#[case::answers_come_before_it_counts_as_silent(Act::Slow(Duration::from_millis(300)))]
#[case::bytes_keep_coming(Act::Trickle(5 * SECOND))]
fn a_connection_that_is_only_slow_is_kept(#[case] slow: Act) {
    paused(async {
        let script = Script::default();
        let (_link, _) = connected(&script).await;
        script.commands(&slow);
        sleep(30 * SECOND).await;
        assert_eq!((script.connects(), script.open()), (1, 1));
    });
}

/// Bytes keep coming, so the connection is never silent.
#[test]
fn row_48_a_reply_that_trickles_for_ever_is_given_up() {
    paused(async {
        let script = Script::default();
        let (_link, cache) = connected(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Trickle(1_000 * SECOND));
        sleep(8 * SECOND).await;
        assert_eq!((script.connects(), script.open()), (2, 1));
        get(&cache).await.unwrap();
    });
}

/// Each reply takes longer than it may and less than the patience with a reply, for ever.
#[test]
fn row_63_a_connection_slow_for_a_minute_is_replaced() {
    paused(async {
        let script = Script::default();
        let (_link, cache) = connected(&script).await;
        script.state().only_connection = 1;
        script.commands(&Act::Trickle(5 * SECOND));
        sleep(59 * SECOND).await;
        assert_eq!(script.connects(), 1);
        sleep(3 * SECOND).await;
        assert_eq!((script.connects(), script.open()), (2, 1));
        get(&cache).await.unwrap();
    });
}

#[test]
fn row_62_a_rejected_log_in_opens_the_breaker_at_once() {
    paused(async {
        let script = Script::default();
        script.state().connect = Act::Fail(denied());
        let link = start(&script, Role::Cache);
        settle().await;
        assert!(link.state().is_open());
        assert_eq!(script.connects(), 1);
    });
}

// ===== what is no fault of the store =====

#[test]
fn a_replica_is_left_at_most_once_a_second_and_reads_go_on() {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        script.state().set = Act::Fail(BackendError::ReadOnly);
        let before = script.connects();
        for _ in 0..200 {
            cache.set("uid:1".to_owned(), b"1".to_vec(), SECOND).await;
            settle().await;
            get(&cache).await.unwrap();
            sleep(Duration::from_millis(49)).await;
        }
        let reconnects = script.connects() - before;
        assert!((8..=11).contains(&reconnects), "{reconnects} in 10 s");
        assert!(!link.state().is_open());
    });
}

#[rstest]
#[case::a_value_of_the_wrong_kind(BackendError::WrongType)]
#[case::no_memory_left(BackendError::WritesRefused { code: "OOM".to_owned() })]
fn a_fault_of_a_question_neither_counts_nor_reconnects(#[case] error: BackendError) {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        script.state().set = Act::Fail(error.clone());
        for _ in 0..100 {
            cache.set("uid:1".to_owned(), b"1".to_vec(), SECOND).await;
        }
        script.state().get = Act::Fail(error);
        for _ in 0..100 {
            get(&cache).await.unwrap_err();
        }
        assert!(!link.state().is_open());
        assert_eq!(script.connects(), 1);
    });
}

/// Writes do not affect whether reads are served.
#[rstest]
fn writes_that_fail_do_not_stop_reads(
    #[values(Act::Trickle(10 * SECOND), Act::Fail(loading()), Act::Fail(denied()))] act: Act,
) {
    paused(async {
        let script = Script::default();
        let (link, cache) = connected(&script).await;
        script.state().set = act;
        for _ in 0..20 {
            cache.set("uid:1".to_owned(), b"1".to_vec(), SECOND).await;
        }
        assert!(!link.state().is_open());
        get(&cache).await.unwrap();
        assert_eq!(script.connects(), 1);
    });
}
