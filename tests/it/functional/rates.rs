//! How often one account, and one client address, may call.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use testkit::{Reply, TestApp, Wire, call, sign};

fn is_too_many(reply: &Reply) {
    assert_eq!((reply.status, reply.error()), (429, "Too Many Requests"));
    // Three an hour: the next one is due in 20 minutes.
    let wait: u64 = reply.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert!(reply.headers.contains_key("x-request-id"));
}

fn of(account: &str, login: &str) -> String {
    let person = json!({"gender": 1, "birthday": "01.01.2000"});
    sign(json!({"account": account, "login": login, "method": "online_score", "arguments": person}))
        .to_string()
}

#[tokio::test]
async fn an_account_that_calls_too_often_is_429_and_others_are_not() {
    let app = TestApp::with_settings(&["limits.account_rate=3/h"]).await;
    // A caller without a token cannot use up a partner's rate.
    let mut forged: Value = serde_json::from_str(&of("a", "b")).unwrap();
    forged["token"] = "".into();
    for _ in 0..5 {
        assert_eq!(app.post(forged.to_string()).await.status, 403);
    }
    for _ in 0..3 {
        assert_eq!(app.post(of("a", "b")).await.status, 200);
    }
    is_too_many(&app.post(of("a", "b")).await);
    // Its token is that of account "a" and login "b" as well.
    is_too_many(&app.post(of("ab", "")).await);
    assert_eq!(app.post(of("a", "another login")).await.status, 200);
    assert_eq!(app.post(of("another account", "b")).await.status, 200);
    for _ in 0..5 {
        assert_eq!(app.post(of("a", "admin")).await.status, 200, "the admin's calls do not count");
    }
    assert_eq!(app.metric(r#"scoring_requests_shed_total{reason="account_rate"}"#).await, 2.0);
}

#[tokio::test]
async fn an_address_that_calls_too_often_is_429_for_any_request() {
    let app = TestApp::with_settings(&["limits.address_rate=3/h"]).await;
    assert_eq!(app.post(of("a", "b")).await.status, 200);
    assert_eq!(app.post("no JSON").await.status, 400);
    assert_eq!(app.send(app.request(Method::GET, "/nowhere")).await.status, 404);
    is_too_many(&app.post(of("a", "b")).await);
    let forwarded = app.request(Method::POST, "/method").header("x-forwarded-for", "203.0.113.5");
    is_too_many(&app.send(forwarded.body(of("a", "b"))).await);
    // Before its body is waited for.
    let mut wire = Wire::to(app.address()).await;
    wire.send("POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n").await.unwrap();
    is_too_many(&wire.answer().await);
    assert_eq!(app.metric(r#"scoring_requests_shed_total{reason="address_rate"}"#).await, 3.0);
    assert_eq!(app.metric(r#"scoring_http_requests_total{code="429",method="other"}"#).await, 3.0);
}

#[rstest]
#[case::address("127.0.0.1")]
#[case::among_networks("10.0.0.0/8, 127.0.0.0/8")]
#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_a_rate_of_its_own(#[case] proxies: &str) {
    let proxies = format!("http.trusted_proxies={proxies}");
    let app = TestApp::with_settings(&["limits.address_rate=3/h", &proxies]).await;
    let from = async |client: &str| {
        let request = app.request(Method::POST, "/method").header("x-forwarded-for", client);
        app.send(request.body(of("a", "b"))).await
    };
    for forged in ["1.1.1.1", "2.2.2.2", "3.3.3.3"] {
        assert_eq!(from(&format!("{forged}, 203.0.113.5")).await.status, 200);
    }
    is_too_many(&from("4.4.4.4, 203.0.113.5").await);
    assert_eq!(from("203.0.113.6").await.status, 200);
}

/// The service counts each client by itself, however odd the header, and leaves the proxy its own rate.
#[rstest]
#[case::no_text(&["\u{ff}\u{fe}, 203.0.113.5"])]
#[case::no_text_in_another_header(&["\u{ff}\u{fe}", "203.0.113.5"])]
#[case::empty_elements(&[", 203.0.113.5, ,"])]
#[case::empty_header_behind(&["203.0.113.5", ""])]
#[case::brackets(&["[2001:db8::5]"])]
#[case::a_word(&["evil, unknown"])]
#[case::no_text_at_the_right(&["evil, \u{ff}"])]
#[tokio::test]
async fn row_61_an_odd_header_counts_for_its_client_alone(#[case] lines: &[&str]) {
    let app = TestApp::with_settings(&["limits.address_rate=3/h", "http.trusted_proxies=127.0.0.1"]).await;
    let from = async |lines: &[&str]| {
        let mut request = app.request(Method::POST, "/method");
        for line in lines {
            // Each character as one byte, so that a line need not be UTF-8.
            let bytes: Vec<u8> = line.chars().map(|character| u8::try_from(character).unwrap()).collect();
            request = request.header("x-forwarded-for", bytes);
        }
        app.send(request.body(of("a", "b"))).await
    };
    for _ in 0..3 {
        assert_eq!(from(lines).await.status, 200);
    }
    is_too_many(&from(lines).await);
    // The elements that a client puts in front change nothing.
    is_too_many(&from(&[&["198.51.100.1"], lines].concat()).await);
    for other in [&[] as &[&str], &["203.0.113.6"], &["198.51.100.1"]] {
        assert_eq!(from(other).await.status, 200);
    }
}

#[tokio::test]
async fn nothing_is_limited_unless_asked_for() {
    let app = TestApp::spawn().await;
    for _ in 0..300 {
        assert_eq!(app.post(call("online_score", json!({})).to_string()).await.status, 422);
    }
}
