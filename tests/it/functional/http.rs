//! The rules for every answer: shapes, statuses, headers, paths and verbs.

use proptest::{prelude::*, test_runner::TestRunner};
use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use testkit::{Person, TestApp, Wire, call, post};

#[rstest]
#[case::not_json("not json", 400, "Bad Request: the body is not JSON")]
#[case::empty("", 400, "Bad Request: the body is empty")]
#[case::repeated_key(r#"{"login": "a", "login": "b"}"#, 400, "Bad Request: the body repeats a key")]
#[case::deep_nesting(&"[".repeat(100_000), 400, "Bad Request: ")]
#[case::byte_order_mark("\u{feff}{}", 400, "Bad Request: ")]
#[case::lone_surrogate(r#"{"login": "\ud800"}"#, 400, "Bad Request: ")]
#[case::no_object("[]", 422, "request: must be an object")]
#[case::empty_object("{}", 422, "login: is required; token: is required")]
#[tokio::test]
async fn a_bad_body_is_refused_with_a_reason(#[case] body: &str, #[case] status: u16, #[case] reason: &str) {
    let app = TestApp::spawn().await;
    let reply = app.post(body.to_owned()).await;
    assert_eq!(reply.status, status);
    assert!(reply.error().starts_with(reason), "{reply:?}");
}

#[rstest]
#[case::unknown_path(Method::GET, "/nowhere", 404, None)]
#[case::root(Method::POST, "/", 404, None)]
#[case::get(Method::GET, "/method", 405, Some("POST"))]
#[case::put_with_a_slash(Method::PUT, "/method/", 405, Some("POST"))]
#[case::delete(Method::DELETE, "/method", 405, Some("POST"))]
#[case::options(Method::OPTIONS, "/method", 405, Some("POST"))]
#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_verb_405(
    #[case] verb: Method,
    #[case] path: &str,
    #[case] status: u16,
    #[case] allow: Option<&str>,
) {
    let app = TestApp::spawn().await;
    let reply = app.send(app.request(verb, path)).await;
    assert_eq!(reply.status, status);
    assert_eq!(reply.error(), if status == 404 { "Not Found" } else { "Method Not Allowed" });
    assert_eq!(reply.headers.get("allow").map(|allow| allow.to_str().unwrap()), allow);
}

