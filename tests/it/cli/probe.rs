//! `probe`: the exit code is the answer.

use std::time::Duration;

use rstest::rstest;
use testkit::{SLACK, Stopwatch, TestApp, eventually};
use tokio::net::TcpListener;

use super::process::{Ended, Sandbox};

async fn probe(address: impl ToString, arguments: &[&str]) -> Ended {
    let bind = format!("admin.bind={}", address.to_string());
    Sandbox::new().run(&[&["probe", "--set", &bind], arguments].concat()).await
}

#[rstest]
#[case::ready(&[])]
#[case::live(&["--live"])]
#[tokio::test]
async fn a_service_that_is_well_is_told_without_a_word(#[case] arguments: &[&str]) {
    let app = TestApp::spawn().await;
    assert_eq!(probe(app.admin_address(), arguments).await.succeeded(), "");
}

#[tokio::test]
async fn a_service_that_drains_lives_and_is_not_ready() {
    let app = TestApp::with_settings(&["shutdown.grace=5s"]).await;
    app.stop();
    eventually(Duration::from_secs(10), "it drains", async || app.admin("/readyz").await.status == 503).await;
    let line =
        format!(r#"GET http://{}/readyz: answered "HTTP/1.1 503 Service Unavailable""#, app.admin_address());
    assert_eq!(probe(app.admin_address(), &[]).await.failed(1), [line]);
    probe(app.admin_address(), &["--live"]).await.succeeded();
}

#[tokio::test]
async fn a_probe_does_not_wait_for_a_silent_service() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stopwatch = Stopwatch::start();
    let ended = probe(silent.local_addr().unwrap(), &[]).await;
    assert!(ended.failed(1)[0].contains("/readyz: "), "{ended:?}");
    stopwatch.assert_within(Duration::from_secs(2) * SLACK, "a probe");
}

#[rstest]
#[case::nobody_there("127.0.0.1:1", 1, "GET http://127.0.0.1:1/readyz: ")]
#[case::turned_off("", 2, "admin.bind: the operators' listener is turned off")]
#[case::any_port("127.0.0.1:0", 2, "admin.bind: port 0 is any port")]
#[tokio::test]
async fn a_probe_without_a_service_is_a_failure(
    #[case] address: &str,
    #[case] code: i32,
    #[case] line: &str,
) {
    let ended = probe(address, &[]).await;
    assert!(ended.failed(code)[0].starts_with(line), "{ended:?}");
}
