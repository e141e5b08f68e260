//! TLS on the public listener: its clients are served like others, and all limits apply inside it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rstest::rstest;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use testkit::{Certificate, Person, SLACK, TestApp, Wire, call, eventually, in_time, post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HEAD_TIMEOUT: Duration = Duration::from_millis(500);

struct Secure {
    app: TestApp,
    certificate: Certificate,
    folder: TempDir,
}

impl Secure {
    async fn spawn() -> Self {
        Self::with(&["http.head_timeout=500ms", "http.body_timeout=500ms", "http.body_limit=2KiB"]).await
    }

    async fn with(settings: &[&str]) -> Self {
        let (certificate, folder) = (Certificate::new(), tempfile::tempdir().unwrap());
        let [cert, key] = certificate.write(folder.path());
        let app = TestApp::with_settings(&[&[cert.as_str(), &key], settings].concat()).await;
        Self { app, certificate, folder }
    }

    /// A client that has connected and said nothing yet, which the service knows.
    async fn silent(&self) -> TcpStream {
        let silent = TcpStream::connect(self.address()).await.unwrap();
        eventually(Duration::from_secs(10), "the handshake is waited for", async || {
            self.app.metric("scoring_tls_handshakes_in_progress").await == 1.0
        })
        .await;
        silent
    }

    fn address(&self) -> SocketAddr {
        self.app.address()
    }

    async fn wire(&self) -> Wire {
        Wire::to_tls(self.address(), &self.certificate).await.unwrap()
    }
}

fn a_call() -> String {
    post(&call("online_score", Person::full().arguments()).to_string())
}

async fn is_served(wire: &mut Wire) {
    wire.send(a_call()).await.unwrap();
    assert_eq!(wire.answer().await.score(), 5.0);
}

#[rstest]
#[case::tls_1_2(&TLS12, &[])]
#[case::tls_1_3(&TLS13, &[])]
#[case::http_1_1_by_name(&TLS13, &[b"h2".as_slice(), b"http/1.1"])]
#[tokio::test]
async fn calls_are_answered_over_tls(
    #[case] version: &'static rustls::SupportedProtocolVersion,
    #[case] protocols: &[&[u8]],
) {
    let secure = Secure::spawn().await;
    let mut client = secure.certificate.client_of(&[version]);
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let mut wire = Wire::to_tls_with(secure.address(), client).await.unwrap();
    for _ in 0..3 {
        is_served(&mut wire).await;
    }
}

#[tokio::test]
async fn a_client_that_speaks_no_http_1_1_is_refused_in_the_handshake() {
    let secure = Secure::spawn().await;
    let mut client = secure.certificate.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let refused = Wire::to_tls_with(secure.address(), client).await.err().unwrap();
    assert!(refused.to_string().to_lowercase().contains("applicationprotocol"), "{refused}");
}

