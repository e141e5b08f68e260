//! Traces, as a collector gets them: the release's own export, to one inside the test process.

use std::{collections::BTreeMap, time::Duration};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as AnyValue,
    trace::v1::Span,
};
use prost::Message;
use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{Person, ReservedPort, SCORE_BOUND, SLACK, Stopwatch, call, eventually, http_client};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::process::{Process, Sandbox};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// A service that exports to `endpoint`, and where it and its operators' listener are.
async fn serve(sandbox: &Sandbox, endpoint: &str, options: &[&str]) -> (Process, String, String) {
    let endpoint = format!("trace.endpoint={endpoint}");
    let own = [
        "serve",
        "--set",
        "store.url=memory:",
        "--set",
        "shutdown.grace=0s",
        "--set",
        "admin.bind=127.0.0.1:0",
    ];
    let arguments = [own.as_slice(), &["--set", &endpoint], options].concat();
    let (service, address) = sandbox.serve(&arguments).await;
    let line = service.logged("listening", Duration::from_secs(5)).await;
    (service, address, line["admin_address"].as_str().unwrap().to_owned())
}

/// Posts a call, with a `traceparent` if these are its flags, and returns the answer's code and how long it took.
async fn post(address: &str, body: &Value, flags: Option<&str>) -> (u16, Duration) {
    let stopwatch = Stopwatch::start();
    let client = http_client();
    let mut request = client.post(format!("http://{address}/method")).body(body.to_string());
    if let Some(flags) = flags {
        request = request.header("traceparent", format!("00-{TRACE}-{CALLER}-{flags}"));
    }
    (request.send().await.unwrap().status().as_u16(), stopwatch.took())
}

async fn collector(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

async fn exported(collector: &MockServer) -> Vec<Span> {
    let mut spans = Vec::new();
    for request in collector.received_requests().await.unwrap() {
        assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/v1/traces"));
        let request = ExportTraceServiceRequest::decode(request.body.as_slice()).unwrap();
        for resource in request.resource_spans {
            let attributes = attributes(&resource.resource.unwrap().attributes);
            assert_eq!(attributes["service.name"], "scoring-api");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn attributes(all: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> BTreeMap<String, Value> {
    let value = |value: &AnyValue| {
        if let AnyValue::IntValue(number) = value {
            json!(number)
        } else if let AnyValue::DoubleValue(number) = value {
            json!(number)
        } else if let AnyValue::StringValue(text) = value {
            json!(text)
        } else {
            panic!("{value:?}")
        }
    };
    let pair = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        (pair.key.clone(), value(pair.value.as_ref().unwrap().value.as_ref().unwrap()))
    };
    all.iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends the service, which flushes its spans, and returns its log.
async fn ended(service: Process) -> Vec<Value> {
    service.signal(Signal::TERM);
    let ended = service.ended().await;
    ended.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn call_line(log: &[Value]) -> &Value {
    log.iter().find(|line| line["message"] == "call").unwrap()
}

#[rstest]
#[case::a_score(
    call("online_score", Person::full().arguments()),
    &[("call", "caller"), ("dispatcher", "call"), ("scoring", "dispatcher"), ("cache_store CacheGet", "scoring"), ("cache_store CachePut", "scoring")],
)]
#[case::interests(
    call("clients_interests", json!({ "client_ids": [1, 2, 2] })),
    &[("call", "caller"), ("dispatcher", "call"), ("interests", "dispatcher"), ("persistent_store", "interests")],
)]
#[tokio::test]
async fn the_spans_of_a_call_are_a_chain_in_the_callers_trace(
    #[case] body: Value,
    #[case] expected: &[(&str, &str)],
) {
    let collector = collector(ResponseTemplate::new(200)).await;
    let sandbox = Sandbox::new();
    let (service, address, _) = serve(&sandbox, &collector.uri(), &[]).await;
    assert_eq!(post(&address, &body, Some("01")).await.0, 200);
    let log = ended(service).await;
    assert_eq!(call_line(&log)["trace_id"], TRACE);

    let spans = exported(&collector).await;
    let name = |span: &Span| match attributes(&span.attributes).get("message") {
        Some(message) if span.name == "cache_store" => format!("cache_store {}", message.as_str().unwrap()),
        _ => span.name.clone(),
    };
    let names: BTreeMap<String, String> = spans.iter().map(|span| (hex(&span.span_id), name(span))).collect();
    let mut chain: Vec<_> = spans
        .iter()
        .map(|span| {
            assert_eq!(hex(&span.trace_id), TRACE);
            let parent = hex(&span.parent_span_id);
            (name(span), if parent == CALLER { "caller".to_owned() } else { names[&parent].clone() })
        })
        .collect();
    chain.sort();
    let mut expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    expected.sort();
    assert_eq!(chain, expected);
}

const OF_THE_PERSON: [&str; 6] =
    ["79161234567", "private@example.com", "Melchior", "Balthasar", "24.12.1999", "Otus"];

#[rstest]
#[case::a_score("online_score", json!({
    "phone": OF_THE_PERSON[0], "email": OF_THE_PERSON[1], "first_name": OF_THE_PERSON[2],
    "last_name": OF_THE_PERSON[3], "birthday": OF_THE_PERSON[4], "gender": 1,
}), "has")]
#[case::interests("clients_interests", json!({ "client_ids": [1, 2, 2] }), "nclients")]
#[tokio::test]
async fn a_calls_span_has_its_log_lines_fields_and_no_personal_data(
    #[case] method: &str,
    #[case] arguments: Value,
    #[case] of_the_method: &str,
) {
    let collector = collector(ResponseTemplate::new(200)).await;
    let sandbox = Sandbox::new();
    let (service, address, _) = serve(&sandbox, &collector.uri(), &[]).await;
    let body = call(method, arguments);
    assert_eq!(post(&address, &body, None).await.0, 200);
    let log = ended(service).await;
    let line = call_line(&log);

    let spans = exported(&collector).await;
    let span = spans.iter().find(|span| span.name == "call").unwrap();
    assert_eq!(json!(hex(&span.trace_id)), line["trace_id"]);
    assert!(span.parent_span_id.is_empty(), "it begins here, since nobody said where");
    let fields = attributes(&span.attributes);
    for field in ["request_id", "method", "account", "code", "duration", of_the_method] {
        assert_eq!(fields[field], line[field], "{field}");
    }
    let token = body["token"].as_str().unwrap();
    for request in collector.received_requests().await.unwrap() {
        let sent = String::from_utf8_lossy(&request.body).into_owned();
        for secret in OF_THE_PERSON.iter().chain([&token]) {
            assert!(!sent.contains(*secret), "{secret}");
        }
    }
}

