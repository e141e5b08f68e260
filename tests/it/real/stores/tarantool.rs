//! Rows and promises that only Tarantool has.

use std::sync::Arc;

use serde_json::json;
use testkit::{ALL_IS_OK_WITHIN, Load, TarantoolServer, TestApp, eventually};

use super::{Kind, Real};

#[tokio::test]
async fn row_14_a_server_without_the_functions_serves_once_they_are_loaded() {
    let server = TarantoolServer::start().await;
    for (key, value) in TestApp::seeds() {
        server.put(key, value).await;
    }
    let app = Arc::new(TestApp::on(&server.url()).await);
    app.recovers().await;
    server.restart_without_functions().await;
    app.is_degraded().await;
    let ready = app.admin("/readyz").await;
    let part = &ready.body["parts"]["persistent"];
    assert_eq!((&part["kind"], &part["last_error"]), (&json!("tarantool"), &json!("refused")), "{ready:?}");
    assert_eq!(app.metric(r#"scoring_store_info{kind="tarantool",role="cache"}"#).await, 1.0);
    server.load().await;
    app.recovers().await;
}

#[tokio::test]
async fn row_15_a_read_only_server_serves_both_roles() {
    let server = TarantoolServer::start().await;
    for (key, value) in TestApp::seeds() {
        server.put(key, value).await;
    }
    let app = TestApp::on(&server.url()).await;
    app.recovers().await;
    server.lua("box.cfg{read_only = true}").await;
    app.is_ok().await;
    let written =
        async || app.metric(r#"scoring_store_operations_total{op="set",outcome="ok",role="cache"}"#).await;
    let before = written().await;
    eventually(ALL_IS_OK_WITHIN, "the cache is written", async || {
        app.scores_right().await;
        written().await > before
    })
    .await;
}

#[tokio::test]
async fn row_17_a_wrong_password_is_named_and_never_shown() {
    let server = TarantoolServer::start().await;
    let app = TestApp::on(&format!("tarantool://scoring:hunter2@{}", server.addr())).await;
    app.is_degraded().await;
    let ready = app.admin("/readyz").await;
    let last = &ready.body["parts"]["persistent"]["last_error"];
    assert_eq!(*last, "denied", "{ready:?}");
    assert!(!ready.body.to_string().contains("hunter2"));
    server.lua("box.schema.user.passwd('scoring', 'hunter2')").await;
    for (key, value) in TestApp::seeds() {
        server.put(key, value).await;
    }
    app.recovers_within(ALL_IS_OK_WITHIN * 2).await;
}

#[tokio::test]
async fn row_19_a_value_of_another_kind() {
    let store = Real::start(Kind::Tarantool).await;
    let app = store.app().await;
    let Real::Tarantool(server) = &store else { unreachable!() };
    server.lua("box.space.scoring_interests:replace({'i:7', 5})").await;
    server.lua("box.space.scoring_interests:replace({'i:8', {'books'}})").await;
    for ids in [&[7][..], &[1, 7], &[2, 8]] {
        let reply = app.interests(ids).await;
        assert_eq!((reply.status, reply.error()), (500, "Internal Server Error"));
    }
    app.is_ok().await;
}

#[tokio::test]
async fn row_54_values_over_the_limit_cost_only_their_callers() {
    let store = Real::start(Kind::Tarantool).await;
    let app = store.app().await;
    let Real::Tarantool(server) = &store else { unreachable!() };
    // 80 MB.
    let fill = "for i = 100, 179 do box.space.scoring_interests:replace{'i:' .. i, string.rep('x', 1000 * 1000)} end";
    server.lua(fill).await;
    let load = Load::start(&app, 4);
    let too_many: Vec<_> = (100..180).collect();
    for _ in 0..10 {
        let reply = app.interests(&too_many).await;
        assert_eq!((reply.status, reply.error()), (500, "Internal Server Error"));
    }
    let tally = load.end().await;
    assert_eq!(tally.refused_interests, 0, "{tally:?}");
    assert_eq!(app.readiness().await, "ready");
}

/// It takes no memory after a while, and counts as missing before that.
#[tokio::test]
async fn an_expired_score_on_tarantool_is_missing_at_once() {
    let server = TarantoolServer::start().await;
    let found = server.lua("scoring.cache_put('uid:x', '1', 0); return scoring.cache_get('uid:x')").await;
    assert_eq!(found.trim(), "---\n- null\n...");
    eventually(ALL_IS_OK_WITHIN, "it is removed", async || {
        server.lua("return box.space.scoring_cache:len()").await.contains("- 0")
    })
    .await;
}
