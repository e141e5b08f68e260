//! Row 48: a reply that has begun is owed until its last byte, even if its caller has left.

use std::time::Duration;

use rstest::rstest;
use testkit::{ALL_IS_OK_WITHIN, Conditions, Fault, Rule, eventually};
use tokio::time::Instant;

use super::{behind_proxy, on_resp};

/// Two connections for reads, one for look-ups and one for cache writes.
const CONNECTIONS: usize = 4;
const READING: usize = 2;

#[rstest]
#[case::in_the_head(Fault::StopMidReply(1).into(), CONNECTIONS)]
#[case::in_the_middle(Fault::StopMidReply(4).into(), CONNECTIONS)]
#[case::in_the_last_line_end(Fault::StopMidReply(5).into(), CONNECTIONS)]
#[case::a_wrong_length(Fault::Replace("$", "$100").on(&["MGET"]), READING)]
#[case::a_wrong_length_of_an_end_marker(Fault::Replace("$", "$100").on(&["PING"]), READING)]
#[case::a_count_that_is_too_high(Fault::Replace("*1", "*2").on(&["MGET"]), READING)]
#[case::a_count_that_is_too_low(Fault::Replace("*1", "*0").on(&["MGET"]), READING)]
#[tokio::test]
async fn row_48_a_reply_that_never_ends_is_given_up(
    #[case] rule: Rule,
    #[case] connections: usize,
    #[values(true, false)] idle: bool,
) {
    let (store, app) = on_resp().await;
    store.put("i:probe", r#"["three"]"#);
    let before = store.door.accepted();
    store.set(rule.once_on_each_below(before));
    if !idle {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            app.scores_right().await;
            let reply = app.interests(&[1]).await;
            assert!(matches!(reply.status, 200 | 503), "{reply:?}");
        }
    }
    eventually(ALL_IS_OK_WITHIN, "connections are given up", async || {
        store.door.accepted() >= before + connections
    })
    .await;
    app.recovers().await;
    eventually(ALL_IS_OK_WITHIN, "and closed", async || store.door.held() == CONNECTIONS).await;
}

/// The cache's breaker is open, so only a late probe is under way on its connection.
#[tokio::test]
async fn row_48_connections_that_stop_in_a_slow_network_are_replaced() {
    let (_store, proxy, app) = behind_proxy().await;
    let latency = Duration::from_millis(65);
    proxy.set(Conditions { latency, ..Conditions::default() });
    eventually(ALL_IS_OK_WITHIN, "the cache's breaker is open", async || {
        app.scores_right().await;
        app.metric(r#"scoring_store_breaker_state{role="cache"}"#).await == 1.0
    })
    .await;
    let before = proxy.door.accepted();
    proxy.set(Conditions::default());
    proxy.stop_existing_after(4);
    eventually(ALL_IS_OK_WITHIN, "every connection is given up", async || {
        proxy.door.accepted() >= before + CONNECTIONS
    })
    .await;
    app.recovers().await;
}
