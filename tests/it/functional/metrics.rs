//! The metrics that Prometheus scrapes: every promised name, in good form, and each one changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use testkit::{Person, RespServer, TestApp, alone, call, eventually};
use tokio::task::JoinSet;

use super::actors::{Fall, tell};

/// The metrics that dashboards and alerts rely on, and the labels of each.
const PROMISED: [(&str, &[&str]); 19] = [
    ("scoring_http_requests_total", &["code", "method"]),
    ("scoring_http_request_duration_seconds_bucket", &["le", "method"]),
    ("scoring_store_up", &["role"]),
    ("scoring_failed_requests_total", &["reason"]),
    ("scoring_store_operations_total", &["op", "outcome", "role"]),
    ("scoring_store_operation_duration_seconds_bucket", &["le", "op", "role"]),
    ("scoring_store_breaker_state", &["role"]),
    ("scoring_cache_lookups_total", &["result"]),
    ("scoring_actor_restarts_total", &["actor", "reason"]),
    ("scoring_actor_mailbox_depth", &["actor"]),
    ("scoring_actor_handled_total", &["actor"]),
    ("scoring_actor_mailbox_wait_seconds_total", &["actor"]),
    ("scoring_actor_handling_seconds_total", &["actor"]),
    ("scoring_requests_shed_total", &["reason"]),
    ("scoring_requests_in_flight", &[]),
    ("scoring_auth_tokens_total", &["token"]),
    ("scoring_scores_total", &["source"]),
    ("scoring_score_ratio_bucket", &["le"]),
    ("scoring_auth_refusals_total", &["reason"]),
];

/// Metrics that stay as they are under this load, and the labels of each.
const CONSTANT: [(&str, &[&str]); 8] = [
    ("scoring_build_info", &["revision", "version"]),
    ("scoring_store_writes_refused", &["role"]),
    ("scoring_http_connections", &["listener"]),
    ("scoring_http_connections_limit", &["listener"]),
    ("scoring_http_connections_waiting", &["listener"]),
    ("scoring_requests_in_flight_limit", &[]),
    ("scoring_body_memory_bytes", &[]),
    ("scoring_body_memory_limit_bytes", &[]),
];

/// The process' own.
const OF_THE_PROCESS: [&str; 4] = [
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

/// A service of which all happens at once: too many calls, a store that comes and goes, an actor that gets stuck.
async fn under_load() -> (RespServer, Arc<TestApp>, JoinSet<()>) {
    alone();
    let store = RespServer::start();
    for (key, value) in TestApp::seeds() {
        store.put(key, value);
    }
    let url = format!("store.url={}", store.url());
    let app = Arc::new(TestApp::with_settings(&[&url, "limits.max_in_flight=2"]).await);
    app.recovers().await;
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let app = app.clone();
        clients.spawn(async move {
            loop {
                app.online_score(&Person::any()).await;
                app.interests(&[1, 2]).await;
                app.call("no such method", json!({})).await;
                app.post(json!({"login": "b", "token": "", "method": "x", "arguments": {}}).to_string())
                    .await;
            }
        });
    }
    (store, app, clients)
}

/// The series of each metric: labels and values.
fn series(scrape: &str) -> BTreeMap<&str, Vec<(&str, f64)>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        all.entry(name).or_default().push((labels, value.parse().unwrap()));
    }
    all
}

#[tokio::test]
async fn every_promised_metric_is_there_with_its_labels_and_moves() {
    let (store, app, _clients) = under_load().await;
    let mut seen = BTreeMap::<_, BTreeSet<String>>::new();
    let moves =
        |seen: &BTreeMap<_, BTreeSet<String>>, name| seen.get(name).is_some_and(|seen| seen.len() > 1);
    let mut look = async || {
        let scrape = app.scrape().await;
        let series = series(&scrape);
        for (name, labels) in PROMISED.into_iter().chain(CONSTANT) {
            let found = series.get(name).unwrap_or_else(|| panic!("{name} is missing"));
            for (given, _) in found {
                let mut names: Vec<_> =
                    given.split(',').filter_map(|label| Some(label.split_once('=')?.0)).collect();
                names.sort_unstable();
                assert_eq!(names, labels, "{name}");
            }
            seen.entry(name).or_default().insert(format!("{found:?}"));
        }
        for name in OF_THE_PROCESS {
            assert!(series.contains_key(name), "{name} is missing");
        }
        PROMISED.iter().filter(|(name, _)| !moves(&seen, *name)).map(|(name, _)| *name).collect::<Vec<_>>()
    };
    look().await;
    tell(&app, "scoring", Fall::GetStuck);
    let mut still = Vec::new();
    eventually(Duration::from_secs(20), "a message waits and the actor is restarted", async || {
        still = look().await;
        still == ["scoring_store_up", "scoring_store_breaker_state"]
    })
    .await;
    store.door.shut();
    store.drop_connections();
    eventually(Duration::from_secs(20), "the store is down", async || {
        still = look().await;
        still.is_empty()
    })
    .await;
}

/// The service chooses the values of labels, so clients cannot create series.
#[tokio::test]
async fn clients_cannot_create_series() {
    let app = TestApp::spawn().await;
    app.call("online_score", Person::full().arguments()).await;
    let before = app.scrape().await.lines().count();
    for number in 0..20 {
        app.call(&format!("method {number}"), json!({})).await;
        app.post(format!("nonsense {number}")).await;
        let mut of_somebody = call("online_score", json!({}));
        of_somebody["account"] = number.to_string().into();
        app.post(of_somebody.to_string()).await;
        app.send(app.request(reqwest::Method::PATCH, &format!("/path/{number}"))).await;
    }
    let after = app.scrape().await;
    // The codes of these answers, and no more.
    assert!(after.lines().count() <= before + 50, "{after}");
    for made_up in ["nonsense", "method 1", "path"] {
        assert!(!after.contains(made_up), "{after}");
    }
}

#[tokio::test]
async fn promtool_finds_no_fault_with_a_scrape() {
    let (_store, app, _clients) = under_load().await;
    let busy =
        async || app.metric(r#"scoring_http_requests_total{code="200",method="online_score"}"#).await > 100.0;
    eventually(Duration::from_secs(20), "there is load", busy).await;
    let scrape = app.scrape().await;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = promtool
        .expect("promtool is missing; install it with: apt-get install --no-install-recommends prometheus");
    promtool.stdin.take().unwrap().write_all(scrape.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // It also succeeds when it only has advice.
    assert_eq!(String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout), "");
}
