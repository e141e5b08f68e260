//! `call` against a service in this process.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{TestApp, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use super::process::{Ended, Sandbox};

const PARTNER: [&str; 4] = ["--account", "horns&hoofs", "--login", "h&f"];
const WITHIN: Duration = Duration::from_secs(60);

/// Something personal, to be looked for where it must not be.
const EMAIL: &str = "very.private@person";

async fn call(app: &TestApp, arguments: &[&str]) -> Ended {
    let url = format!("http://{}", app.address());
    Sandbox::new().run(&[&["call", "--url", &url], arguments].concat()).await
}

fn score_line(number: usize) -> String {
    json!({"method": "online_score", "arguments": {"phone": format!("7{number:010}"), "email": EMAIL}})
        .to_string()
}

fn outcomes(ended: &Ended) -> Vec<Value> {
    ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_score_is_printed_as_json_or_for_people() {
    let app = TestApp::spawn().await;
    let person = ["online_score", "--phone", "79175002040", "--email", EMAIL, "--gender", "1"];
    let person = [person.as_slice(), &["--birthday", "01.01.2000"], &PARTNER].concat();
    let ended = call(&app, &person).await;
    assert_eq!(
        (ended.succeeded(), ended.err.as_str()),
        ("{\"code\":200,\"response\":{\"score\":4.5}}\n", "")
    );
    let ended = call(&app, &[person.as_slice(), &["--text"]].concat()).await;
    assert_eq!(ended.succeeded(), "score: 4.5\n");
    let ended =
        call(&app, &["--admin", "--text", "online_score", "--first-name", "a", "--last-name", "b"]).await;
    assert_eq!(ended.code, Some(2), "--text belongs to the method: {ended:?}");
    let ended =
        call(&app, &["--admin", "online_score", "--first-name", "a", "--last-name", "b", "--text"]).await;
    assert_eq!(ended.succeeded(), "score: 42\n");
}

#[tokio::test]
async fn interests_are_printed_by_id() {
    let app = TestApp::spawn().await;
    let words = [&["clients_interests", "3", "-7", "--date", "19.07.2017"], PARTNER.as_slice()].concat();
    let ended = call(&app, &words).await;
    assert_eq!(ended.succeeded(), "{\"code\":200,\"response\":{\"-7\":[],\"3\":[]}}\n");
}

#[tokio::test]
async fn arguments_come_from_standard_input_as_they_are() {
    let app = TestApp::spawn().await;
    let url = format!("http://{}", app.address());
    let words = [&["call", "online_score", "--url", &url, "--arguments", "-"], PARTNER.as_slice()].concat();
    let ended = Sandbox::new().feed(r#"{"first_name": "a", "last_name": "b"}"#, &words).await;
    assert_eq!(ended.succeeded(), "{\"code\":200,\"response\":{\"score\":0.5}}\n");
}

#[tokio::test]
async fn a_refusal_is_told_with_the_id_that_the_service_logs() {
    let app = TestApp::spawn().await;
    let words = ["online_score", "--phone", "123", "--email", EMAIL, "--request-id", "mine"];
    let ended = call(&app, &[words.as_slice(), &PARTNER].concat()).await;
    let refusal = "phone: must be 11 digits and start with 7";
    assert_eq!(ended.failed(1), [format!("{refusal} (request id mine)")]);
    assert_eq!(outcomes(&ended), [json!({"code": 422, "error": refusal})]);
    assert!(!ended.err.contains(EMAIL));
}

#[rstest]
#[case::no_login(&["online_score"], "--login is required, or --admin")]
#[case::admin_and_login(&["--admin", "--login", "x", "online_score"], "--admin is a login of its own, without an account")]
#[case::account_alone(&["--account", "x", "online_score"], "--account needs --login")]
#[case::no_http(&["--url", "ftp://secret@host", "--admin", "online_score"], "--url: must be an http or https URL, such as http://127.0.0.1:8080")]
#[case::no_url(&["--url", "secret", "--admin", "online_score"], "--url: must be an http or https URL, such as http://127.0.0.1:8080")]
#[case::no_json(&["--admin", "online_score", "--arguments", "{secret"], "--arguments: not JSON, see line 1, column 2")]
#[case::request_id(&["--admin", "online_score", "--request-id", "a b"], "a request id is 1 to 128 visible ASCII characters")]
#[case::admin_with_a_token(&["--admin", "--token-file", "x", "online_score"], "--admin signs with auth.admin_salt: leave out --token-file, or name the token's owner with --account and --login in place of --admin")]
#[case::two_signatures(&["--set", "auth.salt=secret", "--token-file", "x", "--login", "l", "online_score"], "--token-file and --set auth.salt both say how to sign; leave one of them out")]
#[case::no_token_file(&["--token-file", "nowhere", "--login", "l", "online_score"], "--token-file: nowhere: cannot be read: No such file or directory (os error 2)")]
#[case::both(&["--batch", "-", "--admin", "online_score"], "--batch FILE says which methods to call")]
#[tokio::test]
async fn a_wrong_command_line_is_told_and_shows_no_secret(#[case] words: &[&str], #[case] message: &str) {
    let ended = Sandbox::new().run(&[&["call"], words].concat()).await;
    assert_eq!(ended.failed(2), [message]);
}

#[tokio::test]
async fn a_refused_connection_is_a_failure() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{gone}");
    let ended = Sandbox::new().run(&["call", "clients_interests", "1", "--admin", "--url", &url]).await;
    assert!(ended.failed(1)[0].starts_with("cannot connect: Connection refused"), "{ended:?}");
}

#[tokio::test]
async fn a_batch_answers_in_order_and_a_bad_line_costs_only_itself() {
    let app = TestApp::spawn().await;
    let url = format!("http://{}", app.address());
    let mut lines: Vec<_> = (1..=200).map(score_line).collect();
    lines[9] = format!("{{\"method\": \"online_score\", \"phone\": \"{EMAIL}\"");
    lines[19] = json!({"method": "online_score", "arguments": {"email": EMAIL}}).to_string();
    lines[29] = json!({"login": "admin", "method": "online_score", "arguments": {"phone": 79990001122_i64, "email": EMAIL}}).to_string();
    lines[39] = json!({"method": "clients_interests", "arguments": {"client_ids": [5]}}).to_string();
    let words =
        [&["call", "--batch", "-", "--url", &url, "--concurrency", "16"], PARTNER.as_slice()].concat();
    let ended = Sandbox::new().feed(&lines.join("\n"), &words).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let outcomes = outcomes(&ended);
    assert_eq!(outcomes.len(), 200);
    for (number, outcome) in (1..).zip(&outcomes) {
        assert_eq!(outcome["line"], number);
        match number {
            10 => {
                assert_eq!(
                    (&outcome["code"], outcome["error"].as_str()),
                    (&Value::Null, Some("not a JSON object, see column 57"))
                );
            }
            20 => assert_eq!(
                (&outcome["code"], outcome["request_id"].as_str().map(str::len)),
                (&json!(422), Some(32))
            ),
            30 => assert_eq!(outcome["response"], json!({"score": 42.0})),
            40 => assert_eq!(outcome["response"], json!({"5": []})),
            _ => assert_eq!(outcome["response"], json!({"score": 3.0})),
        }
    }
    for told in [
        "error: line 10: not a JSON object",
        "199 calls in ",
        "code 200: 198",
        "code 422: 1",
        "bad lines: 1",
        "p99 ",
    ] {
        assert!(ended.err.contains(told), "{told}: {}", ended.err);
    }
    assert!(ended.err.ends_with("error: 2 of 200 calls failed\n"), "{}", ended.err);
    assert!(!ended.err.contains(EMAIL) && !ended.out.contains(EMAIL));
}

#[tokio::test]
async fn a_batch_without_a_fault_is_a_success() {
    let app = TestApp::spawn().await;
    let url = format!("http://{}", app.address());
    let sandbox = Sandbox::new();
    sandbox.write("calls.ndjson", "");
    let ended = sandbox.run(&["call", "--batch", "calls.ndjson", "--url", &url]).await;
    assert_eq!((ended.succeeded(), ended.err.starts_with("0 calls in ")), ("", true));
    sandbox.write("calls.ndjson", score_line(1) + "\n\n" + &score_line(2));
    let ended = sandbox
        .run(&[&["call", "--batch", "calls.ndjson", "--url", &url], PARTNER.as_slice()].concat())
        .await;
    ended.succeeded();
    assert_eq!(
        outcomes(&ended).iter().map(|outcome| outcome["line"].as_u64().unwrap()).collect::<Vec<_>>(),
        [1, 3]
    );
    let missing = sandbox.run(&["call", "--batch", "nowhere", "--url", &url]).await;
    assert!(missing.failed(1)[0].starts_with("nowhere: "), "{missing:?}");
}

#[rstest]
#[case::sigint(Signal::INT, 130, "SIGINT")]
#[case::sigterm(Signal::TERM, 143, "SIGTERM")]
#[tokio::test]
async fn a_signal_ends_a_batch_with_the_finished_outcomes(
    #[case] signal: Signal,
    #[case] code: i32,
    #[case] name: &str,
) {
    let app = TestApp::spawn().await;
    let url = format!("http://{}", app.address());
    let sandbox = Sandbox::new();
    let mut command =
        sandbox.command(&[&["call", "--batch", "-", "--url", &url], PARTNER.as_slice()].concat());
    let (input, mut pipe) = std::io::pipe().unwrap();
    command.stdin(Stdio::from(input));
    let batch = sandbox.spawn(command);
    writeln!(pipe, "{}\n{}", score_line(1), score_line(2)).unwrap();
    eventually(WITHIN, "two outcomes are written while the input is open", async || {
        batch.out().lines().count() == 2
    })
    .await;
    batch.signal(signal);
    let ended = batch.ended().await;
    assert_eq!((ended.code, ended.out.lines().count()), (Some(code), 2));
    assert!(ended.err.starts_with("2 calls in "), "{}", ended.err);
    assert!(
        ended.err.ends_with(&format!("error: ended by {name}; the calls under way were given up\n")),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn a_reader_that_closes_the_output_ends_a_batch_quietly() {
    let app = TestApp::spawn().await;
    let url = format!("http://{}", app.address());
    let sandbox = Sandbox::new();
    sandbox.write("calls.ndjson", (1..2_000).map(|number| score_line(number) + "\n").collect::<String>());
    let words = [&["call", "--batch", "calls.ndjson", "--url", &url], PARTNER.as_slice()].concat();
    let mut child = sandbox.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("{\"line\":1,"), "{first}");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("error"), "{ended:?}");
}

#[tokio::test]
async fn https_trusts_only_the_systems_certificates() {
    let ours = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(ours.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![ours.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let serving = tokio::spawn(async move {
        loop {
            let (peer, _) = listener.accept().await.unwrap();
            let Ok(mut peer) = acceptor.accept(peer).await else { continue };
            _ = peer.read(&mut [0; 4096]).await;
            let body = r#"{"code":200,"response":{"score":1.5}}"#;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            _ = peer.write_all(answer.as_bytes()).await;
            _ = peer.shutdown().await;
        }
    });
    let sandbox = Sandbox::new();
    sandbox.write("ours.pem", ours.cert.pem());
    sandbox.write("other.pem", other.cert.pem());
    let words = ["call", "online_score", "--admin", "--phone", "79175002040", "--url", &url];
    let run = async |trusted: &str| {
        let mut command = sandbox.command(&words);
        command.env("SSL_CERT_FILE", sandbox.path(trusted)).env_remove("SSL_CERT_DIR");
        sandbox.spawn(command).ended().await
    };
    let ended = run("ours.pem").await;
    assert_eq!(ended.succeeded(), "{\"code\":200,\"response\":{\"score\":1.5}}\n");
    let refused = run("other.pem").await;
    assert!(refused.failed(1)[0].starts_with("cannot connect: invalid peer certificate"), "{refused:?}");
    serving.abort();
}
