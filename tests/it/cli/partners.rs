//! Registered partners, from the command line to the calls: the file, SIGHUP, the log and the metrics.

mod file;

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use testkit::{Wire, eventually, post, sign};

use super::process::{Ended, Process, Sandbox};

const LOGS_WITHIN: Duration = Duration::from_secs(20);
const KEPT: &str = "the settings stay as they were";
const ACME: [&str; 4] = ["--account", "acme", "--login", "shop"];

/// `partners …` on the file `p.toml`.
async fn partners(sandbox: &Sandbox, command: &str, more: &[&str]) -> Ended {
    let file = if command == "new" { "--append" } else { "--file" };
    sandbox.run(&[&["partners", command, file, "p.toml"], more].concat()).await
}

/// Registers a partner, and returns its token.
async fn register(sandbox: &Sandbox, account: &str, login: &str) -> String {
    let ended = partners(sandbox, "new", &["--account", account, "--login", login]).await;
    let token = ended.succeeded().trim().to_owned();
    assert_eq!(token.len(), 128, "{ended:?}");
    assert!(!ended.err.contains(&token) && !ended.acts[0].to_string().contains(&token));
    token
}

async fn serve(sandbox: &Sandbox, settings: &[&str]) -> (Process, String) {
    let always = ["auth.partners_file=p.toml", "store.url=memory:", "shutdown.grace=0s"];
    let settings: Vec<_> = always.iter().chain(settings).flat_map(|setting| ["--set", *setting]).collect();
    sandbox.serve(&settings).await
}

fn request(account: &str, login: &str, token: &str, method: &str) -> String {
    let arguments = json!({"gender": 1, "birthday": "01.01.2000", "client_ids": [1]});
    json!({"account": account, "login": login, "token": token, "method": method, "arguments": arguments})
        .to_string()
}

async fn answer(address: &str, body: &str) -> (u16, String) {
    let mut wire = Wire::to(address.parse().unwrap()).await;
    wire.send(post(body)).await.unwrap();
    let answer = wire.answer().await;
    (answer.status, answer.body.to_string())
}

async fn status(address: &str, account: &str, login: &str, token: &str) -> u16 {
    answer(address, &request(account, login, token, "online_score")).await.0
}

/// Reloads, and waits for the act's line.
async fn reload(service: &Process) {
    let acts = || service.out().matches("scoring_api::audit").count();
    let before = acts();
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "the act is logged", async || acts() > before).await;
}

/// The lines of calls, in their order.
fn calls(service: &Process) -> Vec<Value> {
    let lines = service.out();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "call").collect()
}

/// `call` as `acme/shop` with `more` arguments, and with this text in SCORING_TOKEN.
async fn call(sandbox: &Sandbox, address: &str, variable: Option<&str>, more: &[&str]) -> Ended {
    let url = format!("http://{address}");
    let target = ["call", "--url", &url, "--account", "acme", "--deadline", "30s"];
    let person = ["online_score", "--gender", "1", "--birthday", "01.01.2000"];
    let mut command = sandbox.command(&[target.as_slice(), more, &person].concat());
    command.envs(variable.map(|token| ("SCORING_TOKEN", token)));
    sandbox.spawn(command).ended().await
}

