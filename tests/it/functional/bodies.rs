//! The memory for bodies, which all calls share: `limits.body_memory`.

use std::time::Duration;

use rstest::rstest;
use testkit::{Person, TestApp, Wire, call, eventually, post};

use super::actors::{Fall, tell};

const WITHIN: Duration = Duration::from_secs(20);

/// The head of a call with a body of 4 KiB.
const HEAD: &str = "POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 4096\r\n\r\n";

/// How a call is over.
#[derive(Debug, Clone, Copy)]
enum Over {
    Answered,
    ClientLeaves,
}

/// A service that has memory for one large body at a time.
async fn short_of_memory() -> TestApp {
    TestApp::with_settings(&[
        "http.body_limit=4KiB",
        "limits.body_memory=4KiB",
        "http.head_timeout=10m",
        "http.body_timeout=10m",
        "store.deadline=60s",
    ])
    .await
}

/// A good call of 3 KiB, most of them blanks.
fn large_call() -> String {
    let call = call("online_score", Person::full().arguments()).to_string();
    format!("{call:>3072}")
}

async fn in_flight(app: &TestApp, count: f64) {
    eventually(WITHIN, "the calls have begun", async || {
        app.metric("scoring_requests_in_flight").await == count
    })
    .await;
}

#[rstest]
#[case::when_it_is_answered(Over::Answered)]
#[case::when_its_client_leaves(Over::ClientLeaves)]
#[tokio::test]
async fn a_body_without_memory_is_503_until_other_bodies_end(#[case] over: Over) {
    let app = short_of_memory().await;
    let mut other = Wire::to(app.address()).await;
    other.send(format!("{HEAD}{}", " ".repeat(3072))).await.unwrap();
    eventually(WITHIN, "the other's bytes have come", async || app.post(large_call()).await.status == 503)
        .await;

    let shed = app.metric(r#"scoring_requests_shed_total{reason="body_memory"}"#).await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(post(&large_call())).await.unwrap();
    let refused = wire.answer().await;
    assert_eq!((refused.status, refused.error()), (503, "Service Unavailable"));
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["connection"], "close");
    assert_eq!(app.metric(r#"scoring_requests_shed_total{reason="body_memory"}"#).await, shed + 1.0);
    // A smaller one fits beside it.
    assert_eq!(app.online_score(&Person::full()).await.score(), 5.0);

    match over {
        Over::Answered => {
            other.send(" ".repeat(1024)).await.unwrap();
            assert_eq!(other.answer().await.status, 400);
        }
        Over::ClientLeaves => other.crash(),
    }
    eventually(WITHIN, "its memory is given back", async || app.post(large_call()).await.status == 200).await;
}

#[tokio::test]
async fn a_length_that_is_only_announced_takes_no_memory() {
    let app = short_of_memory().await;
    let mut liars = Vec::new();
    for _ in 0..3 {
        let mut liar = Wire::to(app.address()).await;
        liar.send(HEAD).await.unwrap();
        liars.push(liar);
    }
    in_flight(&app, 3.0).await;
    assert_eq!(app.post(large_call()).await.score(), 5.0);
}

#[tokio::test]
async fn a_body_takes_memory_until_its_call_is_over() {
    let app = short_of_memory().await;
    tell(&app, "dispatcher", Fall::GetStuck);
    let mut waits = Wire::to(app.address()).await;
    waits.send(post(&large_call())).await.unwrap();
    in_flight(&app, 1.0).await;
    // Nothing is left to be read of the one that waits for the dispatcher.
    assert_eq!(app.post(large_call()).await.status, 503);
    assert_eq!(waits.answer().await.score(), 5.0);
    // The answer may come a moment before the memory is given back.
    eventually(WITHIN, "its memory is given back", async || app.post(large_call()).await.status == 200).await;
}
