//! The client against scripted peers: every answer of the contract, and answers outside it.

use std::{collections::BTreeMap, time::Instant};

use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{any, body_json, method, path},
};

use super::*;
use crate::look_up::LookUp;

/// By hashlib, of `horns&hoofs` + `h&f` + `Otus`.
const TOKEN: &str = "55cc9ce545bcd144300fe9efc28e65d415b923ebb6be1e19d2750a2c03e80dd209a27954dca045e5bb12418e7d89b6d718a9e35af34e14e1d5bcd5a08f21fc95";

fn client_of(url: &str, policy: Policy) -> Client {
    Client::new(url.parse().unwrap(), public(), policy).unwrap()
}

/// The contract's own salt.
fn public() -> Credentials {
    Credentials::salt("Otus")
}

fn quick() -> Policy {
    Policy {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(1),
        ..Policy::default()
    }
}

fn identity() -> Identity {
    Identity::new("horns&hoofs", "h&f")
}

fn person() -> Person {
    Person {
        phone: Some("79175002040".to_owned()),
        email: Some("secret@person".to_owned()),
        ..Person::default()
    }
}

/// A service that always sends this answer.
async fn answering(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(response).mount(&server).await;
    server
}

fn envelope(status: u16, error: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "code": status, "error": error }))
}

async fn score(server: &MockServer) -> Result<Score, ClientError> {
    client_of(&server.uri(), quick()).online_score(&identity(), &person()).await
}

#[tokio::test]
async fn a_score_is_asked_for_as_the_contract_has_it() {
    let server = MockServer::start().await;
    let request = json!({
        "account": "horns&hoofs", "login": "h&f", "method": "online_score", "token": TOKEN,
        "arguments": {"phone": "79175002040", "email": "secret@person"},
    });
    Mock::given(method("POST"))
        .and(path("/base/method"))
        .and(body_json(request))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({"code": 200, "response": {"score": 3.0}})),
        )
        .mount(&server)
        .await;
    for base in ["/base", "/base/"] {
        let client = client_of(&format!("{}{base}", server.uri()), quick());
        assert_eq!(client.online_score(&identity(), &person()).await.unwrap().value(), 3.0);
    }
}

#[tokio::test]
async fn a_token_is_sent_unchanged_and_for_its_own_caller_only() {
    let body = json!({"code": 200, "response": {"score": 3.0}});
    let server = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let credentials = Credentials::token("acme", "shop", "the token");
    let client = Client::new(server.uri().parse().unwrap(), credentials, quick()).unwrap();
    let acme = Identity::new("acme", "shop");
    assert_eq!(client.online_score(&acme, &person()).await.unwrap().value(), 3.0);
    let error = client.online_score(&identity(), &person()).await.unwrap_err();
    assert_eq!((error.code(), error.may_pass_after(), client.repeats()), (None, None, 0));
    assert!(matches!(error, ClientError::OtherCaller), "{error:?}");
    let sent = server.received_requests().await.unwrap();
    assert_eq!(sent.len(), 1);
    let sent: Value = sent[0].body_json().unwrap();
    assert_eq!([&sent["account"], &sent["login"], &sent["token"]], ["acme", "shop", "the token"]);
    assert!(!format!("{client:?}").contains("the token"));
}

#[tokio::test]
async fn an_answer_with_reasons_is_typed() {
    let response = json!({"score": 190.0, "reasons": ["R-AGE-2"], "card": "2026-11-a"});
    let body = json!({"code": 200, "response": response});
    let server = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let client = client_of(&server.uri(), quick());
    let answer = client.send(&Call::explained_score(identity(), &person())).await.unwrap();
    let expected = Explained {
        score: Score::new(190.0).unwrap(),
        reasons: vec!["R-AGE-2".to_owned()],
        card: "2026-11-a".to_owned(),
    };
    assert_eq!(answer, CallAnswer::Explained(expected));
    let written = serde_json::to_string(&answer).unwrap();
    assert_eq!(written, r#"{"score":190.0,"reasons":["R-AGE-2"],"card":"2026-11-a"}"#);
    assert_eq!(client.online_score(&identity(), &person()).await.unwrap().value(), 190.0);
    let sent: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(sent["arguments"]["explain"], json!(true));
}

#[rstest]
#[case::no_card(json!({"score": 1.0, "reasons": []}))]
#[case::no_reasons(json!({"score": 1.0, "card": "a"}))]
#[case::reasons_are_no_list(json!({"score": 1.0, "reasons": "R", "card": "a"}))]
#[case::a_reason_is_no_string(json!({"score": 1.0, "reasons": [1], "card": "a"}))]
#[case::card_is_no_string(json!({"score": 1.0, "reasons": [], "card": 1}))]
#[tokio::test]
async fn half_an_explanation_is_an_unexpected_answer(#[case] response: Value) {
    let body = json!({"code": 200, "response": response});
    let server = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let error = score(&server).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected(Unexpected::Shape)), "{error:?}");
}