/// An alert, the end, and no reset.
#[tokio::test]
async fn a_client_that_speaks_no_tls_is_told_and_hung_up_on() {
    let secure = Secure::spawn().await;
    let mut plain = TcpStream::connect(secure.address()).await.unwrap();
    // More than is read before it is known to be no TLS.
    plain.write_all(post(&" ".repeat(100_000)).as_bytes()).await.unwrap();
    let mut said = Vec::new();
    in_time(HEAD_TIMEOUT * SLACK, plain.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(said.first(), Some(&0x15), "{said:?}");
    is_served(&mut secure.wire().await).await;
}

#[rstest]
#[case::never_begins(b"")]
#[case::never_goes_on(b"\x16\x03\x01\x02\x00\x01")]
#[tokio::test]
async fn row_35_a_handshake_that_never_ends_is_hung_up_on(#[case] half: &[u8]) {
    let secure = Secure::spawn().await;
    let begun = Instant::now();
    let mut plain = TcpStream::connect(secure.address()).await.unwrap();
    plain.write_all(half).await.unwrap();
    let mut said = Vec::new();
    _ = in_time(HEAD_TIMEOUT * SLACK, plain.read_to_end(&mut said)).await.expect("the end");
    assert!(begun.elapsed() >= HEAD_TIMEOUT / 2, "{:?}", begun.elapsed());
}

/// And it is a good end: had it been called a failure, the service of this test would end by a panic.
#[tokio::test]
async fn row_42_a_silent_client_delays_the_end_for_the_drain_at_most() {
    let secure = Secure::with(&["http.head_timeout=10m", "shutdown.drain=1s"]).await;
    let _silent = secure.silent().await;
    secure.app.stop();
    eventually(Duration::from_secs(2) * SLACK, "the service has ended", async || {
        secure.app.try_send(secure.app.admin_request(reqwest::Method::GET, "/healthz")).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn row_42_a_client_in_its_handshake_at_closing_is_served() {
    let secure = Secure::with(&["http.head_timeout=10m", "shutdown.drain=1m"]).await;
    let silent = secure.silent().await;
    secure.app.stop();
    eventually(Duration::from_secs(10), "nobody else gets in", async || {
        TcpStream::connect(secure.address()).await.is_err()
    })
    .await;
    // Longer than an idle service waits at its end.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) {
        assert_eq!(secure.app.admin("/healthz").await.status, 200);
    }
    is_served(&mut Wire::shake_hands(silent, secure.certificate.client()).await.unwrap()).await;
}

#[rstest]
#[case::row_35_first_head(0, "POST /meth", 408, "Request Timeout")]
#[case::row_35_later_head(2, "POST /meth", 408, "Request Timeout")]
#[case::row_35_body(
    1,
    "POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
    408,
    "Request Timeout"
)]
#[case::row_36_body(
    1,
    "POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 4096\r\n\r\n",
    413,
    "Payload Too Large"
)]
#[case::row_38_head(
    1,
    "POST /method HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    400,
    "Bad Request: the head is malformed"
)]
#[tokio::test]
async fn rejections_are_the_same_over_tls(
    #[case] before: usize,
    #[case] request: &str,
    #[case] status: u16,
    #[case] error: &str,
) {
    let secure = Secure::spawn().await;
    let mut wire = secure.wire().await;
    for _ in 0..before {
        is_served(&mut wire).await;
    }
    wire.send(request).await.unwrap();
    let reply = wire.answer().await;
    assert_eq!((reply.status, reply.error()), (status, error));
    assert!(reply.headers.contains_key("x-request-id"));
    assert_eq!(reply.headers["connection"], "close");
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn row_36_an_endless_body_is_413_over_tls_and_hardly_read() {
    let secure = Secure::spawn().await;
    let mut wire = secure.wire().await;
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    wire.send("POST /method HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
    wire.send(&chunk).await.unwrap();
    assert_eq!(wire.answer().await.status, 413);
    let mut sent = 0;
    while wire.send(&chunk).await.is_ok() {
        sent += chunk.len();
        assert!(sent < 192 << 20, "it takes all that is sent");
    }
}

#[tokio::test]
async fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
    let mut secure = Secure::spawn().await;
    let mut old = secure.wire().await;
    is_served(&mut old).await;

    let next = Certificate::new();
    next.write(secure.folder.path());
    eventually(Duration::from_secs(10), "the new certificate is shown", async || {
        Wire::to_tls(secure.address(), &next).await.is_ok()
    })
    .await;
    assert!(Wire::to_tls(secure.address(), &secure.certificate).await.is_err());
    secure.certificate = next;

    std::fs::write(secure.folder.path().join("cert.pem"), "no certificate").unwrap();
    // For longer than it takes to notice, handshakes go on as before.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        is_served(&mut secure.wire().await).await;
    }
    let last = Certificate::new();
    last.write(secure.folder.path());
    eventually(Duration::from_secs(10), "the next certificate is shown", async || {
        Wire::to_tls(secure.address(), &last).await.is_ok()
    })
    .await;
}
