//! The server from the view of clients, healthy and not: by redis-rs, or by bytes where they matter.

use std::time::Duration;

use redis::{AsyncTypedCommands, ErrorKind, ServerErrorKind};
use rstest::rstest;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{Command, DATA, Fault, READS, RespServer, Rule, WRITES, eventually};

const SOON: Duration = Duration::from_secs(5);
const A_WHILE: Duration = Duration::from_millis(100);

async fn client(url: &str) -> redis::RedisResult<redis::aio::MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(SOON));
    redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

/// Sends one command over a connection of its own, without a handshake.
async fn send(server: &RespServer, words: &[&str]) -> TcpStream {
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    write(&mut stream, words).await;
    stream
}

async fn write(stream: &mut TcpStream, words: &[&str]) {
    let words: Vec<_> = words.iter().map(|word| wire::bulk(Some(word.as_bytes()), 2)).collect();
    stream.write_all(&wire::array(&words)).await.unwrap();
}

async fn read(stream: &mut TcpStream, bytes: usize) -> String {
    let mut reply = vec![0; bytes];
    stream.read_exact(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(A_WHILE, stream.read(&mut [0])).await.is_err()
}

#[rstest]
#[case::resp2("")]
#[case::resp3("?protocol=resp3")]
#[tokio::test]
async fn a_healthy_server_works_as_a_small_redis(#[case] query: &str) {
    let server = RespServer::start();
    let mut redis = client(&format!("{}/1{query}", server.url())).await.unwrap();

    assert_eq!(redis.ping().await.unwrap(), "PONG");
    redis.set_ex("a", "0", 60).await.unwrap();
    redis::cmd("SET").arg(&["a", "1", "PX", "60000"]).exec_async(&mut redis).await.unwrap();
    redis.mset(&[("b", "2"), ("c", "3")]).await.unwrap();
    assert_eq!(redis.get("a").await.unwrap().as_deref(), Some("1"));
    assert_eq!(redis.get("none").await.unwrap(), None);
    let values = redis.mget(&["a", "none", "c"]).await.unwrap();
    assert_eq!(values, [Some("1".to_owned()), None, Some("3".to_owned())]);
    assert_eq!(redis.del(&["a", "b", "none"]).await.unwrap(), 2);
    let stored = [server.stored_in(1, "a"), server.stored_in(1, "c"), server.stored("c")];
    assert_eq!(stored, [None, Some(b"3".to_vec()), None]);
    assert!(redis::cmd("NOSUCH").exec_async(&mut redis).await.is_err());
}

#[tokio::test]
async fn each_database_has_its_own_keys_and_there_are_sixteen() {
    let server = RespServer::start();
    server.put("k", "0");
    server.put_in(15, "k", "15");
    for (number, value) in [(0, Some("0")), (3, None), (15, Some("15"))] {
        let mut redis = client(&format!("{}/{number}", server.url())).await.unwrap();
        assert_eq!(redis.get("k").await.unwrap().as_deref(), value);
    }
    let mut stream = send(&server, &["SELECT", "16"]).await;
    assert_eq!(read(&mut stream, 4).await, "-ERR");
}

#[tokio::test]
async fn a_transaction_is_carried_out_at_its_end_or_not_at_all() {
    let server = RespServer::start();
    let mut stream = send(&server, &["MULTI"]).await;
    write(&mut stream, &["SET", "k", "v"]).await;
    assert_eq!(read(&mut stream, 14).await, "+OK\r\n+QUEUED\r\n");
    assert_eq!(server.stored("k"), None);
    write(&mut stream, &["EXEC"]).await;
    assert_eq!(read(&mut stream, 9).await, "*1\r\n+OK\r\n");
    assert_eq!(server.stored("k").unwrap(), b"v");
    write(&mut stream, &["EXEC"]).await;
    assert_eq!(read(&mut stream, 4).await, "-ERR");
}

#[tokio::test]
async fn it_records_the_commands() {
    let server = RespServer::start();
    let mut redis = client(&server.url()).await.unwrap();
    server.forget();
    redis.mget(&["i:1", "i:2"]).await.unwrap();
    redis.set_ex("s", "5.0", 60).await.unwrap();

    let mget = Command { connection: 0, name: "MGET".into(), args: vec!["i:1".into(), "i:2".into()] };
    assert_eq!(server.seen("MGET"), [mget]);
    assert_eq!(server.commands().len(), 2);
    assert_eq!(server.seen("SETEX")[0].args, ["s", "60", "5.0"]);
}

#[tokio::test]
async fn it_asks_for_a_login() {
    let server = RespServer::start();
    server.require_login("ann", "secret");
    let with = |login: &str| format!("redis://{login}@{}", server.addr());

    assert!(client(&with("ann:secret")).await.unwrap().ping().await.is_ok());
    assert!(client(&(with("ann:secret") + "?protocol=resp3")).await.unwrap().ping().await.is_ok());
    assert!(client(&with("ann:wrong")).await.is_err());
    assert!(client(&(with("ann:wrong") + "?protocol=resp3")).await.is_err());
    let mut stranger = send(&server, &["GET", "k"]).await;
    assert_eq!(read(&mut stranger, 8).await, "-NOAUTH ");
    write(&mut stranger, &["AUTH", "secret"]).await;
    assert!(read(&mut stranger, 50).await.contains("-WRONGPASS"), "a password alone is for the default user");
}

#[tokio::test]
async fn a_stalled_server_answers_late_and_in_order_once_it_is_healed() {
    let server = RespServer::start();
    server.put("k", "v");
    server.set(Fault::Stall);
    let mut stream = send(&server, &["GET", "k"]).await;
    write(&mut stream, &["PING"]).await;
    assert!(is_silent(&mut stream).await);
    server.heal();
    assert_eq!(read(&mut stream, 14).await, "$1\r\nv\r\n+PONG\r\n");
}

#[tokio::test]
async fn a_delay_comes_before_each_reply() {
    let server = RespServer::start();
    server.set(Fault::Delay(A_WHILE));
    let start = Instant::now();
    let mut stream = send(&server, &["PING"]).await;
    write(&mut stream, &["PING"]).await;
    read(&mut stream, 14).await;
    assert!(start.elapsed() >= 2 * A_WHILE);
}

#[tokio::test]
async fn a_reply_is_cut_although_its_command_was_executed() {
    let server = RespServer::start();
    server.set(Fault::CutMidReply(2).on(WRITES));
    assert_eq!(read_to_end(send(&server, &["SET", "k", "v"]).await).await, "+O");
    assert_eq!(server.stored("k").unwrap(), b"v");
}

#[tokio::test]
async fn a_sliced_reply_comes_byte_by_byte_and_is_right() {
    let server = RespServer::start();
    server.put("k", "value");
    server.set(Fault::Slice);
    let mut stream = send(&server, &["GET", "k"]).await;
    let mut first = [0; 64];
    assert_eq!(stream.read(&mut first).await.unwrap(), 1);
    assert_eq!(read(&mut stream, 10).await, "5\r\nvalue\r\n");
    assert_eq!(client(&server.url()).await.unwrap().get("k").await.unwrap().as_deref(), Some("value"));
}

#[tokio::test]
async fn garbage_is_a_protocol_error_to_a_client() {
    let server = RespServer::start();
    let mut redis = client(&server.url()).await.unwrap();
    server.set(Fault::Garbage.on(DATA));
    assert_eq!(redis.get("k").await.unwrap_err().kind(), ErrorKind::Parse);
}

#[tokio::test]
async fn a_huge_length_is_followed_by_its_filler_then_silence() {
    let server = RespServer::start();
    for filler in [0, 100_000] {
        server.set(Fault::HugeLength(filler as u64));
        let mut stream = send(&server, &["GET", "k"]).await;
        assert_eq!(read(&mut stream, 13 + filler).await.len(), 13 + filler);
        assert!(is_silent(&mut stream).await);
    }
    eventually(SOON, "clients that left are gone", async || server.door.held() == 0).await;
}

#[rstest]
#[case::loading(Fault::loading(), "-LOADING", "PING GET MGET SET SETEX")]
#[case::busy(Fault::busy(), "-BUSY", "SELECT PING GET MGET SET SETEX")]
#[case::master_down(Fault::master_down(), "-MASTERDOWN", "PING GET MGET SET SETEX")]
#[case::noauth(Fault::noauth(), "-NOAUTH", "SELECT PING GET MGET SET SETEX")]
#[case::noperm(Fault::noperm(), "-NOPERM", "GET MGET SET SETEX")]
#[case::cluster_down(Fault::cluster_down(), "-CLUSTERDOWN", "GET MGET SET SETEX")]
#[case::readonly(Fault::readonly(), "-READONLY", "SET SETEX")]
#[case::oom(Fault::oom(), "-OOM", "SET SETEX")]
#[case::misconf(Fault::misconf(), "-MISCONF", "PING SET SETEX")]
#[case::wrongtype(Fault::wrongtype(), "-WRONGTYPE", "GET")]
#[case::tryagain(Fault::tryagain(), "-TRYAGAIN", "MGET")]
#[case::wrongpass(Fault::wrongpass(), "-WRONGPASS", "HELLO")]
#[tokio::test]
async fn an_error_befalls_the_commands_that_it_would_in_a_real_redis(
    #[case] fault: Rule,
    #[case] code: &str,
    #[case] befallen: &str,
) {
    let server = RespServer::start();
    server.set(fault);
    let commands = ["HELLO 3", "SELECT 1", "PING", "GET k", "MGET k", "SET k v", "SETEX k 1 v"];
    for command in commands {
        let words: Vec<_> = command.split(' ').collect();
        let mut stream = send(&server, &words).await;
        stream.shutdown().await.unwrap();
        let is_befallen = befallen.split(' ').any(|name| name == words[0]);
        assert_eq!(read_to_end(stream).await.starts_with(code), is_befallen, "{command:?}");
    }
}

#[tokio::test]
async fn a_fault_may_be_limited_to_a_count_a_key_or_a_command() {
    let server = RespServer::start();
    server.put("good", "1");
    let mut redis = client(&server.url()).await.unwrap();

    server.set(Fault::Error("ERR once").times(1));
    assert!(redis.get("good").await.is_err());
    assert!(redis.get("good").await.is_ok());

    server.set(Fault::Raw(b"$1\r\n?\r\n").on_key("bad"));
    server.also(Fault::loading().times(1));
    assert_eq!(redis.get("bad").await.unwrap().as_deref(), Some("?"));
    let kind = redis.get("good").await.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::Server(ServerErrorKind::BusyLoading));
    assert_eq!(redis.get("good").await.unwrap().as_deref(), Some("1"));

    server.set(Fault::Error("ERR reads").on(READS));
    assert!(redis.get("good").await.is_err());
    assert!(redis.set("good", "2").await.is_ok());
}

