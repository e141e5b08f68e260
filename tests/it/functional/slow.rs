//! Rows 35 and 36: clients that take for ever, and clients that send too much.

use std::time::Duration;

use rstest::rstest;
use serde_json::json;
use testkit::{Person, Reply, SLACK, Stopwatch, TestApp, Wire, call, post};

const HEAD_TIMEOUT: Duration = Duration::from_millis(200);

fn a_call() -> String {
    post(&call("online_score", Person::full().arguments()).to_string())
}

async fn impatient_app() -> TestApp {
    TestApp::with_settings(&["http.head_timeout=200ms", "http.body_timeout=200ms", "http.keep_alive=60s"])
        .await
}

fn is_too_slow(reply: &Reply) {
    assert_eq!((reply.status, reply.error()), (408, "Request Timeout"));
    assert!(reply.headers.contains_key("x-request-id"));
    assert_eq!(reply.headers["connection"], "close");
    assert!(reply.took <= HEAD_TIMEOUT * SLACK, "{reply:?}");
}

/// The way in which a client never finishes.
#[derive(Debug, Clone, Copy)]
enum Never {
    Begins,
    GoesOn,
    Ends,
}

async fn never_finished(wire: &mut Wire, how: Never, half: &str, byte: u8) -> Reply {
    match how {
        Never::Begins => wire.answer().await,
        Never::GoesOn => {
            wire.send(half).await.unwrap();
            wire.answer().await
        }
        Never::Ends => {
            wire.send(half).await.unwrap();
            wire.drip(byte).await
        }
    }
}

#[rstest]
#[case::first_never_begins(0, Never::Begins)]
#[case::first_never_goes_on(0, Never::GoesOn)]
#[case::first_drips(0, Never::Ends)]
#[case::second_never_goes_on(1, Never::GoesOn)]
#[case::second_drips(1, Never::Ends)]
#[case::twentieth_drips(19, Never::Ends)]
#[tokio::test]
async fn row_35_a_head_that_never_ends_is_408(#[case] before: usize, #[case] how: Never) {
    let app = impatient_app().await;
    let mut wire = Wire::to(app.address()).await;
    for _ in 0..before {
        wire.send(a_call()).await.unwrap();
        assert_eq!(wire.answer().await.score(), 5.0);
    }
    let reply = never_finished(&mut wire, how, "POST /method HTTP/1.1\r\nhost: x\r\nx-long: ", b'x').await;
    is_too_slow(&reply);
    assert!(wire.is_closed().await);
}

#[rstest]
#[case::never_begins(Never::GoesOn, "content-length: 1000\r\n\r\n")]
#[case::drips(Never::Ends, "content-length: 1000\r\n\r\n")]
#[case::drips_in_a_chunk(Never::Ends, "transfer-encoding: chunked\r\n\r\n3E8\r\n")]
#[tokio::test]
async fn row_35_a_body_that_never_ends_is_408(#[case] how: Never, #[case] framing: &str) {
    let app = impatient_app().await;
    let mut wire = Wire::to(app.address()).await;
    let half = format!("POST /method HTTP/1.1\r\nhost: x\r\n{framing}");
    let reply = never_finished(&mut wire, how, &half, b' ').await;
    is_too_slow(&reply);
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn row_35_a_later_head_for_the_operators_that_never_ends_is_408() {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.admin_address()).await;
    wire.send("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let healthy = wire.answer().await;
    assert!(healthy.status == 200 && healthy.headers.contains_key("x-request-id"), "{healthy:?}");
    wire.send("GET /heal").await.unwrap();
    let reply = wire.answer().await;
    assert_eq!((reply.status, reply.error()), (408, "Request Timeout"));
    assert!(wire.is_closed().await);
}

/// A connection at rest is kept for longer than a head may take.
#[tokio::test]
async fn row_35_a_connection_between_requests_is_left_alone() {
    let app = impatient_app().await;
    let mut resting = Wire::to(app.address()).await;
    resting.send(a_call()).await.unwrap();
    assert_eq!(resting.answer().await.score(), 5.0);

    for _ in 0..2 {
        is_too_slow(&Wire::to(app.address()).await.answer().await);
    }
    resting.send(a_call()).await.unwrap();
    assert_eq!(resting.answer().await.score(), 5.0);
}

#[tokio::test]
async fn row_35_others_are_served_meanwhile() {
    let app = TestApp::with_settings(&["http.head_timeout=60s", "http.body_timeout=60s"]).await;
    let mut crowd = Vec::new();
    for number in 0..300 {
        let mut wire = Wire::to(app.address()).await;
        if number % 2 == 0 {
            wire.send("POST /method HTT").await.unwrap();
        } else {
            wire.send("POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
        }
        crowd.push(wire);
    }
    for _ in 0..50 {
        app.scores_right().await;
    }
    // They wait for their bodies, and neither hold a permit nor delay others.
    assert_eq!(app.metric("scoring_requests_in_flight").await, 150.0);
    crowd.into_iter().for_each(Wire::crash);
    testkit::eventually(Duration::from_secs(10), "they are forgotten", async || {
        app.metric("scoring_requests_in_flight").await == 0.0
    })
    .await;
}

#[rstest]
#[case::announced("content-length: 2049\r\n\r\n")]
#[case::announced_and_asked_for_first("content-length: 2049\r\nexpect: 100-continue\r\n\r\n")]
#[case::announced_absurdly("content-length: 18446744073709551615\r\n\r\n")]
#[tokio::test]
async fn row_36_a_body_over_the_limit_is_refused_before_it_is_sent(#[case] framing: &str) {
    let app = TestApp::with_settings(&["http.body_limit=2KiB"]).await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(format!("POST /method HTTP/1.1\r\nhost: x\r\n{framing}")).await.unwrap();
    let reply = wire.answer().await;
    assert_eq!((reply.status, reply.error()), (413, "Payload Too Large"));
    assert_eq!(reply.headers["connection"], "close");
    assert!(wire.is_closed().await);
}

/// A client that never stops sending is told so, and hung up on.
#[rstest]
#[case::announced("content-length: 1000000000\r\n\r\n", "")]
#[case::chunked("transfer-encoding: chunked\r\n\r\n", "8000\r\n")]
#[tokio::test]
async fn row_36_a_body_without_end_is_413_and_the_connection_closes(
    #[case] framing: &str,
    #[case] chunk: &str,
) {
    let app = TestApp::with_settings(&["http.body_limit=2KiB"]).await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(format!("POST /method HTTP/1.1\r\nhost: x\r\n{framing}")).await.unwrap();
    let end = if chunk.is_empty() { "" } else { "\r\n" };
    let part = format!("{chunk}{}{end}", " ".repeat(0x8000));
    wire.send(&part).await.unwrap();
    let reply = wire.answer().await;
    assert_eq!((reply.status, reply.error()), (413, "Payload Too Large"));
    let stopwatch = Stopwatch::start();
    let mut sent = part.len();
    while wire.send(&part).await.is_ok() {
        sent += part.len();
        // Most of it lies in the sockets' buffers.
        assert!(sent < 192 << 20, "it takes all that is sent");
        stopwatch.assert_within(Duration::from_secs(20) * SLACK, "listening");
    }
    assert_eq!(app.call("online_score", json!({"gender": 1, "birthday": "01.01.2000"})).await.score(), 1.5);
}
