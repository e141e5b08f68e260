//! Checks that a contender answers according to the contract: the official cases, and more cases that they leave open.
//!
//! Rust contenders with scores only get the cases of `online_score`; the floor gets no cases.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use testkit::{
    bench::client::{Answer, Connection},
    call, sign,
};

use crate::{
    contenders::{Contender, DIRECT, PURE, Store},
    server::Server,
    workloads::{CLIENTS, interests_of},
};

const OFFICIAL: &str = include_str!("../../tests/it/official.json");

const FULL: &str = r#"{"phone":79175002040,"email":"a@b","first_name":"a","last_name":"b","birthday":"1.1.1990","gender":1}"#;

/// Arguments, and the result or the faulty fields.
type Case<T> = (&'static str, Result<T, &'static [&'static str]>);

/// Arguments of `online_score`, and the score or the faulty fields.
const SCORES: &[Case<f64>] = &[
    (FULL, Ok(5.0)),
    (r#"{"phone":"79175002040","email":"a@b"}"#, Ok(3.0)),
    (r#"{"phone":"","email":null,"first_name":"ж","last_name":"\u0436"}"#, Ok(0.5)),
    (r#"{"gender":0,"birthday":"29.02.1960"}"#, Ok(0.0)),
    (r#"{"gender":2,"birthday":"01.1.2000","other":[{"a":1.5}]}"#, Ok(1.5)),
    (r#"{"phone":"89175002040","email":"stupnikov","gender":3}"#, Err(&["phone", "email", "gender"])),
    (r#"{"phone":79175002040.0,"email":["a@b"]}"#, Err(&["phone", "email"])),
    (r#"{"phone":"７9175002040","email":"a@b"}"#, Err(&["phone"])),
    (r#"{"phone":"79175002040\n","email":"a@b"}"#, Err(&["phone"])),
    (r#"{"first_name":1,"last_name":{}}"#, Err(&["first_name", "last_name"])),
    (r#"{"gender":true,"birthday":"30.02.2000"}"#, Err(&["gender", "birthday"])),
    (r#"{"gender":1.0,"birthday":"01.01.1890"}"#, Err(&["gender", "birthday"])),
    (r#"{"gender":"1","birthday":"01.01.2990"}"#, Err(&["gender", "birthday"])),
    (r#"{"gender":1,"birthday":20000101}"#, Err(&["birthday"])),
    (r#"{"phone":"79175002040","last_name":"a"}"#, Err(&["arguments"])),
];

/// Arguments of `clients_interests`, and the ids or the faulty fields.
const INTERESTS: &[Case<&[i64]>] = &[
    (r#"{"client_ids":[1,2,1]}"#, Ok(&[1, 2])),
    (r#"{"client_ids":[9223372036854775807,-1,0],"date":null}"#, Ok(&[i64::MAX, -1, 0])),
    (r#"{"client_ids":[3],"date":"1.01.0001"}"#, Ok(&[3])),
    (r#"{"client_ids":[],"date":"2000-01-01"}"#, Err(&["client_ids", "date"])),
    (r#"{"client_ids":[1,true]}"#, Err(&["client_ids"])),
    (r#"{"client_ids":[1,1.0]}"#, Err(&["client_ids"])),
    (r#"{"client_ids":[9223372036854775808]}"#, Err(&["client_ids"])),
    (r#"{"client_ids":{"1":2}}"#, Err(&["client_ids"])),
    (r#"{"client_ids":null,"date":5}"#, Err(&["client_ids", "date"])),
    ("{}", Err(&["client_ids"])),
];

/// Whole bodies that are refused before the token is checked, and the code.
const BODIES: &[(&[u8], u16)] = &[
    (b"", 400),
    (b" ", 400),
    (b"{", 400),
    (b"{} {}", 400),
    (b"\xef\xbb\xbf{}", 400),
    (b"{\"login\":\"\xff\"}", 400),
    (b"{\"login\":\"\\ud800\"}", 400),
    (b"{\"login\":NaN}", 400),
    (b"{\"a\":{\"b\":1,\"b\":1}}", 400),
    (b"null", 422),
    (b"[1]", 422),
    (b"{}", 422),
    (br#"{"login":"","token":"","method":"online_score","arguments":[]}"#, 422),
    (br#"{"login":null,"token":null,"method":"online_score","arguments":null}"#, 403),
    (br#"{"login":"admin","token":"\u0436","method":"none","arguments":{}}"#, 403),
];

/// Panics if `contender` answers otherwise.
pub async fn check(contender: &Contender, server: &Server) {
    let who = contender.id;
    let scores_only = who == PURE || who == DIRECT;
    if !contender.is_whole() && !scores_only {
        return;
    }
    // While a service's Redis is down, only scores are right.
    let scores_only = scores_only || matches!(contender.store, Store::Dead | Store::Frozen);
    official(who, server, scores_only).await;
    // Twice: the second time from the cache, if there is one.
    for (arguments, expected) in SCORES.iter().chain(SCORES) {
        let arguments: &str = arguments;
        let answer = post(server, &signed("online_score", arguments)).await;
        match expected {
            Ok(score) => assert_score(who, arguments, &answer, *score),
            Err(fields) => assert_refused(who, arguments, &answer, fields),
        }
    }
    let admin = sign(
        json!({ "login": "admin", "method": "online_score", "arguments": { "gender": 0, "birthday": "1.1.2000" } }),
    );
    assert_score(who, "admin", &post(server, &admin.to_string()).await, 42.0);
    for (body, code) in BODIES {
        let answer = post_bytes(server, body).await;
        assert_eq!(answer.0, *code, "{who}: {:?}: {}", String::from_utf8_lossy(body), answer.1);
        assert_eq!(answer.1["code"], *code, "{who}");
    }
    if scores_only {
        return;
    }
    for (arguments, expected) in INTERESTS {
        let answer = post(server, &signed("clients_interests", arguments)).await;
        match expected {
            Ok(ids) => assert_eq!(answer, found(&interests(ids)), "{who}: {arguments}"),
            Err(fields) => assert_refused(who, arguments, &answer, fields),
        }
    }
    let ids = |count: i64| format!(r#"{{"client_ids":{:?}}}"#, (1..=count).collect::<Vec<_>>());
    let most: Vec<_> = (1..=10_000).collect();
    assert!(
        post(server, &signed("clients_interests", &ids(10_000))).await == found(&interests(&most)),
        "{who}: 10,000"
    );
    let over = post(server, &signed("clients_interests", &ids(10_001))).await;
    assert_refused(who, "10,001 ids", &over, &["client_ids"]);
    http(who, server).await;
}

async fn official(who: &str, server: &Server, scores_only: bool) {
    let suite: Value = serde_json::from_str(OFFICIAL).unwrap();
    for case in suite["cases"].as_array().unwrap() {
        let mut request = case["request"].clone();
        if scores_only && request["method"] == "clients_interests" {
            continue;
        }
        if request["arguments"]["date"] == "@today" {
            request["arguments"]["date"] = scoring_api::wall_clock::now()
                .with_timezone(&chrono::Local)
                .format("%d.%m.%Y")
                .to_string()
                .into();
        }
        let request = match case["token"].as_str() {
            Some("valid") => sign(request),
            Some(literal) => {
                request["token"] = literal.into();
                request
            }
            None => request,
        };
        let (name, expect) = (&case["name"], &case["expect"]);
        let (code, body) = post(server, &request.to_string()).await;
        assert_eq!(
            (&json!(code), &body["code"]),
            (&expect["code"], &expect["code"]),
            "{who}, {name}: {body}"
        );
        if code != 200 {
            assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{who}, {name}: {body}");
        }
        if !expect["response"].is_null() {
            assert_eq!(body["response"], expect["response"], "{who}, {name}");
        }
        if let Some(nclients) = expect["nclients"].as_u64() {
            let answer = body["response"].as_object().unwrap();
            assert_eq!(answer.len() as u64, nclients, "{who}, {name}: {body}");
        }
    }
}

/// HTTP behaviour outside bodies.
async fn http(who: &str, server: &Server) {
    let body = signed("online_score", FULL);
    let headers = format!("host: api\r\nx-request-id: mine\r\ncontent-length: {}", body.len());
    let answer = exchange(server, &format!("POST /method/?a=b HTTP/1.1\r\n{headers}\r\n\r\n{body}")).await;
    assert_score(who, "with a query", &(answer.code, answer.json()), 5.0);
    assert_eq!(answer.header("x-request-id"), Some("mine"), "{who}");
    let answer = exchange(server, "GET /method HTTP/1.1\r\nhost: api\r\n\r\n").await;
    assert!(answer.is_error(405, "Method Not Allowed"), "{who}: {answer:?}");
    assert_eq!(answer.header("allow"), Some("post"), "{who}: headers are read in small letters");
    let answer = exchange(server, &format!("POST /other HTTP/1.1\r\n{headers}\r\n\r\n{body}")).await;
    assert!(answer.is_error(404, "Not Found"), "{who}: {answer:?}");
    let answer =
        exchange(server, "POST /method HTTP/1.1\r\nhost: api\r\ncontent-length: 300000\r\n\r\n").await;
    assert_eq!(answer.code, 413, "{who}: {answer:?}");
}

fn signed(method: &str, arguments: &str) -> String {
    // As text, since serde_json would format numbers differently.
    call(method, json!("@")).to_string().replacen("\"@\"", arguments, 1)
}

fn found(response: &Value) -> (u16, Value) {
    (200, json!({ "code": 200, "response": response }))
}

fn interests(ids: &[i64]) -> Value {
    let of = |&id: &i64| {
        let stored = if (1..=CLIENTS).contains(&id) { json!(interests_of(id)) } else { json!([]) };
        (id.to_string(), stored)
    };
    ids.iter().map(of).collect::<Map<_, _>>().into()
}

/// As a number: JavaScript writes 5 where others write 5.0.
fn assert_score(who: &str, what: &str, (code, body): &(u16, Value), score: f64) {
    let told = body["response"]["score"].as_f64();
    assert_eq!((*code, &body["code"], told), (200, &json!(200), Some(score)), "{who}: {what}: {body}");
}

/// The answer must be 422 and name exactly these fields, each with a reason, in any order.
fn assert_refused(who: &str, what: &str, (code, body): &(u16, Value), fields: &[&str]) {
    let text = body["error"].as_str().unwrap_or_default();
    let named: BTreeSet<_> = text.split("; ").filter_map(|fault| Some(fault.split_once(": ")?.0)).collect();
    assert_eq!((*code, named), (422, fields.iter().copied().collect()), "{who}: {what}: {body}");
}

async fn post(server: &Server, body: &str) -> (u16, Value) {
    post_bytes(server, body.as_bytes()).await
}

async fn post_bytes(server: &Server, body: &[u8]) -> (u16, Value) {
    let mut connection = Connection::open(server.target.public()).await.unwrap();
    let head = format!("POST /method HTTP/1.1\r\nhost: api\r\ncontent-length: {}\r\n\r\n", body.len());
    let answer = connection.exchange(&[head.as_bytes(), body].concat()).await.unwrap();
    (answer.code, answer.json())
}

async fn exchange(server: &Server, request: &str) -> Answer {
    let mut connection = Connection::open(server.target.public()).await.unwrap();
    connection.exchange(request.as_bytes()).await.unwrap()
}
