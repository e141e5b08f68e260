//! Rows 37 and 39: bodies that JSON does not allow or that exceed our numbers, and unknown verbs.

use reqwest::Method;
use rstest::rstest;
use serde_json::json;
use testkit::{Person, TestApp, call};

fn in_a_call(from: &str, to: impl AsRef<[u8]>) -> Vec<u8> {
    let body = call("online_score", json!({"first_name": "@", "last_name": "b", "other": 1})).to_string();
    let (before, after) = body.split_once(from).unwrap();
    [before.as_bytes(), to.as_ref(), after.as_bytes()].concat()
}

fn digits() -> String {
    "9".repeat(400)
}

#[rstest]
#[case::deep_arrays("[".repeat(200_000).into(), 400)]
#[case::deep_objects(r#"{"a":"#.repeat(40_000).into(), 400)]
#[case::deep_in_an_unknown_field(in_a_call("1", "[".repeat(5_000) + &"]".repeat(5_000)), 400)]
#[case::deep_in_a_known_field(in_a_call(r#""@""#, "[".repeat(127) + &"]".repeat(127)), 400)]
#[case::repeated_key(br#"{"login": "a", "login": "a"}"#.to_vec(), 400)]
#[case::repeated_argument(in_a_call("\"other\"", "\"last_name\""), 400)]
#[case::repeated_by_an_escape(in_a_call("\"other\"", r#""last_n\u0061me""#), 400)]
#[case::repeated_in_an_unknown_field(in_a_call("1", r#"{"a": 1, "a": 2}"#), 400)]
#[case::byte_order_mark("\u{feff}{}".into(), 400)]
#[case::utf_16("{}".encode_utf16().flat_map(u16::to_le_bytes).collect(), 400)]
#[case::high_surrogate_alone(in_a_call("@", r"\ud800"), 400)]
#[case::low_surrogate_alone(in_a_call("@", r"\udc00"), 400)]
#[case::surrogates_in_the_wrong_order(in_a_call("@", r"\udc00\ud800"), 400)]
#[case::surrogate_in_an_unknown_field(in_a_call("1", r#""\ud800""#), 400)]
#[case::invalid_utf_8(in_a_call("@", b"\xff"), 400)]
#[case::surrogate_in_utf_8(in_a_call("@", b"\xed\xa0\x80"), 400)]
#[case::overlong_utf_8(in_a_call("@", b"\xc0\x80"), 400)]
#[case::broken_off_utf_8(in_a_call("@", b"\xe2\x82"), 400)]
#[case::raw_nul(in_a_call("@", b"\0"), 400)]
#[case::raw_nul_behind_it([&in_a_call("@", "a")[..], b"\0"].concat(), 400)]
#[case::escaped_nul_in_an_email(in_a_call("\"@\"", r#""a", "email": "\u0000""#), 422)]
#[case::long_integer_in_a_known_field(in_a_call("\"@\"", digits()), 422)]
#[case::huge_exponent_in_a_known_field(in_a_call("\"@\"", "1e999999999999"), 422)]
#[case::long_fraction_in_a_known_field(in_a_call("\"@\"", format!("0.{}", digits())), 422)]
#[case::beyond_64_bits_in_a_known_field(in_a_call("\"@\"", "18446744073709551616"), 422)]
#[case::not_a_number(in_a_call("1", "NaN"), 400)]
#[case::cut_off(in_a_call("}", ""), 400)]
#[case::two_values(b"{} {}".to_vec(), 400)]
#[tokio::test]
async fn row_37_a_vicious_body_is_400_or_422(#[case] body: Vec<u8>, #[case] status: u16) {
    let app = TestApp::spawn().await;
    let reply = app.post(body).await;
    assert_eq!(reply.status, status, "{reply:?}");
    assert!(!reply.error().is_empty());
    app.scores_right().await;
}

/// Unknown fields are ignored, even with a number out of range.
#[rstest]
#[case::long_integer(digits())]
#[case::long_negative_integer(format!("-{}", digits()))]
#[case::huge_exponent("1e999999999999".to_owned())]
#[tokio::test]
async fn row_37_a_number_out_of_range_in_an_unknown_field_is_ignored(#[case] number: String) {
    let app = TestApp::spawn().await;
    assert_eq!(app.post(in_a_call("1", number)).await.score(), 0.5);
}

#[rstest]
#[case::escaped_nul(in_a_call("@", r"\u0000"))]
#[case::surrogate_pair(in_a_call("@", r"\ud83d\ude00"))]
#[case::deep_but_not_too_deep(in_a_call("1", "[".repeat(100) + &"]".repeat(100)))]
#[case::tiny_exponent(in_a_call("1", "1e-999999999999"))]
#[tokio::test]
async fn row_37_an_odd_body_that_is_json_is_served(#[case] body: Vec<u8>) {
    let app = TestApp::spawn().await;
    assert_eq!(app.post(body).await.score(), 0.5);
}

#[rstest]
#[case::get("GET")]
#[case::head("HEAD")]
#[case::put("PUT")]
#[case::delete("DELETE")]
#[case::patch("PATCH")]
#[case::options("OPTIONS")]
#[case::trace("TRACE")]
#[case::web_dav("PROPFIND")]
#[case::unknown("SCORE")]
#[case::other_case("post")]
#[tokio::test]
async fn row_39_a_wrong_verb_is_405_and_at_an_unknown_path_404(#[case] verb: &str) {
    let app = TestApp::spawn().await;
    let verb: Method = verb.parse().unwrap();
    for (path, status, error) in [
        ("/method", 405, "Method Not Allowed"),
        ("/method/", 405, "Method Not Allowed"),
        ("/x", 404, "Not Found"),
    ] {
        let reply = app.send(app.request(verb.clone(), path)).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.headers.contains_key("x-request-id"));
        assert_eq!(reply.headers.get("allow").is_some(), status == 405, "{reply:?}");
        // The answer to HEAD is one without a body.
        if verb != Method::HEAD {
            assert_eq!(reply.error(), error);
        }
    }
    assert_eq!(app.online_score(&Person::full()).await.score(), 5.0);
}

#[rstest]
#[case::connect("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n")]
#[case::connect_to_a_known_path("CONNECT /method HTTP/1.1\r\nhost: x\r\n\r\n")]
#[case::options_of_the_server("OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n")]
#[case::through_a_proxy("GET http://example.com/ HTTP/1.1\r\nhost: example.com\r\n\r\n")]
#[case::web_socket("GET /method HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")]
#[case::dots("GET /method/../x HTTP/1.1\r\nhost: x\r\n\r\n")]
#[tokio::test]
async fn row_39_requests_for_a_proxy_are_rejected_as_an_envelope(#[case] request: &str) {
    let app = TestApp::spawn().await;
    let mut wire = testkit::Wire::to(app.address()).await;
    wire.send(request).await.unwrap();
    let reply = wire.answer().await;
    assert!([400, 404, 405].contains(&reply.status), "{reply:?}");
    assert!(!reply.error().is_empty());
    assert!(reply.headers.contains_key("x-request-id"));
}
