//! The ways in which a test can disturb a real Redis.

use redis::AsyncTypedCommands;
use rustix::process::test_kill_process;
use tokio::time::timeout;

use super::*;
use crate::RedisServer;

const A_WHILE: Duration = Duration::from_millis(100);

async fn client(url: &str) -> RedisResult<redis::aio::MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
    Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await
}

#[tokio::test]
async fn it_answers_over_tcp_and_over_its_socket() {
    let server = RedisServer::start().await;
    server.command::<()>(&["SET", "k", "v"]).await;
    for url in [server.url(), format!("redis+unix://{}", server.socket().display())] {
        assert_eq!(client(&url).await.unwrap().get("k").await.unwrap().as_deref(), Some("v"));
    }
}

#[tokio::test]
async fn a_killed_server_refuses_and_restarts_at_its_address() {
    let server = RedisServer::start().await;
    let mut old = client(&server.url()).await.unwrap();
    server.command::<()>(&["SET", "k", "v"]).await;
    server.kill9();
    assert!(old.ping().await.is_err());
    assert!(client(&server.url()).await.unwrap_err().is_connection_refusal());
    for _ in 0..2 {
        server.restart().await;
        assert_eq!(client(&server.url()).await.unwrap().get("k").await.unwrap(), None);
    }
}

#[tokio::test]
async fn stopped_it_is_silent_until_it_goes_on() {
    let server = RedisServer::start().await;
    let mut redis = client(&server.url()).await.unwrap();
    server.sigstop();
    server.sigstop();
    assert!(timeout(A_WHILE, redis.ping()).await.is_err());
    server.sigcont();
    assert!(redis.ping().await.is_ok());
    server.sigstop();
    server.restart().await;
    assert!(client(&server.url()).await.unwrap().ping().await.is_ok());
}

#[tokio::test]
async fn it_can_ask_for_a_password_and_the_tools_still_get_in() {
    let server = RedisServer::with(&["--requirepass", "secret"]).await;
    let stranger = client(&server.url()).await.unwrap().get("k").await;
    assert_eq!(stranger.unwrap_err().code(), Some("NOAUTH"));
    let url = format!("redis://:secret@{}", server.addr());
    assert!(client(&url).await.unwrap().ping().await.is_ok());
    assert_eq!(server.command::<String>(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn it_can_run_out_of_memory() {
    let server = RedisServer::start().await;
    let mut redis = client(&server.url()).await.unwrap();
    server.config_set("maxmemory", "1").await;
    assert_eq!(redis.set("k", "v").await.unwrap_err().code(), Some("OOM"));
    server.config_set("maxmemory", "0").await;
    assert!(redis.set("k", "v").await.is_ok());
}

#[tokio::test]
async fn its_clients_can_be_killed() {
    let server = RedisServer::start().await;
    let mut redis = client(&server.url()).await.unwrap();
    assert!(server.client_kill().await >= 1);
    assert!(redis.ping().await.is_err());
}

#[tokio::test]
async fn its_writers_can_be_paused_while_readers_go_on() {
    let server = RedisServer::start().await;
    let mut redis = client(&server.url()).await.unwrap();
    server.client_pause(Duration::from_secs(60), "WRITE").await;
    assert_eq!(redis.get("k").await.unwrap(), None);
    assert!(timeout(A_WHILE, redis.set("k", "v")).await.is_err());
    server.command::<()>(&["CLIENT", "UNPAUSE"]).await;
    assert!(client(&server.url()).await.unwrap().set("k", "w").await.is_ok());
}

#[tokio::test]
async fn a_dropped_server_leaves_no_process_even_after_a_panic() {
    let server = RedisServer::start().await;
    let (pid, dir) = (server.process.pid(), server.dir.path().to_owned());
    server.sigstop();
    let panics = std::panic::AssertUnwindSafe(|| {
        let _server = server;
        std::panic::resume_unwind(Box::new("a test fails"));
    });
    assert!(std::panic::catch_unwind(panics).is_err());
    assert!(test_kill_process(pid).is_err());
    assert!(!dir.exists());
}

#[test]
#[should_panic(expected = "apt-get install -y redis-server")]
fn a_missing_binary_is_a_failure_that_says_how_to_install_it() {
    let dir = tempfile::tempdir().unwrap();
    ServerProcess::start(&command("no-such-redis-server", &ReservedPort::new(), dir.path(), &[]));
}

#[tokio::test]
#[should_panic(expected = "the server ended with")]
async fn a_server_that_cannot_start_shows_its_log() {
    RedisServer::with(&["--maxmemory", "lots"]).await;
}
