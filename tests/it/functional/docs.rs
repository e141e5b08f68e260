//! The OpenAPI document and the page, held against the running service.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use rstest::rstest;
use scoring_api::{app::Stores, store::Memory};
use serde_json::{Value, json};
use testkit::{Browser, Person, TestApp, Wire, alone, call, eventually, post};

/// A service that has the interests of the document's examples.
async fn spawn() -> TestApp {
    let memory = Memory::new(100);
    memory.insert("i:1".to_owned(), br#"["books","hi-tech"]"#.to_vec());
    memory.insert("i:2".to_owned(), br#"["cinema","travel"]"#.to_vec());
    TestApp::with_stores(Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) }).await
}

async fn document(app: &TestApp) -> Value {
    let reply = app.admin("/openapi.json").await;
    assert_eq!((reply.status, &reply.headers["content-type"]), (200, &"application/json".parse().unwrap()));
    reply.body
}

/// A schema of the document, with all its references.
fn validator(document: &Value, schema: Value) -> jsonschema::Validator {
    let mut whole = schema;
    whole["components"] = document["components"].clone();
    jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&whole).unwrap()
}

#[tokio::test]
async fn the_document_is_openapi_3_1_of_this_version() {
    let document = document(&TestApp::spawn().await).await;
    let spec = oas3::from_json(document.to_string()).unwrap();
    spec.validate_version().unwrap();
    assert_eq!(spec.info.version, env!("CARGO_PKG_VERSION"));
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[tokio::test]
async fn every_example_gets_the_answer_that_is_documented() {
    let app = spawn().await;
    let document = document(&app).await;
    let post = &document["paths"]["/method"]["post"];
    let responses = post["responses"].as_object().unwrap();
    let answer_of = |name: &str| {
        responses.iter().find_map(|(status, response)| {
            let value = &response["content"]["application/json"]["examples"][name]["value"];
            (!value.is_null()).then(|| (status.parse::<u16>().unwrap(), value))
        })
    };
    let requests = validator(&document, post["requestBody"]["content"]["application/json"]["schema"].clone());
    let examples = post["requestBody"]["content"]["application/json"]["examples"].as_object().unwrap();
    for (name, example) in examples {
        let (status, expected) = answer_of(name).unwrap_or_else(|| panic!("{name} has no documented answer"));
        let reply = app.post(example["value"].to_string()).await;
        assert_eq!((reply.status, &reply.body), (status, expected), "{name}");
        assert_eq!(requests.is_valid(&example["value"]), status != 422, "{name}");
    }
    for (status, response) in responses {
        let content = &response["content"]["application/json"];
        let answers = validator(&document, content["schema"].clone());
        for (name, example) in content["examples"].as_object().unwrap() {
            assert!(answers.is_valid(&example["value"]), "{name}");
            assert_eq!(example["value"]["code"].to_string(), *status, "{name}");
        }
    }
}

#[tokio::test]
async fn the_service_accepts_exactly_the_documented_requests() {
    let app = TestApp::spawn().await;
    let document = document(&app).await;
    let calls = validator(&document, json!({"$ref": "#/components/schemas/Call"}));
    let names = json!({"first_name": "a", "last_name": "b"});
    let changes = [
        ("phone", json!("")),
        ("phone", json!(79175002040_i64)),
        ("phone", json!(69175002040_i64)),
        ("phone", json!("7917500204")),
        ("email", json!(null)),
        ("email", json!("none")),
        ("first_name", json!(1)),
        ("last_name", json!("")),
        ("birthday", json!("1.1.2000")),
        ("birthday", json!("2000-01-01")),
        ("gender", json!(0)),
        ("gender", json!(3)),
        ("gender", json!("1")),
        ("other", json!([{}])),
    ];
    for (field, value) in changes {
        let mut arguments = names.clone();
        arguments[field] = value.clone();
        let request = call("online_score", arguments);
        let taken = app.post(request.to_string()).await.status == 200;
        assert_eq!(calls.is_valid(&request), taken, "{field}: {value}");
    }
    for [one, other] in [["phone", "email"], ["first_name", "last_name"], ["gender", "birthday"]] {
        for empty in [json!(null), json!("")] {
            let request = call("online_score", json!({one: &empty, other: &empty}));
            assert_ne!(app.post(request.to_string()).await.status, 200);
            assert!(!calls.is_valid(&request), "{one} and {other}: {empty}");
        }
    }
    for ids in [json!([]), json!([1, -1]), json!(["1"]), json!(null), json!(1)] {
        let request = call("clients_interests", json!({ "client_ids": ids }));
        assert_eq!(calls.is_valid(&request), app.post(request.to_string()).await.status == 200, "{ids}");
    }
    let required = &document["components"]["schemas"]["Envelope"]["required"];
    let required: Vec<_> = required.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let refused = app.post("{}").await;
    let missing: Vec<_> =
        refused.error().split("; ").map(|fault| fault.strip_suffix(": is required").unwrap()).collect();
    assert_eq!(missing, required);
}

#[rstest]
#[case::page("/docs", "text/html; charset=utf-8", "no-store")]
#[case::start("/docs/start.js", "text/javascript; charset=utf-8", "no-store")]
#[case::script("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8", "private, max-age=3600")]
#[case::style("/docs/swagger-ui.css", "text/css; charset=utf-8", "private, max-age=3600")]
#[case::document("/openapi.json", "application/json", "no-store")]
#[tokio::test]
async fn the_page_is_served_under_a_strict_policy(
    #[case] path: &str,
    #[case] kind: &str,
    #[case] caching: &str,
) {
    let reply = TestApp::spawn().await.admin(path).await;
    let header = |name: &str| reply.headers[name].to_str().unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!((header("content-type"), header("cache-control")), (kind, caching));
    assert_eq!((header("x-content-type-options"), header("referrer-policy")), ("nosniff", "no-referrer"));
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{policy}");
}

#[tokio::test]
async fn the_operators_listener_answers_calls_as_the_public_one_does() {
    let app = TestApp::with_settings(&["http.body_limit=2KiB"]).await;
    let request =
        |body: String| app.admin_request(Method::POST, "/method").header("x-request-id", "mine").body(body);
    let person = Person::full();
    let signed = call("online_score", person.arguments());
    let scored = app.send(request(signed.to_string())).await;
    assert_eq!((scored.score(), &scored.headers["x-request-id"]), (5.0, &"mine".parse().unwrap()));
    let mut unsigned = signed;
    unsigned["token"] = "x".into();
    assert_eq!(app.send(request(unsigned.to_string())).await.error(), "Forbidden");
    assert_eq!(app.send(request(" ".repeat(2049))).await.error(), "Payload Too Large");
    let wrong_verb = app.send(app.admin_request(Method::GET, "/method")).await;
    assert_eq!(
        (wrong_verb.error(), &wrong_verb.headers["allow"]),
        ("Method Not Allowed", &"POST".parse().unwrap())
    );
    assert_eq!(app.metric(r#"scoring_http_requests_total{code="200",method="online_score"}"#).await, 1.0);
}

#[tokio::test]
async fn the_operators_listener_rejects_calls_once_the_service_closes() {
    let app = TestApp::with_settings(&["shutdown.grace=0s", "shutdown.drain=20s"]).await;
    let body = call("online_score", Person::full().arguments()).to_string();
    let request = post(&body);
    let (first, rest) = request.split_at(request.len() - 1);
    let mut under_way = Wire::to(app.address()).await;
    under_way.send(first).await.unwrap();
    eventually(Duration::from_secs(10), "a call is under way", async || {
        app.metric("scoring_requests_in_flight").await == 1.0
    })
    .await;
    app.stop();
    eventually(Duration::from_secs(10), "the operators' calls are refused", async || {
        app.send(app.admin_request(Method::POST, "/method").body(body.clone())).await.status == 503
    })
    .await;
    under_way.send(rest).await.unwrap();
    assert_eq!(under_way.answer().await.score(), 5.0);
}

#[tokio::test]
async fn a_browser_finds_both_methods_on_the_page_and_calls_from_it() {
    alone();
    let app = spawn().await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/docs", app.admin_address())).await;
    let shows = |text: &str| format!("return document.body.innerText.includes({})", json!(text));
    browser.until("online_score is on the page", &shows("online_score")).await;
    browser.until("clients_interests is on the page", &shows("clients_interests")).await;
    browser
        .until("the call is on the page", "return !!document.querySelector('.opblock-summary-control')")
        .await;
    browser.run("document.querySelector('.opblock-summary-control').click()").await;
    browser.until("it can be executed", "return !!document.querySelector('button.execute')").await;
    browser.run("document.querySelector('button.execute').click()").await;
    let answer = "const answer = document.querySelector('.live-responses-table');
        return !!answer && /\"score\":\\s*5/.test(answer.innerText)";
    browser.until("the score is on the page", answer).await;
    assert_eq!(app.metric(r#"scoring_http_requests_total{code="200",method="online_score"}"#).await, 1.0);
    assert_eq!(browser.complaints().await, [""; 0]);
    if let Ok(file) = std::env::var("SCREENSHOT") {
        std::fs::write(file, browser.screenshot().await).unwrap();
    }
}
