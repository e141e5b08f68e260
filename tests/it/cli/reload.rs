//! SIGHUP: it changes some settings without a restart, and nothing else; and the end over TLS, after a reload.

use std::{io::ErrorKind, net::SocketAddr, sync::Arc, time::Duration};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use testkit::{Certificate, Person, Wire, alone, call, eventually, post};
use tokio::task::JoinSet;

use super::process::{Process, Sandbox};

const LOGS_WITHIN: Duration = Duration::from_secs(20);
const RELOADED: &str = "settings reloaded, salts and certificate included";
const WAITING: &str = "changed settings wait for a restart";
const KEPT: &str = "the settings stay as they were";

/// A call that is signed with `salt`, and its status.
async fn status(address: &str, salt: &str) -> u64 {
    let mut request = call("online_score", json!({"gender": 1, "birthday": "01.01.2000"}));
    let signed = format!("horns&hoofsh&f{salt}");
    request["token"] =
        Sha512::digest(signed).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    let mut wire = Wire::to(address.parse().unwrap()).await;
    wire.send(post(&request.to_string())).await.unwrap();
    wire.answer().await.status.into()
}

async fn serve(sandbox: &Sandbox, config: &str) -> (Process, String) {
    sandbox.write("x.toml", config);
    sandbox.serve(&["--config", "x.toml", "--set", "store.url=memory:", "--set", "shutdown.grace=0s"]).await
}

