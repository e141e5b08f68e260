//! Row 38: heads that mean two things, or too much.

use rstest::rstest;
use testkit::{Person, TestApp, Wire, call, post};

/// The request that a smuggler hides in a body which only one of two servers sees.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

fn head(lines: &str) -> String {
    format!("POST /method HTTP/1.1\r\nhost: x\r\n{lines}\r\n")
}

#[rstest]
#[case::both_framings(head("content-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n", 400)]
#[case::both_the_other_way_round(head("transfer-encoding: chunked\r\ncontent-length: 5\r\n") + "0\r\n\r\n", 400)]
#[case::two_lengths(head("content-length: 0\r\ncontent-length: 5\r\n"), 400)]
#[case::same_length_twice(head("content-length: 0\r\ncontent-length: 0\r\n"), 400)]
#[case::list_of_lengths(head("content-length: 0, 0\r\n"), 400)]
#[case::length_with_a_sign(head("content-length: +0\r\n"), 400)]
#[case::negative_length(head("content-length: -1\r\n"), 400)]
#[case::length_in_hex(head("content-length: 0x0\r\n"), 400)]
#[case::length_too_long_for_a_number(head(&format!("content-length: {}\r\n", "9".repeat(400))), 400)]
#[case::unknown_coding(head("transfer-encoding: xchunked\r\n") + "0\r\n\r\n", 400)]
#[case::two_codings(head("transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n", 400)]
#[case::chunked_in_http_1_0("POST /method HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".into(), 400)]
#[case::blank_before_the_colon(head("content-length : 0\r\n"), 400)]
#[case::folded_header(head("x-a: 1\r\n folded\r\n"), 400)]
#[case::nul_in_a_value(head("x-a: 1\0\r\n"), 400)]
#[case::no_host("POST /method HTTP/1.1\r\n\r\n".into(), 400)]
#[case::two_hosts(head("host: y\r\n"), 400)]
#[case::http_2("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 400)]
#[case::tls("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".into(), 400)]
#[case::no_head_at_all("hello\r\n\r\n".into(), 400)]
#[case::bad_path("GET /\u{7f} HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400)]
#[case::quote_in_a_query("GET /?a=\" HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400)]
#[case::angle_bracket_in_a_query("GET /?a=< HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400)]
#[case::letter_beyond_ascii_in_a_query("GET /?a=é HTTP/1.1\r\nhost: x\r\n\r\n".into(), 400)]
#[case::a_hundred_headers(head(&"x-a: 1\r\n".repeat(100)), 431)]
#[case::too_long_a_header(head(&format!("x-a: {}\r\n", "x".repeat(200_000))), 431)]
#[case::too_long_a_path(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000)), 431)]
#[case::a_path_of_70_000(format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000)), 400)]
#[tokio::test]
async fn row_38_a_malformed_head_ends_its_connection(
    #[case] head: String,
    #[case] status: u16,
    #[values(false, true)] after_a_request: bool,
) {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    if after_a_request {
        wire.send(post(&call("online_score", Person::full().arguments()).to_string())).await.unwrap();
        assert_eq!(wire.answer().await.score(), 5.0);
    }
    // The service may hang up before it has heard all of it.
    _ = wire.send(head + SMUGGLED).await;
    let reply = wire.answer().await;
    let error = match status {
        400 => "Bad Request: the head is malformed",
        _ => "Request Header Fields Too Large",
    };
    assert_eq!((reply.status, reply.error()), (status, error));
    assert!(reply.headers.contains_key("x-request-id"));
    assert_eq!(reply.headers["connection"], "close");
    assert!(wire.is_closed().await);
}

#[rstest]
#[case::ninety_six_headers("x-a: 1\r\n".repeat(94))]
#[case::long_header(format!("x-a: {}\r\n", "x".repeat(60_000)))]
#[tokio::test]
async fn row_38_a_head_that_just_fits_is_served(#[case] lines: String) {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(head(&format!("content-length: 2\r\n{lines}")) + "{}").await.unwrap();
    assert_eq!(wire.answer().await.status, 422);
}

/// The handler rejects a body whose chunks are malformed, and the bytes behind it are not taken for a request.
#[rstest]
#[case::no_size("zz\r\n")]
#[case::size_too_large("fffffffffffffffff\r\n")]
#[case::longer_than_it_says("1\r\nab\r\n")]
#[case::size_with_a_sign("+1\r\nx\r\n0\r\n\r\n")]
#[case::size_with_a_prefix("0x1\r\nx\r\n0\r\n\r\n")]
#[case::nothing_for_a_size("\r\nx\r\n0\r\n\r\n")]
#[case::line_feed_in_an_extension("1;a\nb\r\nx\r\n0\r\n\r\n")]
#[case::line_feed_behind_the_size("1\nx\r\n0\r\n\r\n")]
#[case::line_feed_behind_the_data("1\r\nx\n0\r\n\r\n")]
#[tokio::test]
async fn row_38_malformed_chunks_are_400(#[case] chunks: &str) {
    let app = TestApp::spawn().await;
    let mut wire = Wire::to(app.address()).await;
    wire.send(head("transfer-encoding: chunked\r\n") + chunks + SMUGGLED).await.unwrap();
    let reply = wire.answer().await;
    assert_eq!(reply.status, 400);
    assert!(reply.error().starts_with("Bad Request: "), "{reply:?}");
    assert!(reply.headers.contains_key("x-request-id"));
}
