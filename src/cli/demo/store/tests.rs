//! The switch: each position does to connections and commands as its name says.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rstest::rstest;

use super::*;

async fn connected() -> (SwitchedStore, Arc<dyn Connection>) {
    let store = SwitchedStore::new(Memory::new(100));
    let connection = store.connect().await.unwrap();
    (store, connection)
}

fn keys() -> Arc<[String]> {
    Arc::from(["i:1".to_owned()])
}

#[tokio::test(start_paused = true)]
async fn a_killed_store_breaks_and_refuses_connections_until_it_is_back() {
    let (store, connection) = connected().await;
    let ended = connection.closed();
    store.switch_to(Mode::Killed);
    assert_eq!(ended.await.kind(), "disconnected");
    assert_eq!(connection.get_many(keys()).await.unwrap_err().kind(), "disconnected");
    assert!(store.connect().await.is_err());
    store.switch_to(Mode::Serving);
    let connection = store.connect().await.unwrap();
    assert_eq!(connection.get_many(keys()).await.unwrap(), [None]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_store_is_silent_and_answers_later() {
    let (store, connection) = connected().await;
    store.switch_to(Mode::Hanging);
    let reply = connection.get_many(keys());
    assert!(timeout(Duration::from_secs(5), connection.get_many(keys())).await.is_err());
    assert!(connection.silent_for() >= Duration::from_secs(5));
    assert_eq!(store.connect().await.err().map(|error| error.kind()), Some("timed_out"));
    store.switch_to(Mode::Serving);
    assert_eq!(reply.await.unwrap(), [None]);
    assert_eq!(connection.silent_for(), Duration::ZERO);
}

#[tokio::test]
async fn a_closed_connection_loses_its_commands() {
    let (store, connection) = connected().await;
    store.switch_to(Mode::Hanging);
    let reply = connection.get_many(keys());
    connection.close();
    assert_eq!(reply.await.unwrap_err().kind(), "disconnected");
}

#[tokio::test]
async fn refused_writes_leave_reads_alone() {
    let (store, connection) = connected().await;
    let write = || connection.set("uid:1".to_owned(), b"3".to_vec(), Duration::from_secs(60));
    store.switch_to(Mode::RefusingWrites);
    assert_eq!(write().await.unwrap_err().kind(), "writes_refused");
    assert_eq!(connection.get("uid:1".to_owned()).await.unwrap(), None);
    store.switch_to(Mode::Serving);
    write().await.unwrap();
    assert_eq!(store.written(), 1);
}

#[rstest]
#[case::each_tenth(Mode::PanickingOnTenth, 2)]
#[case::every(Mode::Panicking, 20)]
#[case::none(Mode::Serving, 0)]
#[tokio::test]
async fn look_ups_panic_as_often_as_the_switch_says(#[case] mode: Mode, #[case] expected: usize) {
    let (store, connection) = connected().await;
    store.switch_to(mode);
    let panics = |_: &u32| {
        let look_up = AssertUnwindSafe(|| drop(connection.get("uid:1".to_owned())));
        catch_unwind(look_up).is_err()
    };
    assert_eq!((0..20).filter(panics).count(), expected);
}
