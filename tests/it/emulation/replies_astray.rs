//! Row 27, where the store itself is at fault: replies that come twice or not at all are noticed, and no caller gets
//! another's answer. And the cost of noticing it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use rstest::rstest;
use scoring_api::{
    resolver::Resolver,
    store::{BackendError, Connection, Connector, RedisConnector, url::StoreUrl},
};
use testkit::{Fault, RespServer, Rule, in_time};

type Values = Vec<Option<Vec<u8>>>;

const MANY: usize = 100;

async fn connect(server: &RespServer) -> Arc<dyn Connection> {
    let StoreUrl::Redis(target) = server.url().parse().unwrap() else { panic!("{}", server.url()) };
    let connection =
        RedisConnector::new(target, Duration::from_secs(5), Resolver::system()).connect().await.unwrap();
    server.forget();
    connection
}

/// This many keys of `caller`'s own.
fn keys(caller: &str, count: usize) -> Arc<[String]> {
    (0..count).map(|key| format!("{caller}:{key}")).collect()
}

/// Under each key is its name.
fn server(count: usize) -> RespServer {
    let server = RespServer::start();
    for key in ["a", "b", "c"].iter().flat_map(|caller| keys(caller, count).to_vec()) {
        server.put(&key, &key);
    }
    server
}

fn own(keys: &[String]) -> Values {
    keys.iter().map(|key| Some(key.clone().into_bytes())).collect()
}

fn names(server: &RespServer) -> Vec<String> {
    server.commands().into_iter().map(|command| command.name).collect()
}

/// A reply that is missing at the end is owed, and noticed by the timeout of a try and by the link.
#[rstest]
#[case::replies_come_twice(Fault::Twice.on(&["MGET"]).times(1))]
#[case::end_markers_come_twice(Fault::Twice.on(&["PING"]).times(1))]
#[case::a_reply_is_left_out(Fault::Raw(b"").on(&["MGET"]).times(1))]
#[case::a_seal_is_left_out(Fault::Raw(b"").on(&["PING"]).times(1))]
#[case::a_reply_and_its_seal_are_left_out(Fault::Raw(b"").on(&["MGET", "PING"]).times(2))]
#[case::all_of_a_read_is_left_out(Fault::Raw(b"").on(&["MGET", "EXISTS", "PING"]).times(3))]
#[tokio::test]
async fn row_27_a_reply_to_another_read_reaches_no_caller(
    #[case] fault: Rule,
    #[values(1, 2, MANY)] count: usize,
) {
    let server = server(count);
    let connection = connect(&server).await;
    server.set(fault);
    let reads = ["a", "b", "c"].map(|caller| {
        let keys = keys(caller, count);
        let read = in_time(Duration::from_millis(300), connection.get_many(keys.clone()));
        async move { (own(&keys), read.await) }
    });
    let mut astray = 0;
    for (own, read) in join_all(reads).await {
        match read {
            Some(Ok(values)) => assert_eq!(values, own),
            Some(Err(error)) => {
                assert!(matches!(error, BackendError::Protocol), "{error}");
                astray += 1;
            }
            None => {}
        }
    }
    assert!(astray > 0, "nobody noticed");
}

/// Small whole numbers are valid scores, so they must not be taken for an end marker.
#[tokio::test]
async fn row_27_a_value_is_never_taken_for_an_end_marker() {
    let server = RespServer::start();
    let scores: Vec<String> = (0..10).map(|score| score.to_string()).collect();
    scores.iter().for_each(|score| server.put(score, score));
    let connection = connect(&server).await;
    server.set(Fault::Twice.on(&["PING"]).times(1));
    let reads = scores.iter().map(|score| in_time(Duration::from_millis(300), connection.get(score.clone())));
    let mut astray = 0;
    for (score, read) in scores.iter().zip(join_all(reads).await) {
        match read {
            Some(Ok(value)) => assert_eq!(value.as_deref(), Some(score.as_bytes())),
            Some(Err(_)) => astray += 1,
            None => {}
        }
    }
    assert!(astray > 0, "nobody noticed");
}

#[tokio::test]
async fn a_store_that_cannot_save_and_rejects_a_ping_serves_reads() {
    let server = server(2);
    let connection = connect(&server).await;
    server.set(Fault::misconf());
    assert_eq!(connection.get_many(keys("a", 2)).await.unwrap(), own(&keys("a", 2)));
}

#[rstest]
#[tokio::test]
async fn few_keys_take_one_round_trip(#[values(1, 63)] count: usize) {
    let server = server(count);
    let connection = connect(&server).await;
    let keys: Arc<[String]> = keys("a", count).iter().cloned().chain(["not stored".to_owned()]).collect();
    assert_eq!(connection.get_many(keys).await.unwrap().last(), Some(&None));
    assert_eq!(names(&server), ["MGET", "EXISTS", "PING"]);
}

/// Counting many keys costs the server a third of the read.
#[tokio::test]
async fn many_keys_take_another_round_trip_if_one_is_not_found() {
    let server = server(100);
    let connection = connect(&server).await;
    assert_eq!(connection.get_many(keys("a", 100)).await.unwrap(), own(&keys("a", 100)));
    assert_eq!(names(&server), ["MGET", "PING"]);
    let keys: Arc<[String]> = keys("a", 100).iter().cloned().chain(["not stored".to_owned()]).collect();
    assert_eq!(connection.get_many(keys).await.unwrap().last(), Some(&None));
    assert_eq!(names(&server), ["MGET", "PING", "MGET", "PING", "EXISTS", "PING"]);
    let counted = server.seen("EXISTS").remove(0).args;
    assert_eq!(counted, ["not stored"], "only the keys that were not found are counted");
}

/// `EXISTS` says that the key is there now, and `GET` that it is not of another kind: another one writes it meanwhile.
#[rstest]
#[case::once(1, 2)]
#[case::again_and_again(usize::MAX, 3)]
#[tokio::test]
async fn values_that_others_write_meanwhile_are_read_again(#[case] times: usize, #[case] readings: usize) {
    let server = server(1);
    let connection = connect(&server).await;
    server.set(Fault::Raw(b":2\r\n").on(&["EXISTS"]).times(times));
    let keys: Arc<[String]> = keys("a", 1).iter().cloned().chain(["not stored".to_owned()]).collect();
    let expected = vec![Some(keys[0].clone().into_bytes()), None];
    assert_eq!(connection.get_many(keys).await.unwrap(), expected);
    assert_eq!(server.seen("MGET").len(), readings);
}

#[rstest]
#[tokio::test]
async fn row_19_a_value_of_another_kind_is_found_among_few_and_many(
    #[values(2, MANY)] count: usize,
    #[values(0, 1)] place: usize,
) {
    let server = server(count);
    let connection = connect(&server).await;
    let keys = keys("a", count);
    server.put_wrong_type(&keys[place]);
    let read = connection.get_many(keys).await;
    assert!(matches!(read, Err(BackendError::WrongType)), "{read:?}");
}
