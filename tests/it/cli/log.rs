//! The log: one line for each call, with its context, and nothing of the person's or of the secrets.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::{Value, json};
use testkit::{ReservedPort, Wire, call, eventually, sign};

use super::process::Sandbox;
use crate::functional::official::{CASES, request};

/// Posts all bodies in turn to a service with these log options, ends it, and returns its log.
async fn logged(bodies: &[String], options: &[&str]) -> String {
    let sandbox = Sandbox::new();
    let mut arguments = vec!["serve", "--set", "shutdown.grace=0s"];
    arguments.extend(options);
    let (service, address) = sandbox.serve(&arguments).await;
    let client = testkit::http_client();
    for (number, body) in bodies.iter().enumerate() {
        let url = format!("http://{address}/method");
        client.post(url).header("x-request-id", number.to_string()).body(body.clone()).send().await.unwrap();
    }
    drop(client);
    service.signal(Signal::TERM);
    service.ended().await.succeeded().to_owned()
}

#[tokio::test]
async fn every_official_case_is_one_line_with_its_context() {
    let suite: Value = serde_json::from_str(CASES).unwrap();
    let cases = suite["cases"].as_array().unwrap();
    let bodies: Vec<_> = cases.iter().map(|case| request(case).to_string()).collect();
    let log = logged(&bodies, &[]).await;
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &Value| line["message"] == "call")
        .collect();
    assert_eq!(lines.len(), cases.len());
    for (number, (line, case)) in lines.iter().zip(cases).enumerate() {
        let name = &case["name"];
        assert_eq!(line["request_id"], number.to_string(), "{name}");
        assert_eq!(line["code"], case["expect"]["code"], "{name}");
        assert!(line["duration"].as_f64().unwrap() > 0.0, "{name}");
        // Only an envelope that was read tells whose call it is.
        if case["expect"]["code"] == 200 {
            assert_eq!(line["account"], case["request"]["account"], "{name}");
            assert_eq!(line["method"], case["request"]["method"], "{name}");
        }
        if let Some(has) = case["expect"]["has"].as_array() {
            let mut logged: Vec<_> = line["has"].as_str().unwrap().split(',').collect();
            logged.sort_unstable();
            assert_eq!(json!(logged), json!(has), "{name}");
        }
        if !case["expect"]["nclients"].is_null() {
            assert_eq!(line["nclients"], case["expect"]["nclients"], "{name}");
        }
    }
}