#[tokio::test]
async fn unknown_paths_and_wrong_verbs_are_counted() {
    let app = TestApp::spawn().await;
    app.send(app.request(Method::GET, "/nowhere")).await;
    app.send(app.request(Method::GET, "/method")).await;
    for code in [404, 405] {
        let series = format!(r#"scoring_http_requests_total{{code="{code}",method="other"}}"#);
        assert_eq!(app.metric(&series).await, 1.0, "{series}");
    }
}

#[rstest]
#[case::plain("/method")]
#[case::slash("/method/")]
#[case::query("/method?a=b")]
#[case::slash_and_query("/method/?")]
#[tokio::test]
async fn a_call_may_be_posted_there(#[case] path: &str) {
    let app = TestApp::spawn().await;
    let person = Person::full();
    let body = call("online_score", person.arguments()).to_string();
    let request = app.request(Method::POST, path).header("content-type", "text/html").body(body);
    assert_eq!(app.send(request).await.score(), 5.0);
}

/// actix takes everything after such a head for its body, which then has no end.
#[rstest]
#[case::web_socket("websocket")]
#[case::http_2("h2c")]
#[tokio::test]
async fn a_request_for_another_protocol_is_answered_in_this_one(#[case] protocol: &str) {
    let app = TestApp::spawn().await;
    let body = call("online_score", Person::full().arguments()).to_string();
    let wanted = format!("host: x\r\nconnection: upgrade\r\nupgrade: {protocol}");
    let mut wire = Wire::to(app.address()).await;
    wire.send(post(&body).replacen("host: x", &wanted, 1)).await.unwrap();
    let reply = wire.answer().await;
    assert_eq!(reply.score(), 5.0);
    assert!(reply.took < std::time::Duration::from_secs(5), "{reply:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_with_any_framing() {
    let app = TestApp::with_settings(&["http.body_limit=2KiB"]).await;
    let fitting = format!("{:2048}", r#"{"a": 1}"#);
    assert_eq!(app.post(fitting).await.status, 422);

    let large = vec![b' '; 2049];
    let announced = app.post(large.clone()).await;
    assert_eq!((announced.status, announced.error()), (413, "Payload Too Large"));

    let chunks = futures_util::stream::iter(
        large.chunks(100).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
    );
    let chunked = app.post(reqwest::Body::wrap_stream(chunks)).await;
    assert_eq!((chunked.status, chunked.error()), (413, "Payload Too Large"));
}

#[tokio::test]
async fn a_body_that_never_ends_is_408() {
    let app = TestApp::with_settings(&["http.body_timeout=50ms"]).await;
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let reply = app.post(reqwest::Body::wrap_stream(never)).await;
    assert_eq!((reply.status, reply.error()), (408, "Request Timeout"));
}

#[rstest]
#[case::taken_over("abc-123", true)]
#[case::longest(&"x".repeat(128), true)]
#[case::too_long(&"x".repeat(129), false)]
#[case::with_a_blank("a b", false)]
#[tokio::test]
async fn the_request_id_comes_back(#[case] given: &str, #[case] taken: bool) {
    let app = TestApp::spawn().await;
    for (verb, path) in [(Method::POST, "/method"), (Method::GET, "/method"), (Method::GET, "/nowhere")] {
        let reply = app.send(app.request(verb, path).header("x-request-id", given)).await;
        let id = reply.headers["x-request-id"].to_str().unwrap();
        assert_eq!(id == given, taken, "{id}");
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

#[rstest]
#[case::health("/healthz")]
#[case::readiness("/readyz")]
#[case::metrics("/metrics")]
#[case::nothing("/nowhere")]
#[tokio::test]
async fn operators_get_a_request_id_as_well(#[case] path: &str) {
    let app = TestApp::spawn().await;
    assert!(!app.admin(path).await.headers["x-request-id"].is_empty());
}

#[tokio::test]
async fn answers_are_not_to_be_stored_or_guessed_at() {
    let app = TestApp::spawn().await;
    for reply in [app.online_score(&Person::full()).await, app.post("").await] {
        assert_eq!(reply.headers["content-type"], "application/json");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn a_score_is_the_same_from_the_cache_and_for_admin_always_42() {
    let app = TestApp::spawn().await;
    let person = Person::any();
    let first = app.online_score(&person).await.score();
    assert_eq!(first, person.score());
    let hits = r#"scoring_cache_lookups_total{result="hit"}"#;
    testkit::eventually(std::time::Duration::from_secs(5), "the score is cached", async || {
        assert_eq!(app.online_score(&person).await.score(), first);
        app.metric(hits).await >= 1.0
    })
    .await;

    let admin = json!({"login": "admin", "method": "online_score", "arguments": person.arguments()});
    assert_eq!(*app.post(testkit::sign(admin).to_string()).await.response(), json!({"score": 42}));
    let bad = json!({"login": "admin", "method": "online_score", "arguments": {}});
    assert_eq!(app.post(testkit::sign(bad).to_string()).await.status, 422);
}

/// Any bytes at all are answered, with one of the contract's answers.
#[test]
fn any_body_gets_one_of_the_contracts_answers() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let app = runtime.block_on(TestApp::spawn());
    let json_like = r#"[\{\}\[\]":,0-9a-z\\ untrelofas-]{0,60}"#;
    let bodies = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        json_like.prop_map(String::into_bytes),
        any_call().prop_map(|call| call.to_string().into_bytes()),
    ];
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })
        .run(&bodies, |body| {
            let reply = runtime.block_on(app.post(body));
            prop_assert!([200, 400, 403, 422].contains(&reply.status), "{:?}", reply);
            prop_assert_eq!(&reply.body["code"], &json!(reply.status));
            let key = if reply.status == 200 { "response" } else { "error" };
            prop_assert!(reply.body.get(key).is_some());
            prop_assert_eq!(reply.body.as_object().unwrap().len(), 2);
            Ok(())
        })
        .unwrap();
    runtime.block_on(async { drop(app) });
}

/// A signed call whose parts are anything.
fn any_call() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        Just(json!("79175002040")),
        Just(json!("01.01.2000")),
        Just(json!("a@b")),
        Just(json!([1, 2, 2])),
    ];
    const NAMES: &[&str] =
        &["phone", "email", "first_name", "last_name", "birthday", "gender", "client_ids", "date", "other"];
    let arguments = proptest::collection::btree_map(proptest::sample::select(NAMES), leaf, 0..9);
    let method = proptest::sample::select(&["online_score", "clients_interests", "other", ""][..]);
    (method, arguments).prop_map(|(method, arguments)| call(method, json!(arguments)))
}
