use std::time::Duration;

use rstest::rstest;

use super::super::{connect::RedisConnector, connection::RedisConnection, testing::Server};
use crate::{
    resolver::Resolver,
    store::{BackendError, Remedy, url::StoreUrl},
};

async fn connect(url: &str) -> Result<RedisConnection, BackendError> {
    let Ok(StoreUrl::Redis(target)) = url.parse() else { panic!("{url}") };
    RedisConnector::new(target, Duration::from_secs(20), Resolver::system()).establish().await
}

#[rstest]
#[case::all_in_order(&[])]
#[case::a_server_that_cannot_save(&[("PING", "-MISCONF Redis is unable to persist to disk.\r\n")])]
#[tokio::test]
async fn row_46_a_log_in_that_is_answered_exactly_is_used(#[case] answers: &[(&'static str, &'static str)]) {
    let server = Server::start(answers).await;
    let connected = connect(&format!("redis://ann:secret@{}/3", server.address)).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
    let steps: Vec<_> = server.asked().into_iter().filter(|line| !line.starts_with(['*', '$'])).collect();
    assert_eq!(steps, ["AUTH", "ann", "secret", "SELECT", "3", "PING"]);
}

#[rstest]
#[case::auth_busy("AUTH", "-BUSY a script\r\n", "AUTH: not serving at the moment (BUSY)", Remedy::Reconnect)]
#[case::auth_wrong("AUTH", "-WRONGPASS no\r\n", "AUTH: access refused (WRONGPASS)", Remedy::Wait)]
#[case::auth_unwanted(
    "AUTH",
    "-ERR AUTH without any\r\n",
    "AUTH: the server answered with an error (ERR)",
    Remedy::Configuration
)]
#[case::auth_queued("AUTH", "+QUEUED\r\n", "AUTH: protocol error", Remedy::Reconnect)]
#[case::auth_bulk("AUTH", "$2\r\nOK\r\n", "AUTH: protocol error", Remedy::Reconnect)]
#[case::select_busy(
    "SELECT",
    "-BUSY a script\r\n",
    "SELECT: not serving at the moment (BUSY)",
    Remedy::Reconnect
)]
#[case::select_loading(
    "SELECT",
    "-LOADING it\r\n",
    "SELECT: not serving at the moment (LOADING)",
    Remedy::Reconnect
)]
#[case::select_tryagain(
    "SELECT",
    "-TRYAGAIN it\r\n",
    "SELECT: not serving at the moment (TRYAGAIN)",
    Remedy::Reconnect
)]
#[case::select_misconf(
    "SELECT",
    "-MISCONF no disk\r\n",
    "SELECT: writes are refused (MISCONF)",
    Remedy::Reconnect
)]
#[case::select_no_such(
    "SELECT",
    "-ERR out of range\r\n",
    "SELECT: the server answered with an error (ERR)",
    Remedy::Configuration
)]
#[case::select_forbidden("SELECT", "-NOPERM no\r\n", "SELECT: access refused (NOPERM)", Remedy::Wait)]
#[case::select_pong("SELECT", "+PONG\r\n", "SELECT: protocol error", Remedy::Reconnect)]
#[case::select_null("SELECT", "$-1\r\n", "SELECT: protocol error", Remedy::Reconnect)]
#[case::ping_loading(
    "PING",
    "-LOADING it\r\n",
    "PING: not serving at the moment (LOADING)",
    Remedy::Reconnect
)]
#[case::ping_oom("PING", "-OOM full\r\n", "PING: writes are refused (OOM)", Remedy::Reconnect)]
#[case::ping_ok("PING", "+OK\r\n", "PING: protocol error", Remedy::Reconnect)]
#[case::ping_noauth("PING", "-NOAUTH first\r\n", "PING: access refused (NOAUTH)", Remedy::Wait)]
#[tokio::test]
async fn row_46_a_step_that_is_answered_otherwise_is_named(
    #[case] step: &'static str,
    #[case] answer: &'static str,
    #[case] cause: &str,
    #[case] remedy: Remedy,
) {
    let server = Server::start(&[(step, answer)]).await;
    let error = connect(&format!("redis://:secret@{}/3", server.address)).await.err().unwrap();
    assert_eq!(error.to_string(), format!("{}: {cause}", server.address));
    assert_eq!(error.remedy(), remedy);
}

/// As at `maxclients`: that passes, so the next attempt comes soon, although `AUTH` seems to be refused.
#[tokio::test]
async fn row_46_a_disconnect_before_the_log_in_is_retried_soon() {
    let server = Server::start(&[("AUTH", "-ERR max number of clients reached\r\n<end>")]).await;
    let error = connect(&format!("redis://:secret@{}", server.address)).await.err().unwrap();
    assert_eq!(error.remedy(), Remedy::Reconnect, "{error}");
}
