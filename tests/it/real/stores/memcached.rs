//! Rows and promises that only memcached has.

use scoring_api::config::Settings;
use testkit::{ALL_IS_OK_WITHIN, MemcachedServer, Person, TestApp, eventually};

use super::Real;

/// `-M`: the server refuses to store instead of forgetting.
#[tokio::test]
async fn row_16_a_full_memcached_refuses_writes_and_serves_reads() {
    let server = MemcachedServer::with(&["-M", "-m", "8"]).await;
    server.fill().await;
    let store = Real::Memcached(server);
    let app = store.app().await;
    eventually(ALL_IS_OK_WITHIN, "ready", async || app.readiness().await == "ready").await;
    let degraded = async || app.metric(r#"scoring_cache_lookups_total{result="degraded"}"#).await;
    let before = degraded().await;
    let refused = async || {
        app.metric(r#"scoring_store_operations_total{op="set",outcome="writes_refused",role="cache"}"#).await
    };
    eventually(ALL_IS_OK_WITHIN, "a refused write is counted", async || {
        app.scores_right().await;
        refused().await > 0.0
    })
    .await;
    assert_eq!(app.readiness().await, "ready");
    assert_eq!(degraded().await, before);
}

#[tokio::test]
async fn row_18_a_full_memcached_is_named_in_its_own_words() {
    let server = MemcachedServer::with(&["-c", "16", "-t", "1"]).await;
    // Held until it admits no more.
    let mut held = Vec::new();
    while let Some(connection) = server.connection().await {
        held.push(connection);
        assert!(held.len() < 100, "it is never full");
    }
    let store = Real::Memcached(server);
    let app = store.app_at(store.addr()).await;
    store.is_down(&app).await;
    drop(held);
    app.recovers().await;
}

#[tokio::test]
async fn several_memcached_servers_each_have_their_share() {
    let servers =
        [MemcachedServer::start().await, MemcachedServer::start().await, MemcachedServer::start().await];
    let list = servers.iter().map(|server| server.addr().to_string()).collect::<Vec<_>>().join(",");
    let app = TestApp::with_settings(&[&format!("cache.url=memcached://{list}")]).await;
    let count = async |series: &str| app.metric(series).await;
    let hits = r#"scoring_cache_lookups_total{result="hit"}"#;
    let degraded = r#"scoring_cache_lookups_total{result="degraded"}"#;
    eventually(ALL_IS_OK_WITHIN, "ready", async || app.readiness().await == "ready").await;
    let persons: Vec<_> = (0..60).map(|_| Person::any()).collect();
    let rate = async || {
        for person in &persons {
            assert_eq!(app.online_score(person).await.score(), person.score());
        }
    };
    eventually(ALL_IS_OK_WITHIN, "all are hits", async || {
        let before = count(hits).await;
        rate().await;
        count(hits).await - before >= 60.0
    })
    .await;
    for server in &servers {
        assert!(server.stat("curr_items").await > 5, "a server without a share");
    }
    servers[1].kill9();
    eventually(ALL_IS_OK_WITHIN, "degraded", async || app.readiness().await == "degraded").await;
    let ready = app.admin("/readyz").await;
    let note = format!("1 of 3 servers do not serve: {}", servers[1].addr());
    assert_eq!(ready.body["parts"]["cache"]["note"], note, "{ready:?}");
    let (before, misses) = (count(hits).await, count(degraded).await);
    rate().await;
    let (hit, missed) = (count(hits).await - before, count(degraded).await - misses);
    // The others keep their keys.
    assert!(hit + missed == 60.0 && (20.0..=55.0).contains(&hit), "{hit} hits, {missed} degraded");
    servers[1].restart().await;
    eventually(ALL_IS_OK_WITHIN, "all are hits again", async || {
        let before = count(hits).await;
        rate().await;
        count(hits).await - before >= 60.0
    })
    .await;
}

#[test]
fn memcached_is_refused_as_a_store_that_lasts() {
    let refused = Settings::load(None, [], &["store.url=memcached://cache".to_owned()]);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("store.url") && text.contains("set cache.url to it"), "{text}");
}