#[tokio::test]
async fn a_partner_calls_with_its_token_and_without_the_salt() {
    const ANSWER: &str = "{\"code\":200,\"response\":{\"score\":1.5}}\n";
    let sandbox = Sandbox::new();
    let token = register(&sandbox, "acme", "shop").await;
    sandbox.write("token", format!("{token}\n"));
    sandbox.write("other", format!("{}\n", "0".repeat(128)));
    sandbox.write("salt", "hunter2\n");
    let (_service, address) = serve(&sandbox, &["auth.salt=secret", "auth.shared_salt=false"]).await;
    let shop = ["--login", "shop"];
    let with = |file| [shop.as_slice(), &["--token-file", file]].concat();

    assert_eq!(call(&sandbox, &address, None, &with("token")).await.succeeded(), ANSWER);
    assert_eq!(call(&sandbox, &address, Some(&token), &shop).await.succeeded(), ANSWER);
    let other = "0".repeat(128);
    assert_eq!(
        call(&sandbox, &address, Some(&other), &with("token")).await.succeeded(),
        ANSWER,
        "the file goes before the variable"
    );
    for (variable, options) in
        [(None, shop.to_vec()), (Some(&*token), with("other")), (Some(&*other), shop.to_vec())]
    {
        let ended = call(&sandbox, &address, variable, &options).await;
        assert!(ended.failed(1)[0].starts_with("the token does not match"), "{ended:?}");
        assert!(!ended.err.contains(&token) && !ended.err.contains(&other), "{ended:?}");
    }
    let ended = call(&sandbox, &address, None, &with("salt")).await;
    let expected =
        "--token-file: not a token: expected 128 lower-case hex digits, as `scoring-api partners new` prints";
    assert_eq!(ended.failed(2), [expected]);

    let line = json!({"method": "clients_interests", "arguments": {"client_ids": [1]}});
    let mut of_another = line.clone();
    of_another["login"] = "web".into();
    let url = format!("http://{address}");
    let batch = ["call", "--batch", "-", "--url", &url, "--token-file", "token", "--account", "acme"];
    let ended = sandbox.feed(&format!("{line}\n{of_another}"), &[batch.as_slice(), &shop].concat()).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let outcomes: Vec<Value> = ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(outcomes[0]["response"], json!({"1": []}));
    assert_eq!(
        [&outcomes[1]["code"], &outcomes[1]["error"]],
        [&Value::Null, &json!("not sent: the token belongs to another account and login")]
    );
}

#[tokio::test]
async fn a_service_ignores_the_token_of_the_environment() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["check-config"]);
    command.env("SCORING_TOKEN", "hunter2");
    let ended = sandbox.spawn(command).ended().await;
    assert!(!ended.succeeded().contains("hunter2"), "{ended:?}");
    assert_eq!(ended.err, "");
}

/// As docs/operations.md walks through it.
#[tokio::test]
async fn a_partner_is_brought_in_rotated_and_disabled() {
    let sandbox = Sandbox::new();
    let first = register(&sandbox, "acme", "shop").await;
    let file = || fs::read_to_string(sandbox.path("p.toml")).unwrap();
    assert_eq!(fs::metadata(sandbox.path("p.toml")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!file().contains(&first));
    let (service, address) = serve(&sandbox, &[]).await;
    assert_eq!(status(&address, "acme", "shop", &first).await, 200);

    let ended = partners(&sandbox, "rotate", &ACME).await;
    let second = ended.succeeded().trim().to_owned();
    assert!(ended.err.starts_with("acme/shop has a new token; its earlier token ends at 20"), "{ended:?}");
    let act = &ended.acts[0];
    assert_eq!(
        [&act["act"], &act["account"], &act["login"]],
        [&json!("rotate"), &json!("acme"), &json!("shop")]
    );
    assert_eq!(status(&address, "acme", "shop", &second).await, 403, "the service has not read it yet");
    reload(&service).await;
    for token in [&first, &second] {
        assert_eq!(status(&address, "acme", "shop", token).await, 200);
    }
    let third = partners(&sandbox, "rotate", &ACME).await;
    assert!(
        third.failed(2)[0].starts_with("acme/shop has two valid tokens already; wait until"),
        "{third:?}"
    );

    partners(&sandbox, "disable", &ACME).await.succeeded();
    reload(&service).await;
    let of_salt = sign(json!({"account": "acm", "login": "eshop"}))["token"].as_str().unwrap().to_owned();
    for (account, login, token) in
        [("acme", "shop", &first), ("acm", "eshop", &second), ("acm", "eshop", &of_salt)]
    {
        assert_eq!(status(&address, account, login, token).await, 403, "{account} {login}");
    }
    partners(&sandbox, "enable", &ACME).await.succeeded();
    reload(&service).await;
    assert_eq!(status(&address, "acme", "shop", &second).await, 200);
    let list = partners(&sandbox, "list", &[]).await;
    assert!(list.succeeded().contains("acme     shop   enabled"), "{list:?}");
    for secret in [&first, &second] {
        assert!(!service.out().contains(secret.as_str()) && !file().contains(secret.as_str()));
    }
}

/// One partner is disabled under load, and the other one does not notice.
#[tokio::test]
async fn a_partner_is_disabled_without_a_failure_of_another() {
    let sandbox = Sandbox::new();
    let (kept, gone) = (register(&sandbox, "kept", "shop").await, register(&sandbox, "gone", "shop").await);
    let (service, address) = serve(&sandbox, &[]).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = {
        let (stop, answered, address) = (stop.clone(), answered.clone(), address.clone());
        tokio::spawn(async move {
            while !stop.load(SeqCst) {
                assert_eq!(status(&address, "kept", "shop", &kept).await, 200);
                answered.fetch_add(1, SeqCst);
            }
        })
    };
    assert_eq!(status(&address, "gone", "shop", &gone).await, 200);
    partners(&sandbox, "disable", &["--account", "gone", "--login", "shop"]).await.succeeded();
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "it is disabled", async || status(&address, "gone", "shop", &gone).await == 403)
        .await;
    let then = answered.load(SeqCst);
    eventually(LOGS_WITHIN, "the other calls on", async || answered.load(SeqCst) > then + 20).await;
    stop.store(true, SeqCst);
    load.await.unwrap();
}