/// A client's address is personal data, so the line does not contain it.
#[tokio::test]
async fn a_rejected_address_is_one_log_line_without_the_address() {
    let bodies = [sign(json!({})).to_string(), "no JSON".to_owned(), "never read".to_owned()];
    let log = logged(&bodies, &["--set", "limits.address_rate=2/h"]).await;
    let lines = log.lines().filter(|line| line.contains(r#""message":"call""#));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), bodies.len());
    let refused = &lines[2];
    let expected = (&json!("2"), &json!(429), &json!("other"), &json!(""));
    assert_eq!((&refused["request_id"], &refused["code"], &refused["method"], &refused["account"]), expected);
    assert!(refused["duration"].as_f64().unwrap() > 0.0);
    assert!(!refused.to_string().contains("127.0.0.1"), "{refused}");
}

#[rstest]
#[case::public(false)]
#[case::operators(true)]
#[tokio::test]
async fn row_60_refused_heads_are_counted_and_logged_in_few_lines(#[case] operators: bool) {
    const HEADS: usize = 300;
    let sandbox = Sandbox::new();
    let admin = ReservedPort::new();
    let bind = format!("admin.bind={}", admin.addr());
    let (service, address) = sandbox.serve(&["serve", "--set", "shutdown.grace=0s", "--set", &bind]).await;
    let address: SocketAddr = if operators { admin.addr() } else { address.parse().unwrap() };
    let mut ids = HashSet::new();
    for number in 0..HEADS {
        let mut wire = Wire::to(address).await;
        let bad = ["hello\r\n\r\n", "GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\nhello\r\n\r\n"][number % 2];
        wire.send(bad).await.unwrap();
        if number % 2 == 1 {
            wire.answer().await;
        }
        let refused = wire.answer().await;
        assert_eq!(refused.status, 400);
        ids.insert(refused.headers["x-request-id"].to_str().unwrap().to_owned());
    }
    let scraped =
        testkit::http_client().get(format!("http://{}/metrics", admin.addr())).send().await.unwrap();
    let counted = format!("scoring_http_requests_total{{code=\"400\",method=\"other\"}} {HEADS}\n");
    assert!(scraped.text().await.unwrap().contains(&counted));

    let lines = || -> Vec<Value> {
        let log = service.out();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let refused = |lines: &[Value]| lines.iter().filter(|line| line["message"] == "head refused").count();
    let left_out = |lines: &[Value]| lines.iter().filter_map(|line| line["left_out"].as_u64()).sum::<u64>();
    eventually(Duration::from_secs(20), "each is in a line, or among those left out", async || {
        refused(&lines()) as u64 + left_out(&lines()) == HEADS as u64
    })
    .await;
    let lines = lines();
    assert!(refused(&lines) > 0);
    assert!(left_out(&lines) > 0, "{lines:?}");
    for line in lines.iter().filter(|line| line["message"] == "head refused") {
        assert_eq!(
            (&line["level"], &line["code"], &line["method"]),
            (&json!("INFO"), &json!(400), &json!("other"))
        );
        assert!(ids.remove(line["request_id"].as_str().unwrap()), "{line}");
    }
    assert!(!service.out().contains("actix_http"), "{}", service.out());
}

/// A call that is refused for its arguments has a context as well.
#[rstest]
#[case::a_score(call("online_score", json!({"gender": 5, "phone": 1})), "has", json!("phone,gender"))]
#[case::interests(call("clients_interests", json!({"client_ids": [1, 2, 2], "date": "x"})), "nclients", json!(3))]
#[tokio::test]
async fn a_refused_calls_context_is_logged(#[case] body: Value, #[case] field: &str, #[case] value: Value) {
    let log = logged(&[body.to_string()], &[]).await;
    let line = log.lines().find(|line| line.contains(r#""message":"call""#)).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["code"], &line[field]), (&json!(422), &value));
}

/// The names of the fields, and never their values.
#[rstest]
#[case::arguments(call("online_score", json!({"gender": 5, "phone": "secret"})), json!("phone,gender,arguments"))]
#[case::no_pair(call("online_score", json!({"phone": "79175002040"})), json!("arguments"))]
#[case::envelope(json!({"login": 5}), json!("login,token,arguments,method"))]
#[case::method(call("no such method", json!({})), json!("method"))]
#[tokio::test]
async fn a_refused_calls_line_has_its_reason_and_the_fields_at_fault(
    #[case] body: Value,
    #[case] fields: Value,
) {
    let log = logged(&[body.to_string(), "no JSON".to_owned()], &[]).await;
    let lines = log.lines().filter(|line| line.contains(r#""message":"call""#));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |line: &Value| (line["code"].clone(), line["reason"].clone(), line["fields"].clone());
    assert_eq!(of(&lines[0]), (json!(422), json!("invalid"), fields));
    assert_eq!(of(&lines[1]), (json!(400), json!("bad_request"), Value::Null));
    assert!(!log.contains("secret"), "{log}");
}

#[rstest]
#[case::as_json("json")]
#[case::for_people("pretty")]
#[tokio::test]
async fn nothing_of_the_person_and_no_secret_is_logged_at_any_level(#[case] format: &str) {
    let person = json!({
        "phone": "79161234567", "email": "private@example.com", "first_name": "Melchior", "last_name": "Balthasar",
        "birthday": "24.12.1999", "gender": 1,
    });
    let mut broken = person.clone();
    broken["phone"] = "89161234567".into();
    let bodies = [
        call("online_score", person.clone()),
        call("online_score", broken),
        sign(json!({"login": "admin", "method": "online_score", "arguments": person})),
        json!({"login": "Melchior", "token": "private@example.com", "method": "79161234567", "arguments": {}}),
    ];
    let tokens: Vec<_> = bodies.iter().map(|body| body["token"].as_str().unwrap().to_owned()).collect();
    let bodies: Vec<_> = bodies.iter().map(ToString::to_string).collect();
    let (format, salt) = (format!("log.format={format}"), "auth.admin_salt=saltandpepper");
    let log = logged(&bodies, &["--set", &format, "--set", "log.level=trace", "--set", salt]).await;
    assert!(log.matches("request_id").count() >= bodies.len());
    let secrets = [
        "9161234567",
        "private@",
        "Melchior",
        "Balthasar",
        "24.12.1999",
        "1999-12-24",
        "Otus",
        "saltandpepper",
    ];
    for secret in secrets.into_iter().chain(tokens.iter().map(String::as_str)) {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} stands in the log: {line:?}");
    }
}

#[tokio::test]
async fn the_log_for_people_says_each_field_once() {
    let log = logged(&[call("online_score", json!({})).to_string()], &["--set", "log.format=pretty"]).await;
    let line = log.lines().find(|line| line.contains("code=422")).unwrap();
    for field in ["request_id=", "method=", "account=", "code=", "duration="] {
        assert_eq!(line.matches(field).count(), 1, "{line}");
    }
}
