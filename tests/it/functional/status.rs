//! `/status.json`, the page without a script, and the runbook: they say what happens, and name no caller.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use reqwest::Method;
use rstest::rstest;
use scoring_api::http::status::{Level, StatusReport, StoreState, Verdict, WritesState};
use serde_json::{Value, json};
use testkit::{Fault, Load, Person, RespServer, TestApp, alone, call, eventually, http_client};

use super::actors::{Fall, tell};

const WITHIN: Duration = Duration::from_secs(20);

/// The report now. Every field is known to the model, and every field of the model is there.
pub(super) async fn report(app: &TestApp) -> StatusReport {
    let reply = app.admin("/status.json").await;
    assert_eq!(reply.status, 200);
    let report: StatusReport = serde_json::from_value(reply.body.clone()).unwrap();
    assert_eq!(serde_json::to_value(&report).unwrap(), reply.body);
    report
}

/// A service on a store with the seeds of a [`Load`].
pub(super) async fn on(store: &RespServer, settings: &[&str]) -> Arc<TestApp> {
    for (key, value) in TestApp::seeds() {
        store.put(key, value);
    }
    let url = format!("store.url={}", store.url());
    Arc::new(TestApp::with_settings(&[&[&*url], settings].concat()).await)
}

#[tokio::test]
async fn a_service_that_is_well_says_so_with_its_calls() {
    let app = TestApp::spawn().await;
    for _ in 0..3 {
        app.online_score(&Person::full()).await;
    }
    app.post("nonsense").await;
    eventually(WITHIN, "the calls are in the report", async || {
        report(&app).await.calls.methods.iter().any(|method| method.p99_ms.is_some())
    })
    .await;
    let report = report(&app).await;
    assert_eq!((report.verdict.level, report.verdict.link), (Level::Ok, None), "{}", report.verdict.sentence);
    assert_eq!(report.service.phase, "serving");
    let [cache, persistent] = &report.stores[..] else { panic!("{:?}", report.stores) };
    assert_eq!((&*cache.role, &*persistent.role), ("cache", "persistent"));
    assert_eq!([cache.status, persistent.status], [StoreState::Up; 2]);
    let score = &report.calls.methods[0];
    assert_eq!((&*score.method, score.promise_ms), ("online_score", Some(100)));
    assert!(score.codes.contains_key("200"), "{score:?}");
    let reasons: Vec<_> = report.calls.reasons.iter().map(|reason| (&*reason.reason, reason.total)).collect();
    assert_eq!(reasons, [("bad_request", 1)]);
    let actors: Vec<_> = report.actors[0].actors.iter().map(|actor| &*actor.actor).collect();
    assert_eq!(actors, ["dispatcher", "scoring", "interests", "cache_store", "persistent_store"]);
    assert!(report.resources.connections > 0 && report.resources.in_flight_limit > 0);
    assert!(report.changes.iter().any(|change| change.text.ends_with(" started")));
}

#[tokio::test]
async fn a_service_that_refuses_most_calls_is_not_green() {
    let app = TestApp::spawn().await;
    app.online_score(&Person::full()).await;
    for _ in 0..3 {
        app.post("nonsense").await;
    }
    eventually(WITHIN, "the refusals are told", async || {
        let Verdict { level, sentence, .. } = report(&app).await.verdict;
        level == Level::Warn && sentence.ends_with("were refused: malformed head, encoding or JSON.")
    })
    .await;
}