/// A file with an entry for each reason of a refusal; each token is the SHA-512 of the entry's account.
fn one_for_each_refusal() -> (String, impl Fn(&str) -> String) {
    let token = |account: &str| hex(&Sha512::digest(account));
    let entry = |account: &str, until: &str, rest: &str| {
        let digest = hex(&sha2::Sha256::digest(token(account)));
        format!(
            "[[partner]]\naccount = \"{account}\"\nlogin = \"\"\ntokens = [{{ sha256 = \"{digest}\"{until} }}]\n{rest}\n"
        )
    };
    let file = [
        entry("well", "", ""),
        entry("off", "", "enabled = false"),
        entry("over", ", until = 2026-01-01T00:00:00Z", ""),
        entry("narrow", "", "methods = [\"clients_interests\"]"),
        entry("slow", "", "rate = \"1/h\""),
    ];
    (file.concat(), token)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn refusals_differ_in_log_and_metrics_and_not_in_their_bytes() {
    let sandbox = Sandbox::new();
    let (file, token) = one_for_each_refusal();
    sandbox.write("p.toml", file);
    let settings = ["auth.shared_salt=false", "metrics.partners=true", "admin.bind=127.0.0.1:0"];
    let (service, address) = serve(&sandbox, &settings).await;
    let cases = [
        ("stranger", "stranger", "unknown"),
        ("well", "other", "token"),
        ("off", "off", "disabled"),
        ("over", "over", "expired"),
        ("narrow", "narrow", "method"),
    ];
    let mut answers = BTreeSet::new();
    for (account, token_of, _) in cases {
        let body = request(account, "", &token(token_of), "online_score");
        let request = format!("{}\r\nx-request-id: same", post(&body).split_once("\r\n\r\n").unwrap().0);
        let mut wire = Wire::to(address.parse().unwrap()).await;
        wire.send(format!("{request}\r\n\r\n{body}")).await.unwrap();
        let answer = wire.answer().await;
        let mut headers: Vec<_> =
            answer.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        headers.retain(|header| !header.starts_with("date"));
        // Each answer of the service has its headers in an order of its own.
        headers.sort_unstable();
        answers.insert(format!("{} {headers:?} {}", answer.status, answer.body));
    }
    assert_eq!(answers.len(), 1, "{answers:#?}");
    assert!(answers.first().unwrap().starts_with("403"), "{answers:#?}");

    assert_eq!(status(&address, "slow", "", &token("slow")).await, 200);
    assert_eq!(status(&address, "slow", "", &token("slow")).await, 429);
    let unknown = request("narrow", "", &token("narrow"), "no_such_method");
    assert_eq!(answer(&address, &unknown).await.0, 422);
    eventually(LOGS_WITHIN, "all calls are logged", async || calls(&service).len() == 8).await;
    let lines = calls(&service);
    for (line, (account, _, reason)) in lines.iter().zip(cases) {
        assert_eq!(line["refused"], reason, "{line}");
        let partner = if reason == "unknown" { Value::Null } else { format!("{account}/").into() };
        assert_eq!((&line["partner"], &line["token"]), (&partner, &Value::Null), "{line}");
    }
    let fields = |line: &Value| [&line["partner"], &line["token"], &line["refused"]].map(Value::clone);
    assert_eq!(fields(&lines[5]), [json!("slow/"), json!("partner"), Value::Null]);
    assert_eq!(fields(&lines[6]), [json!("slow/"), json!("partner"), json!("rate")]);

    let listening = service.logged("listening", LOGS_WITHIN).await;
    let metrics = format!("http://{}/metrics", listening["admin_address"].as_str().unwrap());
    let scrape = testkit::http_client().get(metrics).send().await.unwrap().text().await.unwrap();
    for reason in ["unknown", "token", "disabled", "expired", "method", "rate"] {
        let series = format!("scoring_auth_refusals_total{{reason=\"{reason}\"}} 1\n");
        assert!(scrape.contains(&series), "{series}{scrape}");
    }
    for (partner, method, code) in
        [("slow/", "online_score", 429), ("off/", "online_score", 403), ("narrow/", "other", 422)]
    {
        let series = format!(
            "scoring_partner_calls_total{{code=\"{code}\",method=\"{method}\",partner=\"{partner}\"}} 1\n"
        );
        assert!(scrape.contains(&series), "{series}{scrape}");
    }
    assert!(!scrape.contains("stranger"), "only registered partners are labels");
}

const BAD: &str = "[[partner]]
account = \"a\"
login = \"admin\"
tokens = [{ sha256 = \"hunter2\" }]
[[partner]]
account = 1
login = \"b\"
tokens = []
rate = \"fast\"
";

#[rstest]
#[case::at_the_start(true)]
#[case::at_a_reload(false)]
#[tokio::test]
async fn each_fault_of_a_bad_file_is_named_and_nothing_changes(#[case] at_the_start: bool) {
    let expected = [
        "p.toml:3: partner[1].login: is the admin's",
        "p.toml:4: partner[1].tokens[1].sha256: must be 64 hex digits",
        "p.toml:6: partner[2].account: expected a string, got an integer",
        "p.toml:8: partner[2].tokens: must be 1 to 2 tokens, got 0",
        "p.toml:9: partner[2].rate: expected a rate such as",
    ];
    let sandbox = Sandbox::new();
    let said: Vec<String> = if at_the_start {
        sandbox.write("p.toml", BAD);
        let ended =
            sandbox.run(&["--set", "auth.partners_file=p.toml", "--set", "http.bind=127.0.0.1:0"]).await;
        ended.failed(2).into_iter().map(str::to_owned).collect()
    } else {
        let token = register(&sandbox, "acme", "shop").await;
        let (service, address) = serve(&sandbox, &[]).await;
        sandbox.write("p.toml", BAD);
        service.signal(Signal::HUP);
        eventually(LOGS_WITHIN, "it is refused", async || {
            service.out().matches(KEPT).count() == expected.len()
        })
        .await;
        assert_eq!(status(&address, "acme", "shop", &token).await, 200);
        let lines = service.out();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["message"] == KEPT)
            .map(|line| line["error"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[rstest]
#[case::missing(None, "p.toml: cannot be read: ")]
#[case::empty(Some(""), "p.toml: has no [[partner]], so it may have been cut")]
#[case::half_written(
    Some("[[partner]]\naccount = \"a\"\nlogin = \"b\"\ntokens = [{ sha2"),
    "p.toml:4: partner[1]: not valid TOML"
)]
#[tokio::test]
async fn a_file_that_is_not_whole_stops_the_start(#[case] text: Option<&str>, #[case] error: &str) {
    let sandbox = Sandbox::new();
    if let Some(text) = text {
        sandbox.write("p.toml", text);
    }
    let ended = sandbox.run(&["check-config", "--set", "auth.partners_file=p.toml"]).await;
    let lines = ended.failed(2);
    assert!(lines[0].starts_with(error), "{lines:?}");
}

#[tokio::test]
async fn without_shared_salt_and_file_only_the_admin_could_call() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["check-config", "--set", "auth.shared_salt=false"]).await;
    let error = "--set: auth.shared_salt: auth.shared_salt = false needs auth.partners_file; without both, only the admin could call";
    assert_eq!(ended.failed(2), [error]);
}

#[tokio::test]
async fn sighup_applies_the_rate_of_accounts_and_names_the_partners() {
    let sandbox = Sandbox::new();
    let token = register(&sandbox, "acme", "shop").await;
    sandbox.write("x.toml", "[auth]\npartners_file = \"p.toml\"\n[store]\nurl = \"memory:\"\n");
    let (service, address) = sandbox.serve(&["--config", "x.toml"]).await;
    for _ in 0..3 {
        assert_eq!(status(&address, "acme", "shop", &token).await, 200);
    }
    register(&sandbox, "other", "shop").await;
    let config =
        "[auth]\npartners_file = \"p.toml\"\n[store]\nurl = \"memory:\"\n[limits]\naccount_rate = \"1/h\"\n";
    sandbox.write("x.toml", config);
    reload(&service).await;
    let act = service.logged("settings reloaded", LOGS_WITHIN).await;
    assert_eq!(act["target"], "scoring_api::audit");
    assert_eq!(
        (&act["changed"], &act["partners"]),
        (&json!("auth.partners_file limits.account_rate"), &json!(2))
    );
    assert_eq!(act["partners_digest"].as_str().unwrap().len(), 16);
    let statuses =
        [status(&address, "acme", "shop", &token).await, status(&address, "acme", "shop", &token).await];
    assert_eq!(statuses, [200, 429]);
    // Another reload does not give it a new burst.
    reload(&service).await;
    assert_eq!(status(&address, "acme", "shop", &token).await, 429);
}

/// The service explains scores, but only to those whose entry allows it.
#[tokio::test]
async fn a_partner_gets_reasons_only_if_its_entry_allows_it() {
    let sandbox = Sandbox::new();
    let token = register(&sandbox, "acme", "shop").await;
    let (service, address) = serve(&sandbox, &["scoring.explain=true"]).await;
    let mut body: Value = serde_json::from_str(&request("acme", "shop", &token, "online_score")).unwrap();
    body["arguments"]["explain"] = true.into();
    let explained = async || answer(&address, &body.to_string()).await.1.contains("reasons");
    assert!(!explained().await);
    let mut by_salt = body.clone();
    by_salt["account"] = "other".into();
    let (code, text) = answer(&address, &sign(by_salt).to_string()).await;
    assert!(code == 200 && text.contains("reasons"), "{code} {text}");
    let entry = fs::read_to_string(sandbox.path("p.toml")).unwrap();
    sandbox.write("p.toml", entry.replace("login = \"shop\"", "login = \"shop\"\nexplain = true"));
    service.signal(Signal::HUP);
    eventually(LOGS_WITHIN, "the entry allows it", explained).await;
}