#[tokio::test]
async fn interests_come_by_number() {
    let body = json!({"code": 200, "response": {"2": ["books", "hi-tech"], "-1": []}});
    let server = answering(ResponseTemplate::new(200).set_body_json(body)).await;
    let interests = client_of(&server.uri(), quick()).clients_interests(&identity(), &[2, -1]).await.unwrap();
    let expected = BTreeMap::from([(-1, vec![]), (2, vec!["books".to_owned(), "hi-tech".to_owned()])]);
    assert_eq!(interests, expected);
    let sent: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(sent["arguments"], json!({"client_ids": [2, -1]}));
}

#[rstest]
#[case::bad_request(400, "Bad Request: the body is empty", 1)]
#[case::forbidden(403, "the token does not match", 1)]
#[case::not_found(404, "there is no scoring service at this URL", 1)]
#[case::wrong_verb(405, "there is something else than a scoring service at this URL", 1)]
#[case::too_slow(408, "the request arrived too slowly", 4)]
#[case::too_large(413, "the request is too large", 1)]
#[case::invalid(422, "Bad Request: the body is empty", 1)]
#[case::rate_limited(429, "too many calls; try again after 0s", 4)]
#[case::head_too_large(431, "the request's head is too large", 1)]
#[case::internal(500, "internal error of the service", 1)]
#[case::unavailable(503, "the service is unavailable; try again after 0s", 4)]
#[tokio::test]
async fn every_refusal_of_the_contract_is_an_error_of_its_own(
    #[case] status: u16,
    #[case] text: &str,
    #[case] tries: usize,
) {
    let server =
        answering(envelope(status, "Bad Request: the body is empty").insert_header("Retry-After", "0")).await;
    let error = score(&server).await.unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (Some(status), text));
    assert_eq!(server.received_requests().await.unwrap().len(), tries);
}

#[tokio::test]
async fn an_invalid_request_names_every_field() {
    let list = "phone: must be 11 digits and start with 7; email: must contain \"@\"";
    let server = answering(envelope(422, list)).await;
    let error = score(&server).await.unwrap_err();
    assert_eq!(error.to_string(), list);
    let ClientError::Invalid(faults) = error else { panic!("{error:?}") };
    let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["phone", "email"]);
}

#[rstest]
#[case::rate_limited(429)]
#[case::unavailable(503)]
#[tokio::test]
async fn how_long_to_wait_is_told_when_it_is_too_long(#[case] status: u16) {
    let server = answering(envelope(status, "x").insert_header("Retry-After", "60")).await;
    let policy = Policy { deadline: Duration::from_secs(50), ..quick() };
    let begun = Instant::now();
    let client = client_of(&server.uri(), policy);
    let error = client.online_score(&identity(), &person()).await.unwrap_err();
    assert_eq!(error.may_pass_after(), Some(Duration::from_secs(60)));
    assert!(begun.elapsed() < policy.deadline);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_proxys_own_refusal_counts_by_its_status() {
    let html = ResponseTemplate::new(503).set_body_raw("<h1>no upstream</h1>", "text/html");
    assert!(matches!(
        score(&answering(html).await).await,
        Err(ClientError::Unavailable { retry_after: None })
    ));
}

#[tokio::test]
async fn a_call_keeps_its_id_and_trace_over_its_tries() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(
            envelope(503, "Service Unavailable")
                .insert_header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
        )
        .up_to_n_times(2)
        .mount(&server)
        .await;
    let body = json!({"code": 200, "response": {"score": 0.0}});
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(body)).mount(&server).await;
    let client = client_of(&server.uri(), quick());
    let call = Call::online_score(identity(), &person());
    let call = call.with_request_id("mine").unwrap().with_traceparent(trace).unwrap();
    client.send(&call).await.unwrap();
    assert_eq!(client.repeats(), 2);
    let header = |request: &Request, name: &str| request.headers[name].to_str().unwrap().to_owned();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(
            (header(request, "x-request-id"), header(request, "traceparent")),
            ("mine".into(), trace.into())
        );
    }
}

#[rstest]
#[case::garbage("secret@person", "the answer is not of the expected shape")]
#[case::nothing("", "the answer is not of the expected shape")]
#[case::other_shape(r#"{"code":200}"#, "the answer is not of the expected shape")]
#[case::no_code(r#"{"response":{"score":1}}"#, "the answer is not of the expected shape")]
#[case::a_list(r#"{"code":200,"response":[1]}"#, "the answer is not of the expected shape")]
#[case::other_methods(
    r#"{"code":200,"response":{"1":["books"]}}"#,
    "the answer is not of the expected shape"
)]
#[case::negative(r#"{"code":200,"response":{"score":-1}}"#, "the answer is not of the expected shape")]
#[case::text(r#"{"code":200,"response":{"score":"1"}}"#, "the answer is not of the expected shape")]
#[case::other_code(r#"{"code":503,"error":"x"}"#, "the answer says 503, but its status is 200")]
#[tokio::test]
async fn a_malformed_success_is_unexpected(#[case] body: &str, #[case] text: &str) {
    let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
    let error = score(&server).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected(_)), "{error:?}");
    assert_eq!(error.to_string(), text);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[rstest]