#[tokio::test]
async fn every_field_of_the_report_is_documented() {
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            // The keys are status codes.
            Value::Object(fields)
                if fields.keys().any(|key| key.starts_with(|first: char| first.is_ascii_digit())) => {}
            Value::Object(fields) => {
                for (name, value) in fields {
                    found.insert(name.clone());
                    names(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let app = TestApp::spawn().await;
    app.post("nonsense").await;
    tell(&app, "scoring", Fall::PanicInHandler);
    eventually(WITHIN, "a restart and a reason are in the report", async || {
        let report = report(&app).await;
        let mut actors = report.actors.iter().flat_map(|worker| &worker.actors);
        !report.calls.reasons.is_empty() && actors.any(|actor| actor.last_restart.is_some())
    })
    .await;
    let mut found = BTreeSet::new();
    names(&app.admin("/status.json").await.body, &mut found);
    assert!(found.len() > 60, "{found:?}");
    let manual = include_str!("../../../docs/operations.md");
    let (_, section) = manual.split_once("## Watch it").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    for name in found {
        assert!(section.contains(&format!("`{name}`")), "docs/operations.md does not name {name}");
    }
}

#[rstest]
#[case::page("/", "text/html; charset=utf-8")]
#[case::report("/status.json", "application/json")]
#[case::script("/status/page.js", "text/javascript; charset=utf-8")]
#[case::style("/status/page.css", "text/css; charset=utf-8")]
#[case::runbook("/runbook", "text/html; charset=utf-8")]
#[tokio::test]
async fn each_file_has_the_policy_of_the_documentation(#[case] path: &str, #[case] kind: &str) {
    let app = TestApp::spawn().await;
    let (file, docs) = (app.admin(path).await, app.admin("/docs").await);
    assert_eq!((file.status, file.headers["content-type"].to_str().unwrap()), (200, kind));
    for header in ["content-security-policy", "cache-control", "x-content-type-options", "referrer-policy"] {
        assert_eq!(file.headers[header], docs.headers[header], "{header}");
    }
    let wrong_verb = app.send(app.admin_request(Method::POST, path)).await;
    assert_eq!((wrong_verb.status, &wrong_verb.headers["allow"]), (405, &"GET, HEAD".parse().unwrap()));
    assert_eq!(app.send(app.request(Method::GET, path)).await.status, 404, "not for the public");
}

/// Everything that identifies a caller, or is secret, or belongs to a person.
#[tokio::test]
async fn no_caller_no_secret_and_no_person_is_in_the_report() {
    let marks =
        ["Account-7f3", "Login-7f3", "Salt-7f3", "79175550123", "mark@7f3.example", "Name-7f3", "Token-7f3"];
    let app = TestApp::with_settings(&["auth.salt=Salt-7f3", "auth.admin_salt=Salt-7f3-admin"]).await;
    let token = scoring_api::domain::token_of("Account-7f3", "Login-7f3", "Salt-7f3");
    let person = json!({"phone": "79175550123", "email": "mark@7f3.example", "first_name": "Name-7f3", "last_name": "x"});
    let mut request = call("online_score", person);
    request["account"] = "Account-7f3".into();
    request["login"] = "Login-7f3".into();
    for given in [&*token, "Token-7f3"] {
        request["token"] = given.into();
        let expected = if given == token { 200 } else { 403 };
        assert_eq!(app.post(request.to_string()).await.status, expected);
    }
    request["arguments"]["phone"] = "Name-7f3".into();
    request["token"] = token.clone().into();
    assert_eq!(app.post(request.to_string()).await.status, 422);
    eventually(WITHIN, "the calls are in the report", async || report(&app).await.calls.reasons.len() == 2)
        .await;
    let client = http_client();
    for path in ["/", "/status.json"] {
        let url = format!("http://{}{path}", app.admin_address());
        let text = client.get(url).send().await.unwrap().text().await.unwrap();
        assert!(text.contains("forbidden"), "{text}");
        for mark in marks.into_iter().chain([&*token]) {
            assert!(!text.contains(mark), "{mark}: {text}");
        }
    }
}

#[tokio::test]
async fn an_outage_is_told_with_address_cause_and_end() {
    alone();
    let store = RespServer::start();
    let app = on(&store, &[]).await;
    app.recovers().await;
    let load = Load::start(&app, 2);
    store.door.shut();
    store.drop_connections();
    eventually(WITHIN, "the outage is told", async || report(&app).await.verdict.level == Level::Bad).await;
    let address = store.addr().to_string();
    let told = |report: &StatusReport, words: &str| {
        report.changes.iter().any(|change| change.text.starts_with(&format!("persistent: {address} {words}")))
    };
    eventually(WITHIN, "the change is told", async || told(&report(&app).await, "is down: ")).await;
    let during = report(&app).await;
    assert_eq!(during.verdict.link.as_deref(), Some("/runbook#scoringpersistentstoredown"));
    let (sentence, persistent) = (&during.verdict.sentence, &during.stores[1]);
    assert!(sentence.contains(&address) && sentence.contains("each is computed"), "{sentence}");
    assert_eq!((persistent.status, &persistent.address), (StoreState::Down, &address));
    let error = persistent.last_error.as_ref().unwrap();
    assert!(error.cause.contains("refused") && !error.cause.starts_with(&address), "{error:?}");
    let reasons: Vec<_> = during.calls.reasons.iter().map(|reason| &*reason.reason).collect();
    assert_eq!(reasons, ["store_down"]);

    store.heal();
    eventually(WITHIN, "the end is told", async || told(&report(&app).await, "is up again after ")).await;
    eventually(WITHIN * 2, "callers notice nothing", async || report(&app).await.verdict.level == Level::Ok)
        .await;
    load.end().await;
}

#[tokio::test]
async fn refused_writes_are_told_while_reads_go_on() {
    let store = RespServer::start();
    let app = on(&store, &[]).await;
    app.recovers().await;
    store.set(Fault::oom());
    eventually(WITHIN, "refused writes are told", async || {
        app.online_score(&Person::stranger()).await.score();
        let report = report(&app).await;
        report.stores[0].writes.status == WritesState::Refused
            && report.changes.iter().any(|change| change.text.contains(" refuses writes: "))
    })
    .await;
    let report = report(&app).await;
    assert_eq!((report.verdict.level, report.stores[0].status), (Level::Warn, StoreState::Up));
    assert!(report.verdict.sentence.contains("new ones are not kept"), "{}", report.verdict.sentence);
}

#[tokio::test]
async fn a_panic_is_told_with_its_actor_and_its_literal_message() {
    let app = TestApp::spawn().await;
    eventually(WITHIN, "there is a first reading", async || !report(&app).await.calls.methods.is_empty())
        .await;
    tell(&app, "scoring", Fall::PanicInHandler);
    let told = |report: &StatusReport| {
        report
            .changes
            .iter()
            .find(|change| change.text.starts_with("worker 0: scoring was restarted"))
            .cloned()
    };
    eventually(WITHIN, "the restart is told", async || told(&report(&app).await).is_some()).await;
    let report = report(&app).await;
    assert!(told(&report).unwrap().text.contains("panic"), "{:?}", report.changes);
    let scoring = report.actors[0].actors.iter().find(|actor| actor.actor == "scoring").unwrap();
    let restart = scoring.last_restart.as_ref().unwrap();
    assert_eq!((scoring.restarts, &*restart.reason), (1, "panic"));
    assert_eq!(restart.message.as_deref(), Some("told to panic"));
}

/// Each watcher has a connection of its own, as a browser has, and probes are answered beside them.
#[tokio::test]
async fn fifty_watchers_share_one_body_and_hold_up_no_probe() {
    let app = Arc::new(TestApp::spawn().await);
    let begun = tokio::time::Instant::now();
    let mut watchers = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let app = app.clone();
        watchers.spawn(async move {
            let (client, mut moments) = (http_client(), BTreeSet::new());
            for _ in 0..20 {
                let url = format!("http://{}/status.json", app.admin_address());
                let report: StatusReport =
                    serde_json::from_slice(&client.get(url).send().await.unwrap().bytes().await.unwrap())
                        .unwrap();
                moments.insert(report.service.now);
            }
            // A client keeps connections that the service does not close.
            (client, moments)
        });
    }
    let watched = watchers.join_all().await;
    let moments: BTreeSet<_> = watched.iter().flat_map(|(_, moments)| moments.iter().copied()).collect();
    let most = begun.elapsed().as_millis() / 500 + 2;
    assert!(
        moments.len() as u128 <= most,
        "{} bodies for 1000 answers in {:?}",
        moments.len(),
        begun.elapsed()
    );
    let open = app.metric(r#"scoring_http_connections{listener="operators"}"#).await;
    assert!(open < 10.0, "{open} connections of watchers stay open, and probes may need their places");
    assert_eq!(app.admin("/healthz").await.status, 200);
}

#[tokio::test]
async fn the_page_without_a_script_is_the_report_in_tables() {
    let app = TestApp::spawn().await;
    app.online_score(&Person::full()).await;
    eventually(WITHIN, "the call is in the report", async || {
        !report(&app).await.calls.history.calls.is_empty()
    })
    .await;
    let url = format!("http://{}/", app.admin_address());
    let page = http_client().get(url).send().await.unwrap().text().await.unwrap();
    for part in [
        "<strong>OK</strong>",
        "<td data-label=\"Method\">online_score</td>",
        "<td data-label=\"Where\">memory</td>",
        "Worker 0",
        "<td data-label=\"Actor\">dispatcher</td>",
        "<polyline points=\"",
        " started</td>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[tokio::test]
async fn a_service_that_stops_says_so() {
    let app = TestApp::with_settings(&["shutdown.grace=10s"]).await;
    app.stop();
    eventually(WITHIN, "it says that it stops", async || report(&app).await.service.phase == "draining")
        .await;
    eventually(WITHIN, "the sentence says so", async || {
        report(&app).await.verdict.sentence.starts_with("The service is stopping.")
    })
    .await;
}
