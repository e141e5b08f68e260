//! The service as a process: how it starts, and how each signal ends it.

use std::{net::TcpListener, time::Duration};

use rstest::rstest;
use rustix::process::Signal;
use scoring_api::build_info::{REVISION, VERSION, VERSION_AND_REVISION};
use serde_json::{Value, json};
use testkit::{Stopwatch, call, eventually};

use super::process::Sandbox;

const LOGS_WITHIN: Duration = Duration::from_secs(20);

/// The answer to a partner for client 1.
pub async fn interests_of_client_1(address: &str) -> Value {
    let reply = testkit::http_client()
        .post(format!("http://{address}/method"))
        .body(call("clients_interests", json!({ "client_ids": [1] })).to_string())
        .send()
        .await;
    reply.unwrap().json().await.unwrap()
}

#[rstest]
#[case::sigterm(Signal::TERM)]
#[case::sigint(Signal::INT)]
#[tokio::test]
async fn one_signal_ends_it_gracefully_and_that_is_success(#[case] signal: Signal) {
    let sandbox = Sandbox::new();
    let (service, address) = sandbox.serve(&["serve", "--set", "shutdown.grace=0s"]).await;
    let expected = json!({ "code": 200, "response": { "1": [] } });
    assert_eq!(interests_of_client_1(&address).await, expected);
    service.signal(signal);
    let ended = service.ended().await;
    assert!(ended.succeeded().contains(r#""message":"stopped""#));
    assert_eq!(ended.err, "");
}

#[rstest]
#[case::sigterm(Signal::TERM, 143)]
#[case::sigint(Signal::INT, 130)]
#[tokio::test]
async fn a_second_signal_ends_it_at_once(#[case] second: Signal, #[case] code: i32) {
    let sandbox = Sandbox::new();
    let (service, address) = sandbox.serve(&["--set", "shutdown.grace=60s"]).await;
    service.signal(Signal::TERM);
    service.logged("stopping", LOGS_WITHIN).await;
    // In its grace period it goes on as before.
    assert_eq!(interests_of_client_1(&address).await["code"], 200);
    let told = Stopwatch::start();
    service.signal(second);
    service.ended().await.failed(code);
    told.assert_within(Duration::from_secs(5), "the end");
}

#[rstest]
#[case::public("http.bind", "admin.bind")]
#[case::operators("admin.bind", "http.bind")]
#[tokio::test]
async fn row_45_a_port_that_is_taken_is_named_in_one_line(#[case] key: &str, #[case] other: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("port.toml", format!("# one line down\n{key} = \"{address}\"\n"));
    let free = format!("{other}=127.0.0.1:0");
    let ended = sandbox.run(&["--config", "port.toml", "--set", &free]).await;
    let lines = ended.failed(1);
    assert_eq!(lines.len(), 1, "{lines:?}");
    let expected = format!("port.toml:2: {key}: cannot listen on {address}: ");
    assert!(lines[0].starts_with(&expected), "{lines:?}");
    assert!(!ended.out.contains("listening"), "{ended:?}");
    let ended = sandbox.run(&["--set", &format!("{key}={address}"), "--set", &free]).await;
    assert!(ended.failed(1)[0].starts_with(&format!("{key}: cannot listen on {address}: ")), "{ended:?}");
}

#[tokio::test]
async fn an_address_of_another_host_is_a_fault_of_the_settings() {
    let foreign =
        ["--set", "http.bind=192.0.2.1:80", "--set", "admin.bind=", "--set", "auth.allow_public_salts=true"];
    let ended = Sandbox::new().run(&foreign).await;
    assert!(ended.failed(2)[0].starts_with("http.bind: cannot listen on 192.0.2.1:80: "), "{ended:?}");
}

/// As at a terminal: a log for people begins with the facts that they look for first.
#[tokio::test]
async fn the_start_tells_people_where_everything_is() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "my.toml",
        "[cache]\nurl = \"redis://:secret@127.0.0.1:1\"\n[store]\nurl = \"embedded:my.redb\"\n",
    );
    let options = ["--set", "log.format=pretty", "--set", "admin.bind=127.0.0.1:0"];
    let arguments = [&["--config", "my.toml"], options.as_slice()].concat();
    let (service, address) = sandbox.serve(&arguments).await;
    eventually(LOGS_WITHIN, "the start is told", async || service.out().contains("Ctrl-C again")).await;
    let out = service.out();
    for row in [
        format!("scoring-api {VERSION_AND_REVISION}\n"),
        "  configuration  my.toml\n".to_owned(),
        format!("  partners       POST http://{address}/method\n"),
        "  operators      http://127.0.0.1:".to_owned(),
        "  store          embedded my.redb\n".to_owned(),
        "  cache          redis 127.0.0.1:1\n".to_owned(),
        "Ctrl-C stops it gracefully; Ctrl-C again ends it at once.\n".to_owned(),
    ] {
        assert!(out.contains(&row), "{row} is missing in {out}");
    }
    assert!(!out.contains("secret"), "{out}");
    // The log for people has no colours unless it is a terminal.
    assert!(!out.contains('\u{1b}'), "{out}");
}

/// A log for machines has the same facts in one line, and nothing else is printed.
#[tokio::test]
async fn the_start_tells_machines_the_version_and_the_stores() {
    let sandbox = Sandbox::new();
    let (service, _) = sandbox.serve(&["--set", "cache.url=redis://:secret@127.0.0.1:1"]).await;
    let out = service.out();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.iter().find(|line| line["message"] == "listening").unwrap();
    let facts = ["version", "revision", "store", "cache"].map(|name| line[name].as_str().unwrap());
    assert_eq!(facts, [VERSION, REVISION, "data/scoring.redb", "127.0.0.1:1"]);
}