#[case::no_content(204, "unexpected status 204")]
#[case::teapot(418, "unexpected status 418")]
#[case::bad_gateway(502, "unexpected status 502")]
#[tokio::test]
async fn a_status_that_the_contract_does_not_know_is_unexpected(#[case] status: u16, #[case] text: &str) {
    let error = score(&answering(ResponseTemplate::new(status)).await).await.unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[rstest]
#[case::moved(301)]
#[case::found(302)]
#[case::permanent(308)]
#[case::temporary(307)]
#[tokio::test]
async fn a_token_does_not_follow_a_redirect(#[case] status: u16) {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    let server = answering(ResponseTemplate::new(status).insert_header("Location", elsewhere.uri())).await;
    let error = score(&server).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unexpected(Unexpected::Status(told)) if told == status),
        "{error:?}"
    );
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_is_read_up_to_the_limit_and_no_further() {
    let body = r#"{"code":200,"response":{"score":1}}"#;
    let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
    for (response_limit, fits) in [(body.len(), true), (body.len() - 1, false)] {
        let client = client_of(&server.uri(), Policy { response_limit, ..quick() });
        let outcome = client.online_score(&identity(), &person()).await;
        assert_eq!(outcome.is_ok(), fits, "{outcome:?}");
        assert!(fits || matches!(outcome, Err(ClientError::Unexpected(Unexpected::TooLarge))));
    }
}

/// Answers each connection with these bytes, then closes it, or keeps it open silently.
async fn raw(bytes: &'static [u8], closes: bool) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut peer, _) = listener.accept().await.unwrap();
            _ = peer.read(&mut [0; 4096]).await;
            _ = peer.write_all(bytes).await;
            if !closes {
                open.push(peer);
            }
        }
    });
    (url, serving)
}

#[rstest]
#[case::closed_at_once(b"")]
#[case::cut_in_the_head(b"HTTP/1.1 200 O")]
#[case::cut_in_the_body(b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{\"code\":200,")]
#[case::cut_in_a_chunk(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n23\r\n{\"code\":200,")]
#[case::garbled(b"\x16\x03\x01garbage garbage\r\n\r\n")]
#[tokio::test]
async fn a_broken_answer_is_a_failed_connection_after_all_tries(#[case] bytes: &'static [u8]) {
    let (url, serving) = raw(bytes, true).await;
    let client = client_of(&url, quick());
    let error = client.online_score(&identity(), &person()).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport(Transport::Broken(_))), "{error:?}");
    assert_eq!(client.repeats(), 3);
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    serving.abort();
}

#[rstest]
#[case::silent(b"")]
#[case::stalls(b"HTTP/1.1 200 OK\r\ncontent-length: 35\r\n\r\n{\"code\":200,")]
#[tokio::test]
async fn a_slow_answer_ends_with_the_deadline(#[case] bytes: &'static [u8]) {
    let (url, serving) = raw(bytes, false).await;
    let policy = Policy { deadline: Duration::from_millis(60), ..quick() };
    let begun = Instant::now();
    let error = client_of(&url, policy).online_score(&identity(), &person()).await.unwrap_err();
    assert!(matches!(error, ClientError::DeadlineExceeded), "{error:?}");
    assert!(begun.elapsed() >= policy.deadline);
    serving.abort();
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_its_cause() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = client_of(&format!("http://user:hunter2@{gone}/hunter2"), quick());
    let error = client.online_score(&identity(), &person()).await.unwrap_err();
    assert!(matches!(error, ClientError::Transport(Transport::Connect(_))), "{error:?}");
    assert!(error.to_string().starts_with("cannot connect: Connection refused"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[rstest]
#[case::file("file:///etc/passwd")]
#[case::no_host("mailto:someone")]
#[case::other_scheme("redis://127.0.0.1")]
fn a_url_of_another_kind_is_refused(#[case] url: &str) {
    assert!(matches!(Client::new(url.parse().unwrap(), public(), quick()), Err(BuildError::Url)));
}

#[tokio::test]
async fn row_52_a_silent_name_server_costs_a_client_one_look_up() {
    let (looked_up, (open, gate)) = (Arc::new(AtomicU64::new(0)), std::sync::mpsc::channel::<()>());
    let (count, gate) = (looked_up.clone(), std::sync::Mutex::new(gate));
    let look_up = LookUp::new(move |_| {
        count.fetch_add(1, Relaxed);
        _ = gate.lock().unwrap().recv();
        Ok(vec![])
    });
    let policy = Policy { attempt_timeout: Duration::from_millis(20), attempts: 5, ..quick() };
    let url = "http://scoring.example".parse().unwrap();
    let client = Client::with_look_up(url, public(), policy, look_up).unwrap();
    let (identity, person) = (identity(), person());
    let call = || client.online_score(&identity, &person);
    for outcome in futures_util::future::join_all([call(), call(), call()]).await {
        assert!(matches!(outcome, Err(ClientError::Transport(_))), "{outcome:?}");
    }
    assert_eq!((client.repeats(), looked_up.load(Relaxed)), (12, 1));
    drop(open);
}