#[tokio::test]
async fn sighup_applies_salts_and_level_and_names_the_other_changes() {
    let sandbox = Sandbox::new();
    sandbox.write("salt", "one");
    let (service, address) = serve(&sandbox, "[auth]\nsalt_file = \"salt\"\n").await;
    assert_eq!([status(&address, "one").await, status(&address, "two").await], [200, 403]);

    sandbox.write("salt", "two");
    let changed = "[auth]\nsalt_file = \"salt\"\n[limits]\nclient_ids = 7\n[log]\nlevel = \"warn\"\n";
    sandbox.write("x.toml", changed);
    service.signal(Signal::HUP);
    let waiting = service.logged(WAITING, LOGS_WITHIN).await;
    assert_eq!(waiting["keys"], "limits.client_ids");
    assert_eq!([status(&address, "one").await, status(&address, "two").await], [403, 200]);
    // Calls are logged as information.
    let calls = |out: &str| out.matches(r#""message":"call""#).count();
    assert_eq!(calls(&service.out()), 2, "{}", service.out());

    // And back: the level is as it was.
    sandbox.write("x.toml", "[auth]\nsalt_file = \"salt\"\n");
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "calls are logged again", async || {
        assert_eq!(status(&address, "two").await, 200);
        calls(&service.out()) > 2
    })
    .await;
    // A setting that is back at its first value is not reported as waiting.
    service.logged(RELOADED, LOGS_WITHIN).await;
    assert_eq!(service.out().matches(WAITING).count(), 1);
    // A secret is named, wherever it comes from, and not shown.
    sandbox.write("salt", "a third");
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "the salt is named", async || service.out().contains(r#""changed":"auth.salt""#))
        .await;
    assert!(!service.out().contains("a third"));
    service.signal(Signal::TERM);
    service.ended().await.succeeded();
}

/// As docs/operations.md walks through it.
#[tokio::test]
async fn a_salt_is_rotated_without_a_refused_call() {
    let sandbox = Sandbox::new();
    sandbox.write("old", "one");
    sandbox.write("new", "two");
    let (service, address) = serve(&sandbox, "[auth]\nsalt_file = \"old\"\n").await;
    let both = async || [status(&address, "one").await, status(&address, "two").await];
    assert_eq!(both().await, [200, 403]);
    sandbox.write("x.toml", "[auth]\nsalt_file = \"new\"\nprevious_salt_file = \"old\"\n");
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "both hold", async || {
        let [old, new] = both().await;
        assert_eq!(old, 200, "the old token must hold throughout");
        new == 200
    })
    .await;
    assert_eq!(both().await, [200, 200]);
    let is_logged = async |text: &str| {
        eventually(LOGS_WITHIN, text, async || service.out().contains(text)).await;
    };
    is_logged(r#""token":"previous""#).await;
    assert_eq!(status(&address, "three").await, 403);
    sandbox.write("x.toml", "[auth]\nsalt_file = \"new\"\n");
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "the old one is over", async || both().await == [403, 200]).await;
    is_logged(r#""changed":"auth.previous_salt auth.previous_salt_file auth.salt auth.salt_file""#).await;
}

/// The file is read at each connect, so nothing waits for a restart, and the URL is as it was.
#[tokio::test]
async fn row_56_sighup_after_a_password_was_rotated_names_no_setting() {
    let sandbox = Sandbox::new();
    sandbox.write("password", "hunter2");
    sandbox.write("x.toml", "[store]\npassword_file = \"password\"\n");
    let url = "store.url=redis://127.0.0.1:1";
    let (service, _) = sandbox.serve(&["--config", "x.toml", "--set", url]).await;
    sandbox.write("password", "hunter3");
    service.signal(Signal::HUP);
    let line = service.logged(RELOADED, LOGS_WITHIN).await;
    assert_eq!(line["changed"], "");
    // Another change, so that there is a line to wait for.
    sandbox.write("other", "hunter3");
    sandbox.write("x.toml", "[store]\npassword_file = \"other\"\n");
    service.signal(Signal::HUP);
    let waiting = service.logged(WAITING, LOGS_WITHIN).await;
    assert_eq!(waiting["keys"], "store.password_file");
    assert_eq!(service.out().matches(WAITING).count(), 1);
    assert!(!service.out().contains("hunter"));
}

#[rstest]
#[case::broken_file("[auth", "x.toml:1: not valid TOML")]
#[case::unknown_key("[auth]\nslat = \"two\"", "x.toml:2: auth.slat: unknown key")]
#[case::no_salt_file("[auth]\nsalt_file = \"nowhere\"", "x.toml:2: auth.salt_file: nowhere: cannot be read")]
#[case::hidden_salt("[auth]\nsalt = \"***\"", "x.toml:2: auth.salt: ***")]
#[tokio::test]
async fn sighup_with_a_bad_configuration_changes_nothing(#[case] config: &str, #[case] error: &str) {
    let sandbox = Sandbox::new();
    let (service, address) = serve(&sandbox, "[auth]\nsalt = \"one\"\n").await;
    sandbox.write("x.toml", config);
    service.signal(Signal::HUP);
    let line = service.logged(KEPT, LOGS_WITHIN).await;
    assert_eq!(line["level"], "ERROR");
    assert!(line["error"].as_str().unwrap().starts_with(error), "{line}");
    let audit = service.logged("settings not reloaded", LOGS_WITHIN).await;
    let fields = ["target", "level", "outcome", "faults"].map(|name| &audit[name]);
    assert_eq!(fields, [&json!("scoring_api::audit"), &json!("INFO"), &json!("failed"), &json!(1)]);
    assert_eq!(status(&address, "one").await, 200);
}

/// A card is reloaded with its settings, and named with its digest; a bad one changes nothing.
#[tokio::test]
async fn sighup_takes_over_a_card_or_names_each_of_its_faults() {
    let card = |base: &str| {
        format!(
            "version = \"v{base}\"\nbase = {base}\n[[characteristic]]\nname = \"c\"\nbin = [{{ points = 0 }}]\n"
        )
    };
    let sandbox = Sandbox::new();
    sandbox.write("card.toml", card("7"));
    let config = "[scoring]\ncard = \"card.toml\"\n";
    let (service, address) = serve(&sandbox, config).await;
    let score = async || {
        let request = call("online_score", json!({"gender": 1, "birthday": "01.01.2000"}));
        let mut wire = Wire::to(address.parse().unwrap()).await;
        wire.send(post(&request.to_string())).await.unwrap();
        wire.answer().await.score()
    };
    assert_eq!(score().await, 7.0);
    for (broken, faults) in [
        (
            "version = \"v8\"\nbase = inf\nlowest = 1\n",
            &["card.toml:2: base: ", "card.toml:3: lowest: unknown key"][..],
        ),
        ("version = \"v8\"\nba", &["card.toml:2: not valid TOML"]),
        ("", &["card.toml: the file is empty"]),
    ] {
        let before = service.out().len();
        sandbox.write("card.toml", broken);
        service.signal(Signal::HUP);
        eventually(LOGS_WITHIN, "each fault is a line", async || {
            let news = service.out()[before..].to_owned();
            faults.iter().all(|fault| news.contains(fault)) && news.contains(KEPT)
        })
        .await;
        assert_eq!(score().await, 7.0);
    }
    sandbox.write("card.toml", card("8"));
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "the card is taken over", async || score().await == 8.0).await;
    let line = service.logged(RELOADED, LOGS_WITHIN).await;
    assert_eq!(line["changed"], "scoring.card");
    let audit = service.logged("settings reloaded", LOGS_WITHIN).await;
    assert_eq!(audit["outcome"], "succeeded");
    assert_eq!((&audit["card"], audit["target"].as_str()), (&json!("v8"), Some("scoring_api::audit")));
    assert_eq!(audit["card_digest"].as_str().unwrap().len(), 64);
    assert!(service.out().contains(r#""card":"v8""#));
}

#[rstest]
#[case::no_certificate("cert.pem", "nothing", "http.tls.cert: cert.pem: holds no PEM certificate")]
#[case::no_key("key.pem", "nothing", "http.tls.key: key.pem: holds no PEM private key")]
#[tokio::test]
async fn a_bad_certificate_is_named_in_one_line(#[case] file: &str, #[case] text: &str, #[case] error: &str) {
    let sandbox = Sandbox::new();
    Certificate::new().write(&sandbox.path("."));
    sandbox.write(file, text);
    sandbox.write("x.toml", "[http.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n");
    let ended = sandbox.run(&["--config", "x.toml", "--set", "http.bind=127.0.0.1:0"]).await;
    let line = if file == "cert.pem" { 2 } else { 3 };
    assert_eq!(ended.failed(2), [format!("x.toml:{line}: {error}")]);
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_certificate_are_named() {
    let sandbox = Sandbox::new();
    Certificate::new().write(&sandbox.path("."));
    let other = tempfile::tempdir().unwrap();
    Certificate::new().write(other.path());
    let key = format!("http.tls.key={}", other.path().join("key.pem").display());
    let run = async |key: &str| {
        let ended = sandbox
            .run(&["--set", "http.tls.cert=cert.pem", "--set", key, "--set", "http.bind=127.0.0.1:0"])
            .await;
        ended.failed(2).concat()
    };
    assert!(run(&key).await.ends_with("key.pem: does not belong to the certificate"));
    assert!(run("http.tls.key=nowhere").await.starts_with("--set: http.tls.key: nowhere: cannot be read: "));
}

/// Calls over TLS until a connection is refused, and counts the answers.
async fn call_until_refused(address: SocketAddr, certificate: Arc<Certificate>, keep_alive: bool) -> usize {
    let (mut answered, mut kept) = (0, None);
    loop {
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => match Wire::to_tls(address, &certificate).await {
                Ok(wire) => wire,
                // Reset: the system had taken it, the service had not accepted it, and now never will.
                Err(error)
                    if [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind()) =>
                {
                    return answered;
                }
                Err(error) => panic!("after {answered} answers, no connection: {error:?}"),
            },
        };
        let person = Person::any();
        let mut request = post(&call("online_score", person.arguments()).to_string());
        if !keep_alive {
            request = request.replacen("host: x", "host: x\r\nconnection: close", 1);
        }
        wire.send(request).await.unwrap();
        let reply =
            wire.try_answer().await.unwrap_or_else(|error| panic!("after {answered} answers: {error:?}"));
        assert_eq!(reply.score(), person.score());
        answered += 1;
        let is_last = reply.headers.get("connection").is_some_and(|connection| connection == "close");
        kept = Some(wire).filter(|_| !is_last);
    }
}

#[tokio::test]
async fn row_42_no_accepted_request_fails_over_tls_after_a_reload() {
    alone();
    let sandbox = Sandbox::new();
    let certificate = Arc::new(Certificate::new());
    let [cert, key] = certificate.write(&sandbox.path("."));
    let settings = ["store.url=memory:", "shutdown.grace=300ms", &cert, &key];
    let settings: Vec<_> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    let (service, address) = sandbox.serve(&settings).await;
    let address: SocketAddr = address.parse().unwrap();
    let mut clients = JoinSet::new();
    for number in 0..8 {
        clients.spawn(call_until_refused(address, certificate.clone(), number % 4 > 0));
    }
    let calls = || service.out().matches(r#""message":"call""#).count();
    eventually(Duration::from_secs(30), "the clients are busy", async || calls() > 100).await;
    service.signal(Signal::HUP);
    service.logged(RELOADED, LOGS_WITHIN).await;
    service.signal(Signal::TERM);
    let answered: usize = clients.join_all().await.into_iter().sum();
    let ended = service.ended().await;
    let logged = ended.succeeded().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(logged.filter(|line| line["message"] == "call").count(), answered);
}
