//! The door, as its client sees it.

use std::io::ErrorKind;

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::*;
use crate::eventually;

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(100);

fn echo() -> Door {
    Door::new(|_, stream| {
        Box::pin(async move {
            let (mut from, mut to) = stream.split();
            _ = tokio::io::copy(&mut from, &mut to).await;
        })
    })
}

async fn connect(door: &Door) -> std::io::Result<TcpStream> {
    TcpStream::connect(door.addr()).await
}

async fn echoes(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.write_all(b"x").await?;
    Ok(stream.read(&mut [0]).await? == 1)
}

async fn connected(door: &Door) -> TcpStream {
    let mut stream = connect(door).await.unwrap();
    assert!(echoes(&mut stream).await.unwrap());
    stream
}

#[tokio::test]
async fn a_shut_door_refuses_until_opened_and_keeps_old_connections() {
    let door = echo();
    let mut old = connected(&door).await;
    door.shut();
    assert_eq!(connect(&door).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(echoes(&mut old).await.unwrap());
    door.open();
    connected(&door).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutting_and_opening_take_effect_at_once_on_many_threads() {
    let door = echo();
    for _ in 0..100 {
        door.shut();
        assert_eq!(connect(&door).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        door.open();
        connected(&door).await;
    }
}

#[tokio::test]
async fn a_clogged_door_lets_connects_go_nowhere_until_it_is_opened() {
    let door = echo();
    door.clog();
    assert!(timeout(A_WHILE, connect(&door)).await.is_err());
    door.open();
    connected(&door).await;
    assert_eq!(door.accepted(), 1, "the door counts its own fillers");
}

#[tokio::test]
async fn those_turned_away_hear_the_last_words_and_are_counted() {
    let door = echo();
    door.turn_away("go away");
    let mut heard = String::new();
    connect(&door).await.unwrap().read_to_string(&mut heard).await.unwrap();
    assert_eq!((heard.as_str(), door.accepted(), door.held()), ("go away", 1, 0));

    door.turn_away("");
    let end = connect(&door).await.unwrap().read(&mut [0]).await;
    assert_eq!(end.unwrap(), 0);
}

#[tokio::test]
async fn a_flapping_door_refuses_and_accepts_in_turn() {
    let door = echo();
    let mut old = connected(&door).await;
    door.flap(Duration::from_millis(20));
    assert_eq!(old.read(&mut [0]).await.unwrap(), 0);
    for _ in 0..2 {
        eventually(SOON, "a refusal", async || connect(&door).await.is_err()).await;
        eventually(SOON, "an admission", async || connect(&door).await.is_ok()).await;
    }
    door.open();
    let mut new = connected(&door).await;
    assert!(timeout(A_WHILE, new.read(&mut [0])).await.is_err(), "the flapping goes on");
}

#[tokio::test]
async fn dropped_connections_end_and_new_ones_work() {
    let door = echo();
    let mut old = connected(&door).await;
    door.drop_existing();
    assert_eq!(old.read(&mut [0]).await.unwrap(), 0);
    connected(&door).await;
}

#[tokio::test]
async fn reset_connections_get_an_rst() {
    let door = echo();
    let mut old = connected(&door).await;
    door.reset_existing();
    assert_eq!(old.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    connected(&door).await;
}

#[tokio::test]
async fn frozen_connections_never_answer_while_new_ones_work() {
    let door = echo();
    let mut old = connected(&door).await;
    door.freeze_existing();
    assert!(timeout(A_WHILE, echoes(&mut old)).await.is_err());
    connected(&door).await;
    assert!(timeout(A_WHILE, old.read(&mut [0])).await.is_err(), "it is frozen for ever");
    door.drop_existing();
    eventually(SOON, "all are gone", async || door.held() == 0).await;
}

#[tokio::test]
async fn a_dropped_door_leaves_nothing_behind() {
    let door = echo();
    let mut stream = connected(&door).await;
    let (addr, inner) = (door.addr(), Arc::downgrade(&door.inner));
    drop(door);
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert!(TcpStream::connect(addr).await.is_err());
    eventually(SOON, "its tasks have ended", async || inner.strong_count() == 0).await;
}