#[tokio::test]
async fn a_wrong_type_fails_get_but_not_mget_and_can_be_overwritten() {
    let server = RespServer::start();
    server.put_wrong_type("k");
    let mut redis = client(&server.url()).await.unwrap();
    assert_eq!(redis.get("k").await.unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(redis.mget(&["k"]).await.unwrap(), [None]);
    redis.set("k", "v").await.unwrap();
    assert_eq!(redis.get("k").await.unwrap().as_deref(), Some("v"));
}

#[tokio::test]
async fn a_full_server_tells_new_clients_so_until_it_is_healed() {
    let server = RespServer::start();
    let mut old = client(&server.url()).await.unwrap();
    server.max_clients();
    assert!(
        read_to_end(TcpStream::connect(server.addr()).await.unwrap()).await.contains("max number of clients")
    );
    assert!(old.ping().await.is_ok());
    server.heal();
    assert!(client(&server.url()).await.is_ok());
}

#[tokio::test]
async fn connections_can_be_dropped_or_frozen() {
    let server = RespServer::start();
    let mut dropped = send(&server, &["PING"]).await;
    read(&mut dropped, 7).await;
    server.drop_connections();
    assert_eq!(read_to_end(dropped).await, "");

    let mut frozen = send(&server, &["PING"]).await;
    read(&mut frozen, 7).await;
    server.freeze_existing();
    write(&mut frozen, &["PING"]).await;
    assert!(is_silent(&mut frozen).await);
    assert!(client(&server.url()).await.is_ok());
}
