//! The client of `crates/scoring-client` and its examples against the running service.

use std::{
    env,
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use rstest::rstest;
use scoring_api::{
    app::Stores,
    client::{Call, Client, ClientError, Identity, Method, Person, Policy},
    domain::{Authenticator, is_request_id},
    store::Memory,
    trace::TraceContext,
};
use serde_json::value::RawValue;
use testkit::{ReservedPort, Stopwatch, TestApp, settings};

fn client(app: &TestApp, salt: &str, policy: Policy) -> Client {
    let auth = settings(&[&format!("auth.salt={salt}")]).auth.policy();
    let url = format!("http://{}", app.address()).parse().unwrap();
    Client::new(url, Authenticator::new(auth).unwrap(), policy).unwrap()
}

fn partner() -> Identity {
    Identity::new("horns&hoofs", "h&f")
}

fn person() -> Person {
    Person { phone: Some("79175002040".into()), email: Some("a@b".into()), ..Person::default() }
}

#[tokio::test]
async fn it_gets_scores_and_interests() {
    let memory = Memory::new(100);
    memory.insert("i:-7".to_owned(), br#"["books"]"#.to_vec());
    let stores = Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) };
    let app = TestApp::with_stores(stores).await;
    let client = client(&app, "Otus", Policy::default());
    assert_eq!(client.online_score(&partner(), &person()).await.unwrap().value(), 3.0);
    let admin = Identity::new("", "admin");
    assert_eq!(client.online_score(&admin, &person()).await.unwrap().value(), 42.0);
    let interests = client.clients_interests(&partner(), &[3, -7]).await.unwrap();
    assert_eq!(interests, [(-7, vec!["books".to_owned()]), (3, vec![])].into());
}

#[rstest]
#[case::wrong_salt("other", "{}", 403)]
#[case::invalid("Otus", "{}", 422)]
#[case::too_large("Otus", &format!("\"{}\"", "x".repeat(300_000)), 413)]
#[case::repeated_key("Otus", r#"{"a":1,"a":1}"#, 400)]
#[tokio::test]
async fn it_tells_refusals_apart(#[case] salt: &str, #[case] arguments: &str, #[case] code: u16) {
    let app = TestApp::spawn().await;
    let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
    let call = Call::raw(partner(), Method::OnlineScore, arguments);
    let error = client(&app, salt, Policy::default()).send(&call).await.unwrap_err();
    assert_eq!(error.code(), Some(code), "{error:?}");
}

#[tokio::test]
async fn a_lost_store_is_a_503_with_retry_after_within_the_deadline() {
    let gone = ReservedPort::new();
    let app = TestApp::on(&format!("redis://{}", gone.addr())).await;
    let policy = Policy { deadline: Duration::from_millis(900), ..Policy::default() };
    let (client, stopwatch) = (client(&app, "Otus", policy), Stopwatch::start());
    let error = client.clients_interests(&partner(), &[1]).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unavailable { retry_after: Some(wait) } if wait == Duration::from_secs(1))
    );
    stopwatch.assert_within(Duration::from_secs(5), "a refusal");
    assert_eq!(client.online_score(&partner(), &person()).await.unwrap().value(), 3.0);
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[rstest]
#[case::right(&format!("00-{TRACE}-b7ad6b7169203331-01"))]
#[case::upper_case(&format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()))]
#[case::a_part_more(&format!("00-{TRACE}-b7ad6b7169203331-01-00"))]
#[case::later_version(&format!("01-{TRACE}-b7ad6b7169203331-01-more"))]
#[case::version_ff(&format!("ff-{TRACE}-b7ad6b7169203331-01"))]
#[case::no_trace(&format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)))]
#[case::no_span(&format!("00-{TRACE}-{}-01", "0".repeat(16)))]
#[case::flags_only("01")]
#[case::longest_id(&"~".repeat(128))]
#[case::too_long_an_id(&"~".repeat(129))]
#[case::blank("a b")]
#[case::empty("")]
fn it_sends_the_headers_that_the_service_takes(#[case] header: &str) {
    let call = || Call::online_score(partner(), &person());
    assert_eq!(call().with_request_id(header).is_ok(), is_request_id(header.as_bytes()));
    let is_trace = TraceContext::from_traceparent(header).is_some();
    assert_eq!(call().with_traceparent(header).is_ok(), is_trace);
}

// ===== the examples =====

/// An example's program. `cargo test` builds it; with `--test it` alone, it may be missing.
fn example(name: &str) -> PathBuf {
    let folder = env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let program = folder.join(name);
    if !program.exists() {
        let build = ["build", "--locked", "--quiet", "--package", "scoring-client", "--examples"];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    program
}

/// Runs an example on the service, with these arguments after its URL.
async fn run(app: &TestApp, name: &str, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(example(name));
    command.arg(format!("http://{}", app.address())).args(arguments).env_remove("SCORING_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    // The service runs on its own threads, but other tasks of this one should not wait.
    tokio::task::spawn_blocking(move || {
        let mut running = command.spawn().unwrap();
        running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        running.wait_with_output().unwrap()
    })
    .await
    .unwrap()
}

fn printed(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_example_of_one_call_prints_its_score() {
    let app = TestApp::spawn().await;
    let output = run(&app, "score", &["79175002040", "a@b"], "").await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(printed(&output), "score: 3\n");
    let refused = run(&app, "score", &["not a phone", "a@b"], "").await;
    assert!(!refused.status.success() && printed(&refused).is_empty(), "{refused:?}");
}

#[tokio::test]
async fn the_example_of_a_batch_prints_scores_in_order() {
    let app = TestApp::spawn().await;
    let mut persons = (0..40).map(|person| format!("791750020{person:02} a@b\n")).collect::<String>();
    persons += "no-phone a@b\n";
    let output = run(&app, "batch", &[], &persons).await;
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<_> = printed(&output).lines().collect();
    assert_eq!((lines.len(), &lines[..40]), (41, &["3"; 40][..]));
    assert!(lines[40].starts_with("error: phone: "), "{lines:?}");
}
