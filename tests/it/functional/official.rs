//! The assignment's own cases, over HTTP and on every kind of store that needs no server. `real` has them on Redis.

use rstest::rstest;
use scoring_api::wall_clock;
use serde_json::{Value, json};
use testkit::{TestApp, sign};

/// The suite.
pub const CASES: &str = include_str!("../official.json");

/// The ids that the cases ask for; each has interests stored.
pub const IDS: [i64; 4] = [0, 1, 2, 3];

/// Runs every case against `app`, in whose store all of [`IDS`] have the interests `["books"]`.
pub async fn all_cases_hold(app: &TestApp) {
    let suite: Value = serde_json::from_str(CASES).unwrap();
    let cases = suite["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 36);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let reply = app.post(request(case).to_string()).await;
        let expected = &case["expect"];
        assert_eq!(reply.status, expected["code"], "{name}: {reply:?}");
        assert_eq!(reply.body["code"], expected["code"], "{name}: {reply:?}");
        if reply.status != 200 {
            assert!(!reply.error().is_empty(), "{name}");
        }
        if !expected["response"].is_null() {
            assert_eq!(*reply.response(), expected["response"], "{name}");
        }
        if let Some(nclients) = expected["nclients"].as_u64() {
            let ids = case["request"]["arguments"]["client_ids"].as_array().unwrap();
            let answer = reply.response().as_object().unwrap();
            assert_eq!(answer.len() as u64, nclients, "{name}");
            assert!(ids.iter().all(|id| answer[&id.to_string()] == json!(["books"])), "{name}: {answer:?}");
        }
        if !expected["has"].is_null() {
            assert!(reply.score() >= 0.0, "{name}");
        }
    }
}

/// The case's request, signed as it says.
pub fn request(case: &Value) -> Value {
    let mut request = case["request"].clone();
    let today = wall_clock::now().with_timezone(&chrono::Local).format("%d.%m.%Y").to_string();
    if request["arguments"]["date"] == "@today" {
        request["arguments"]["date"] = today.into();
    }
    match case["token"].as_str() {
        Some("valid") => sign(request),
        Some(literal) => {
            request["token"] = literal.into();
            request
        }
        None => request,
    }
}

#[rstest]
#[case::memory("memory")]
#[case::embedded("embedded")]
#[tokio::test]
async fn every_official_case_holds(#[case] kind: &str) {
    use scoring_api::{
        app::Stores,
        store::{EmbeddedConnector, EmbeddedFile, Memory},
    };
    use std::sync::Arc;

    let folder = tempfile::tempdir().unwrap();
    let entries: Vec<_> = IDS.iter().map(|id| (format!("i:{id}"), br#"["books"]"#.to_vec())).collect();
    let app = if kind == "memory" {
        let memory = Memory::new(100);
        entries.into_iter().for_each(|(key, value)| memory.insert(key, value));
        TestApp::with_stores(Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) }).await
    } else {
        let path = folder.path().join("scoring.redb");
        EmbeddedFile::open(&path).unwrap().put_all(&entries, &|| {}).unwrap();
        let embedded = Arc::new(EmbeddedConnector::new(path, 100));
        TestApp::with_stores(Stores { cache: embedded.clone(), persistent: embedded }).await
    };
    all_cases_hold(&app).await;
}
