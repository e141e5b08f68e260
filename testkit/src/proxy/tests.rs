//! The proxy, as its client sees it. Times are lower bounds, because a busy machine is always late.

use std::time::Duration;

use tokio::net::UnixListener;
use tokio::time::timeout;

use super::*;
use crate::{Conditions, Loss, Proxy, RespServer, Stopwatch, Upstream, eventually};

const A_WHILE: Duration = Duration::from_millis(100);
const FOR_EVER: Duration = Duration::from_secs(3_600);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

async fn ping(stream: &mut TcpStream) {
    stream.write_all(PING).await.unwrap();
    pong(stream).await;
}

async fn pong(stream: &mut TcpStream) {
    let mut reply = [0; PONG.len()];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, PONG);
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read(&mut [0])).await.is_err()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]).await, Ok(1))
}

#[tokio::test]
async fn a_perfect_network_passes_everything_on_and_the_end_too() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    let mut stream = connect(&proxy).await;
    ping(&mut stream).await;
    store.drop_connections();
    assert!(is_closed(&mut stream).await);
    store.door.shut();
    assert!(is_closed(&mut connect(&proxy).await).await);
}

#[tokio::test]
async fn a_unix_socket_can_be_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let proxy = Proxy::to(Upstream::Unix(path));
    let mut stream = connect(&proxy).await;
    let (mut store, _) = listener.accept().await.unwrap();
    stream.write_all(PING).await.unwrap();
    store.read_exact(&mut [0; PING.len()]).await.unwrap();
    store.write_all(PONG).await.unwrap();
    pong(&mut stream).await;
}

#[tokio::test]
async fn latency_adds_up_over_both_ways_but_not_over_commands() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    proxy.set(Conditions { latency: A_WHILE, ..Conditions::default() });
    let mut stream = connect(&proxy).await;
    let start = Stopwatch::start();
    for _ in 0..20 {
        stream.write_all(PING).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..20 {
        pong(&mut stream).await;
    }
    assert!(start.elapsed() >= 2 * A_WHILE, "it took only {:?}", start.elapsed());
    start.assert_within(20 * A_WHILE, "twenty commands");
}

#[tokio::test]
async fn each_direction_can_be_late_alone() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    let late = Conditions { latency: FOR_EVER, ..Conditions::default() };
    let mut stream = connect(&proxy).await;

    proxy.set_to_client(late);
    stream.write_all(PING).await.unwrap();
    eventually(Duration::from_secs(5), "the store gets it", async || store.seen("PING").len() == 1).await;
    assert!(is_silent(&mut stream).await);
    proxy.heal();
    pong(&mut stream).await;

    proxy.set_to_store(late);
    stream.write_all(PING).await.unwrap();
    assert!(is_silent(&mut stream).await);
    assert_eq!(store.seen("PING").len(), 1);
    proxy.heal();
    pong(&mut stream).await;
}

#[tokio::test]
async fn a_loss_stalls_the_stream() {
    let store = RespServer::start();
    let proxy = Proxy::seeded(store.addr(), 7);
    let mut stream = connect(&proxy).await;
    ping(&mut stream).await;
    let loss = Loss { chance: 0.5, stall: Duration::from_millis(20) };
    proxy.set_to_client(Conditions { loss: Some(loss), ..Conditions::default() });
    let start = Instant::now();
    for _ in 0..8 {
        ping(&mut stream).await;
    }
    // Without the seed, this would fail once in 256 runs.
    assert!(start.elapsed() >= loss.stall);
}

#[tokio::test]
async fn bandwidth_is_limited() {
    let store = RespServer::start();
    store.put("k", [b'x'; 20_000]);
    let proxy = Proxy::to(store.addr());
    proxy.set_to_client(Conditions { bandwidth: Some(100_000), ..Conditions::default() });
    let mut stream = connect(&proxy).await;
    let start = Instant::now();
    stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n").await.unwrap();
    stream.read_exact(&mut [0; 20_000]).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(190));
}

#[tokio::test]
async fn bytes_in_a_black_hole_are_lost_and_other_connections_recover() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    let (mut struck, mut idle) = (connect(&proxy).await, connect(&proxy).await);
    ping(&mut struck).await;
    ping(&mut idle).await;

    proxy.set(Conditions { black_hole: true, ..Conditions::default() });
    struck.write_all(PING).await.unwrap();
    let mut new = connect(&proxy).await;
    new.write_all(PING).await.unwrap();
    assert!(is_silent(&mut struck).await && is_silent(&mut new).await);

    proxy.heal();
    struck.write_all(PING).await.unwrap();
    assert!(is_silent(&mut struck).await);
    ping(&mut idle).await;
    ping(&mut connect(&proxy).await).await;
}

#[tokio::test]
async fn a_connection_is_cut_after_a_number_of_bytes() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    let mut stream = connect(&proxy).await;
    ping(&mut stream).await;
    proxy.set_to_client(Conditions { cut_after: Some(3), ..Conditions::default() });
    stream.write_all(PING).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!(reply, "+PO");
}

#[tokio::test]
async fn its_door_can_reset_freeze_and_refuse() {
    let store = RespServer::start();
    let proxy = Proxy::to(store.addr());
    let mut reset = connect(&proxy).await;
    ping(&mut reset).await;
    proxy.door.reset_existing();
    assert_eq!(reset.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);

    let mut frozen = connect(&proxy).await;
    ping(&mut frozen).await;
    proxy.door.freeze_existing();
    frozen.write_all(PING).await.unwrap();
    assert!(is_silent(&mut frozen).await);
    ping(&mut connect(&proxy).await).await;

    proxy.door.shut();
    assert!(TcpStream::connect(proxy.addr()).await.is_err());
    proxy.heal();
    ping(&mut connect(&proxy).await).await;
}
