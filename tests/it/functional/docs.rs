//! The OpenAPI document and the page, held against the running service.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use rstest::rstest;
use scoring_api::{app::Stores, domain::token_of, store::Memory};
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
#[case::sign("/docs/sign.js", "text/javascript; charset=utf-8", "no-store")]
#[case::page_style("/docs/page.css", "text/css; charset=utf-8", "no-store")]
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

/// Whether the score of the first example is on the page.
const SCORED: &str = "const answer = document.querySelector('.live-responses-table');
    return !!answer && /\"score\":\\s*5/.test(answer.innerText)";

/// Whether the page explains a 403.
const EXPLAINED: &str = "return document.getElementById('refusal').innerText !== ''";

/// Presses the button of the call, which is unfolded from the start.
async fn execute(browser: &Browser) {
    browser.until("it can be executed", "return !!document.querySelector('button.execute')").await;
    browser.run("document.querySelector('button.execute').click()").await;
}

/// Types into the fields of the page.
async fn fill(browser: &Browser, fields: &[(&str, &str)]) {
    for (name, text) in fields {
        let field = format!("const field = document.getElementById({})", json!(name));
        let typed = format!("field.value = {}; field.dispatchEvent(new Event('input'))", json!(text));
        browser.run(&format!("{field}; {typed}")).await;
    }
}

/// The text of an element; empty while it is hidden.
async fn text_of(browser: &Browser, id: &str) -> String {
    let text = browser.run(&format!("return document.getElementById({}).innerText", json!(id))).await;
    text.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_signs_calls_with_its_fields_and_explains_a_403() {
    alone();
    const SALT: &str = "a secret salt, \u{e9}";
    let app = TestApp::with_settings(&[&format!("auth.salt={SALT}")]).await;
    let browser = Browser::start().await;
    browser.resize(1366, 800).await;
    browser.open(&format!("http://{}/docs", app.admin_address())).await;
    execute(&browser).await;
    browser.until("the 403 is explained", EXPLAINED).await;
    let words = text_of(&browser, "refusal").await;
    assert!(words.starts_with("403:") && words.contains("signed with the public salt Otus"), "{words}");

    fill(&browser, &[("account", "acme"), ("login", "shop"), ("salt", SALT)]).await;
    execute(&browser).await;
    browser.until("the score is on the page", SCORED).await;
    assert_eq!(text_of(&browser, "refusal").await, "");
    assert!(text_of(&browser, "signature").await.starts_with("Calls are signed for acme / shop"));
    let in_sight =
        "return ['.body-param textarea', 'button.execute', '.live-responses-table'].every(name => {
        const { top, bottom } = document.querySelector(name).getBoundingClientRect();
        return top >= 0 && bottom <= window.innerHeight;
    })";
    assert_eq!(browser.run(in_sight).await, json!(true), "call and answer are on one screen");
    let sent = browser.run("return document.querySelector('.responses-inner').innerText").await;
    let (sent, token) = (sent.as_str().unwrap(), token_of("acme", "shop", SALT));
    assert!(sent.contains(&token) && !sent.contains(SALT), "{sent}");

    fill(&browser, &[("login", "web"), ("token", &token)]).await;
    assert_eq!(browser.run("return document.getElementById('salt').value").await, json!(""));
    execute(&browser).await;
    browser.until("a token of another login is refused", EXPLAINED).await;
    assert!(text_of(&browser, "refusal").await.contains("does not match this account and login"));
    let answered =
        |code: u16| format!(r#"scoring_http_requests_total{{code="{code}",method="online_score"}}"#);
    assert_eq!((app.metric(&answered(200)).await, app.metric(&answered(403)).await), (1.0, 2.0));
    let complaints = browser.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("status of 403")), "{complaints:?}");
    if let Ok(file) = std::env::var("SCREENSHOT") {
        std::fs::write(file, browser.screenshot().await).unwrap();
    }
}

#[tokio::test]
async fn the_page_takes_a_token_where_the_browser_cannot_sign() {
    alone();
    let app = TestApp::with_settings(&["auth.salt=other"]).await;
    let browser = Browser::start().await;
    // As on http:// with another host's name.
    browser.run_first("Object.defineProperty(crypto, 'subtle', { value: undefined })").await;
    browser.open(&format!("http://{}/docs", app.admin_address())).await;
    let words = text_of(&browser, "signature").await;
    assert!(words.starts_with("This browser signs only on https:// or on this machine"), "{words}");
    assert_eq!(browser.run("return document.getElementById('salt').disabled").await, json!(true));
    let token = token_of("acme", "shop", "other");
    fill(&browser, &[("account", "acme"), ("login", "shop"), ("token", &token)]).await;
    execute(&browser).await;
    browser.until("the score is on the page", SCORED).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_is_dark_on_a_dark_system_and_fits_a_narrow_window() {
    alone();
    let app = TestApp::spawn().await;
    let browser = Browser::start().await;
    browser.prefer_dark().await;
    browser.resize(500, 900).await;
    browser.open(&format!("http://{}/docs", app.admin_address())).await;
    execute(&browser).await;
    browser.until("the score is on the page", SCORED).await;
    let colours = "const brightness = (name, property) => Math.max(
            ...getComputedStyle(document.querySelector(name))[property].match(/\\d+/g).slice(0, 3));
        return [brightness('body', 'backgroundColor'), brightness('.opblock-summary-path', 'color')]";
    let colours = browser.run(colours).await;
    let [paper, ink] = [0, 1].map(|at| colours[at].as_u64().unwrap());
    assert!(paper < 64 && ink > 192, "light on dark: {colours}");
    let fits = "const page = document.documentElement; return page.scrollWidth <= page.clientWidth";
    assert_eq!(browser.run(fits).await, json!(true));
    let viewport = "return document.querySelector('meta[name=viewport]').content";
    assert_eq!(browser.run(viewport).await, json!("width=device-width, initial-scale=1"));
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
    execute(&browser).await;
    browser.until("the score is on the page", SCORED).await;
    assert_eq!(app.metric(r#"scoring_http_requests_total{code="200",method="online_score"}"#).await, 1.0);
    assert_eq!(browser.complaints().await, [""; 0]);
    if let Ok(file) = std::env::var("SCREENSHOT") {
        std::fs::write(file, browser.screenshot().await).unwrap();
    }
}
