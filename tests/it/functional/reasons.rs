//! Each answer that is not 200 has one reason, in the metrics and in the log's line of a call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reqwest::Method;
use scoring_api::{app::Stores, store::Memory};
use serde_json::json;
use testkit::{ALL_IS_OK_WITHIN, Fault, Person, RespServer, TestApp, Wire, call, eventually};

/// The number of requests for each reason, without those that were not seen.
async fn reasons(app: &TestApp) -> BTreeMap<String, u64> {
    let scrape = app.scrape().await;
    let series =
        scrape.lines().filter_map(|line| line.strip_prefix("scoring_failed_requests_total{reason=\""));
    let counts = series.filter_map(|line| line.split_once("\"} "));
    let counts = counts.map(|(reason, count)| (reason.to_owned(), count.parse().unwrap()));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The number of answers that are not 200.
async fn failures(app: &TestApp) -> u64 {
    let scrape = app.scrape().await;
    let answers = scrape.lines().filter(|line| line.starts_with("scoring_http_requests_total{"));
    let failed = answers.filter(|line| !line.contains(r#"code="200""#));
    failed.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[tokio::test]
async fn each_failed_request_is_counted_with_its_one_reason() {
    let memory = Memory::new(100);
    memory.insert("i:1".to_owned(), b"no list".to_vec());
    let stores = Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) };
    let app = TestApp::with(&["http.body_limit=1KiB", "limits.account_rate=100/h"], stores).await;
    let mut expected = BTreeMap::new();
    let mut count = |reason: &str, times| {
        *expected.entry(reason.to_owned()).or_insert(0) += times;
    };
    app.call("online_score", json!({})).await;
    app.call("no such method", json!({})).await;
    app.post("{}").await;
    count("invalid", 3);
    app.post("no JSON").await;
    count("bad_request", 1);
    app.post("x".repeat(2048)).await;
    count("too_large", 1);
    app.post(json!({"login": "b", "token": "", "method": "x", "arguments": {}}).to_string()).await;
    count("forbidden", 1);
    assert_eq!(app.interests(&[1]).await.status, 500);
    count("malformed_value", 1);
    app.send(app.request(Method::GET, "/nowhere")).await;
    count("not_found", 1);
    app.send(app.request(Method::GET, "/method")).await;
    count("wrong_verb", 1);
    let mut wire = Wire::to(app.address()).await;
    wire.send("hello\r\n\r\n").await.unwrap();
    assert_eq!(wire.answer().await.status, 400);
    count("bad_request", 1);
    assert_eq!(app.online_score(&Person::full()).await.status, 200);
    assert_eq!(reasons(&app).await, expected);
    assert_eq!(failures(&app).await, expected.values().sum::<u64>());

    let mut limited = 0;
    while limited == 0 {
        limited += u64::from(app.online_score(&Person::full()).await.status == 429);
    }
    assert_eq!(reasons(&app).await["rate"], 1);
    assert_eq!(failures(&app).await, reasons(&app).await.values().sum::<u64>());
}

fn seeded() -> RespServer {
    let store = RespServer::start();
    for (key, value) in TestApp::seeds() {
        store.put(key, value);
    }
    store
}

#[tokio::test]
async fn a_dead_store_and_a_slow_store_are_told_apart() {
    let store = seeded();
    let app = TestApp::on(&store.url()).await;
    app.recovers().await;
    store.set(Fault::Stall.on(&["MGET"]));
    assert_eq!(app.interests(&[1]).await.status, 503);
    assert_eq!(reasons(&app).await.get("deadline"), Some(&1));
    store.heal();
    app.recovers().await;
    store.door.shut();
    store.drop_connections();
    app.is_degraded().await;
    eventually(ALL_IS_OK_WITHIN, "a call is answered 503 because the store is down", async || {
        app.interests(&[1]).await;
        reasons(&app).await.contains_key("store_down")
    })
    .await;
}

#[tokio::test]
async fn a_call_without_a_place_is_an_overload() {
    let store = seeded();
    let app =
        TestApp::with_settings(&[&format!("store.url={}", store.url()), "limits.max_in_flight=1"]).await;
    app.recovers().await;
    store.set(Fault::Stall.on(&["MGET"]));
    let waiting = app.interests(&[1]);
    let refused = async {
        eventually(Duration::from_secs(5), "the other call is in flight", async || {
            app.metric("scoring_requests_in_flight").await > 0.0
        })
        .await;
        app.post(call("clients_interests", json!({"client_ids": [1]})).to_string()).await
    };
    let (_, refused) = tokio::join!(waiting, refused);
    assert_eq!(refused.status, 503);
    assert!(reasons(&app).await.contains_key("overload"), "{:?}", reasons(&app).await);
}
