//! Rows 57 and 58: bytes behind a call, in the same write or while the call is in flight.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rstest::rstest;
use serde_json::json;
use testkit::{Certificate, Person, Reply, TestApp, Wire, call, eventually, post};

use super::actors::{Fall, tell};

const HEAD_TIMEOUT: Duration = Duration::from_secs(1);

fn a_call() -> String {
    post(&call("online_score", Person::full().arguments()).to_string())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// A chunked call.
fn in_chunks() -> String {
    let body = call("online_score", Person::full().arguments()).to_string();
    let length = body.len();
    format!(
        "POST /method HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
    )
}

fn is_refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(!reply.error().is_empty());
    assert!(reply.headers.contains_key("x-request-id"), "{reply:?}");
    assert_eq!(reply.headers["connection"], "close");
}

#[derive(Debug, Clone, Copy)]
enum Listener {
    Public,
    Operators,
}

impl Listener {
    fn of(self, app: &TestApp) -> SocketAddr {
        match self {
            Self::Public => app.address(),
            Self::Operators => app.admin_address(),
        }
    }
}

#[rstest]
#[case::unknown_path(&[get("/x")], &[404])]
#[case::call(&[a_call()], &[200])]
#[case::call_in_chunks(&[in_chunks()], &[200])]
#[case::call_that_is_refused(&[post("no json")], &[400])]
#[case::many(&[a_call(), get("/x"), post("[]"), in_chunks(), a_call()], &[200, 404, 422, 200, 200])]
#[tokio::test]
async fn row_57_a_bad_head_behind_calls_is_rejected_after_them(
    #[case] calls: &[String],
    #[case] statuses: &[u16],
    #[values(("garbage\r\n\r\n", 400), ("GET /é HTTP/1.1\r\ncontent-length: x\r\nhost: x\r\n\r\n", 400), ("many", 431))]
    bad: (&str, u16),
    #[values(Listener::Public, Listener::Operators)] listener: Listener,
) {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(listener.of(&app)).await;
    let many = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x-a: 1\r\n".repeat(100));
    let bad_head = if bad.0 == "many" { &many } else { bad.0 };
    wire.send(calls.concat() + bad_head).await.unwrap();
    for status in statuses {
        let reply = wire.answer().await;
        assert_eq!(reply.status, *status, "{reply:?}");
        assert!(!reply.headers.contains_key("connection"), "{reply:?}");
    }
    is_refused(&wire.answer().await, bad.1);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn row_57_over_tls_as_well() {
    let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
    let [cert, key] = certificate.write(folder.path());
    let app = TestApp::with_settings(&[&cert, &key]).await;
    let mut wire = Wire::to_tls(app.address(), &certificate).await.unwrap();
    wire.send(a_call() + "garbage\r\n\r\n").await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
    is_refused(&wire.answer().await, 400);
    assert!(wire.is_closed().await);
}

/// A service whose first call is under way until the dispatcher is well again, and a client that made it.
async fn with_a_call_under_way(settings: &[&str]) -> (TestApp, Wire) {
    let app = TestApp::with_settings(&[settings, &["store.deadline=60s"]].concat()).await;
    tell(&app, "dispatcher", Fall::GetStuck);
    let mut wire = Wire::to(app.address()).await;
    wire.send(a_call()).await.unwrap();
    eventually(Duration::from_secs(20), "the call is under way", async || {
        app.metric("scoring_requests_in_flight").await == 1.0
    })
    .await;
    (app, wire)
}

#[tokio::test]
async fn row_57_a_bad_head_during_a_call_is_rejected_after_it() {
    let (_app, mut wire) = with_a_call_under_way(&[]).await;
    wire.send(get("/x") + "garbage\r\n\r\n").await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
    assert_eq!(wire.answer().await.status, 404);
    is_refused(&wire.answer().await, 400);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn row_57_broken_chunks_are_refused_once() {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    wire.send("POST /method HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await.unwrap();
    is_refused(&wire.answer().await, 400);
    assert!(wire.is_closed().await);
}

#[rstest]
#[case::no_body(get("/x"), 404)]
#[case::sized(a_call(), 200)]
#[case::in_chunks(in_chunks(), 200)]
#[case::several(get("/x") + &a_call(), 404)]
#[tokio::test]
async fn row_58_half_a_head_behind_a_call_is_408(
    #[case] calls: String,
    #[case] status: u16,
    #[values("G", "POST /method HTTP/1.1\r\nhost: x\r\nx-long: ")] half: &str,
    #[values(Listener::Public, Listener::Operators)] listener: Listener,
) {
    let app = TestApp::with_settings(&["http.head_timeout=1s", "http.keep_alive=1h"]).await;
    let mut wire = Wire::to(listener.of(&app)).await;
    let count = calls.matches("HTTP/1.1").count();
    wire.send(calls + half).await.unwrap();
    let begun = Instant::now();
    for number in 0..count {
        let reply = wire.answer().await;
        assert_eq!(reply.status, if number == 0 { status } else { 200 }, "{reply:?}");
    }
    is_refused(&wire.answer().await, 408);
    if let Listener::Public = listener {
        assert!(begun.elapsed() >= HEAD_TIMEOUT);
    }
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn row_58_half_a_head_while_a_call_is_under_way_is_408() {
    let (_app, mut wire) = with_a_call_under_way(&["http.head_timeout=1s", "http.keep_alive=1h"]).await;
    wire.send(get("/x") + "GET /").await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
    assert_eq!(wire.answer().await.status, 404);
    is_refused(&wire.answer().await, 408);
    assert!(wire.is_closed().await);
}

/// An idle connection is not taken for half a head: after any request, the client may stay longer than a head may
/// take.
#[rstest]
#[case::no_body(&[get("/x")])]
#[case::sized(&[a_call()])]
#[case::in_chunks(&[in_chunks()])]
#[case::body_that_looks_like_a_head(&[post("{\"a\":1}\r\n\r\n")])]
#[case::empty_line_behind(&[a_call() + "\r\n"])]
#[case::many(&[a_call(), get("/x"), in_chunks(), post("[]"), a_call()])]
#[tokio::test]
async fn row_58_a_client_with_complete_calls_may_idle(#[case] calls: &[String]) {
    let app = TestApp::with_settings(&["http.head_timeout=1s", "http.keep_alive=1h"]).await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(calls.concat()).await.unwrap();
    for _ in calls {
        wire.answer().await;
    }
    // Others are refused meanwhile, one after the other.
    for _ in 0..2 {
        is_refused(&Wire::to(app.address()).await.answer().await, 408);
    }
    wire.send(a_call()).await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
}

/// More calls than actix queues.
#[rstest]
#[case::all_at_once(true)]
#[case::one_by_one(false)]
#[tokio::test]
async fn row_58_forty_pipelined_calls_are_all_answered(#[case] at_once: bool) {
    let (_app, mut wire) = with_a_call_under_way(&["http.head_timeout=1s", "http.keep_alive=1h"]).await;
    if at_once {
        wire.send(get("/x").repeat(40)).await.unwrap();
    } else {
        for _ in 0..40 {
            wire.send(get("/x")).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(wire.answer().await.score(), 5.0);
    for _ in 0..40 {
        assert_eq!(wire.answer().await.status, 404);
    }
    wire.send(post(&call("online_score", json!({"gender": 1, "birthday": "01.01.2000"})).to_string()))
        .await
        .unwrap();
    assert_eq!(wire.answer().await.score(), 1.5);
}

/// An interim answer only stands where the client has to send its body for the final one.
#[rstest]
#[case::too_large("POST /method", 300_000, 413)]
#[case::unknown_path("POST /x", 10, 404)]
#[case::wrong_verb("PUT /method", 10, 405)]
#[tokio::test]
async fn the_final_answer_comes_at_once_where_the_head_decides(
    #[case] line: &str,
    #[case] length: usize,
    #[case] status: u16,
) {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    let head =
        format!("{line} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n");
    wire.send(head).await.unwrap();
    let reply = wire.try_answer().await.unwrap();
    is_refused(&reply, status);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_client_is_told_to_go_on_where_its_body_is_wanted() {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    let whole = a_call();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    wire.send(format!("{head}\r\nexpect: 100-continue\r\n\r\n")).await.unwrap();
    assert_eq!(wire.try_answer().await.unwrap().status, 100);
    wire.send(body).await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
}

fn head(path: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// The server's library writes an answer by the request that it has parsed last.
#[rstest]
#[case::head_behind_a_call(&[a_call(), head("/method")], &[(200, true), (405, false)])]
#[case::head_between_calls(&[a_call(), head("/x"), a_call()], &[(200, true), (404, false), (200, true)])]
#[case::head_first(&[head("/x"), a_call()], &[(404, false), (200, true)])]
#[case::the_last_one_closes(&[a_call(), a_call(), a_call().replace("host: x", "host: x\r\nconnection: close")], &[(200, true), (200, true), (200, true)])]
#[case::an_older_version_behind(&[a_call(), a_call().replace("HTTP/1.1", "HTTP/1.0")], &[(200, true), (200, true)])]
#[tokio::test]
async fn row_57_an_answer_does_not_depend_on_the_request_behind_it(
    #[case] requests: &[String],
    #[case] expected: &[(u16, bool)],
    #[values(true, false)] at_once: bool,
) {
    let (_app, mut wire) = with_a_call_under_way(&[]).await;
    if at_once {
        wire.send(requests.concat()).await.unwrap();
    } else {
        for byte in requests.concat().bytes() {
            wire.send([byte]).await.unwrap();
        }
    }
    assert_eq!(wire.answer().await.score(), 5.0);
    for (number, (status, has_body)) in expected.iter().enumerate() {
        let reply = if *has_body { wire.answer().await } else { wire.answer_to_head().await };
        assert_eq!(reply.status, *status, "{number}: {reply:?}");
        let is_last = number + 1 == expected.len();
        assert!(is_last || !reply.headers.contains_key("connection"), "{number}: {reply:?}");
    }
}