#[rstest]
#[case::the_caller_says_no(Some("00"), "1.0", false)]
#[case::the_caller_says_yes(Some("01"), "0.0", true)]
#[case::nobody_says_and_none_are_wanted(None, "0.0", false)]
#[case::nobody_says_and_all_are_wanted(None, "1", true)]
#[tokio::test]
async fn a_trace_is_sampled_by_the_caller_or_else_by_the_ratio(
    #[case] flags: Option<&str>,
    #[case] ratio: &str,
    #[case] expected: bool,
) {
    let collector = collector(ResponseTemplate::new(200)).await;
    let sandbox = Sandbox::new();
    let ratio = format!("trace.sample_ratio={ratio}");
    let (service, address, _) = serve(&sandbox, &collector.uri(), &["--set", &ratio]).await;
    post(&address, &call("online_score", Person::full().arguments()), flags).await;
    ended(service).await;
    assert_eq!(!exported(&collector).await.is_empty(), expected);
}

/// The value of the metric of lost spans.
async fn lost_spans(admin: &str) -> f64 {
    let client = http_client();
    let text = client.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("scoring_trace_spans_dropped_total "));
    line.expect("the metric").parse().unwrap()
}

#[rstest]
#[case::refuses(Some(ResponseTemplate::new(500)))]
#[case::asks_to_come_back_later(Some(ResponseTemplate::new(503).insert_header("retry-after", "60")))]
#[case::never_answers(Some(ResponseTemplate::new(200).set_delay(Duration::from_secs(60))))]
#[case::is_not_there(None)]
#[tokio::test]
async fn a_collector_that_is_ill_costs_spans_and_no_call_its_time(#[case] answer: Option<ResponseTemplate>) {
    let nobody = ReservedPort::new();
    let collector = match answer {
        Some(answer) => Some(collector(answer).await),
        None => None,
    };
    let endpoint = collector.as_ref().map_or_else(|| format!("http://{}", nobody.addr()), MockServer::uri);
    let sandbox = Sandbox::new();
    let few = ["--set", "trace.queue=50", "--set", "trace.timeout=300ms"];
    let (service, address, admin) = serve(&sandbox, &endpoint, &few).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let (code, took) =
            post(&address, &call("online_score", Person::full().arguments()), Some("01")).await;
        assert_eq!(code, 200);
        slowest = slowest.max(took);
    }
    assert!(slowest <= SCORE_BOUND, "{slowest:?}");
    service.logged("spans cannot be exported", Duration::from_secs(5) * SLACK).await;
    eventually(Duration::from_secs(5) * SLACK, "lost spans are counted", async || {
        lost_spans(&admin).await > 0.0
    })
    .await;

    let told = Stopwatch::start();
    let log = ended(service).await;
    told.assert_within(Duration::from_secs(4) * SLACK, "the end");
    // Said once, not for each batch.
    assert_eq!(log.iter().filter(|line| line["message"] == "spans cannot be exported").count(), 1);
}

#[rstest]
#[case::nobody_asked(None, json!(null))]
#[case::the_caller_did(Some("01"), json!(TRACE))]
#[tokio::test]
async fn without_a_collector_the_log_still_names_the_callers_trace(
    #[case] flags: Option<&str>,
    #[case] expected: Value,
) {
    let sandbox = Sandbox::new();
    let (service, address, _) = serve(&sandbox, "", &[]).await;
    post(&address, &call("online_score", Person::full().arguments()), flags).await;
    assert_eq!(call_line(&ended(service).await)["trace_id"], expected);
}
