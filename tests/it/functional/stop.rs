//! Row 42: the graceful end, under load.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use testkit::{Person, SLACK, TestApp, alone, call, eventually};
use tokio::task::JoinSet;

/// No request that was accepted fails: clients go on until they are refused a connection, and see nothing else.
#[rstest]
#[case::connections_kept_alive(true)]
#[case::a_connection_for_each_request(false)]
#[tokio::test]
async fn row_42_no_accepted_request_fails(#[case] keep_alive: bool) {
    alone();
    let app = Arc::new(TestApp::with_settings(&["shutdown.grace=300ms", "shutdown.drain=5s"]).await);
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let app = app.clone();
        clients.spawn(async move {
            let mut answered = 0;
            loop {
                let person = Person::any();
                let body = call("online_score", person.arguments()).to_string();
                let mut request = app.request(reqwest::Method::POST, "/method").body(body);
                if !keep_alive {
                    request = request.header("connection", "close");
                }
                match app.try_send(request).await {
                    Ok(reply) => {
                        assert_eq!(reply.score(), person.score());
                        answered += 1;
                    }
                    Err(error) if error.is_connect() => return answered,
                    Err(error) => panic!("after {answered} answers: {error:?}"),
                }
            }
        });
    }
    eventually(Duration::from_secs(10), "the clients are busy", async || {
        app.metric(r#"scoring_http_requests_total{code="200",method="online_score"}"#).await > 100.0
    })
    .await;

    app.stop();
    eventually(Duration::from_secs(2), "readiness says so first", async || {
        let ready = app.admin("/readyz").await;
        ready.status == 503 && ready.body["status"] == "draining"
    })
    .await;
    while let Some(client) = clients.join_next().await {
        assert!(client.expect("an accepted request failed") > 0);
    }
}

/// A connection that a client keeps open without using it does not hold the end up.
#[tokio::test]
async fn an_idle_connection_does_not_hold_the_end_up() {
    let app = TestApp::with_settings(&["shutdown.grace=0s", "shutdown.drain=60s"]).await;
    assert_eq!(app.online_score(&Person::full()).await.status, 200);
    app.stop();
    let gone = async || {
        let request = app.request(reqwest::Method::GET, "/method");
        app.try_send(request).await.is_err()
    };
    eventually(Duration::from_secs(2) * SLACK, "nobody answers any more", gone).await;
}
