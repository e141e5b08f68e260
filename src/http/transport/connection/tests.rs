use std::{future::poll_fn, net::Ipv4Addr};

use actix_web::body::BodySize;
use prometheus::Registry;
use tempfile::tempdir;
use testkit::Certificate;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::yield_now,
    time::{advance, timeout},
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::http::{HttpMetrics, settings::TlsSettings, transport::tls::Tls};

/// A connection's two ends: the server's and the client's.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

fn accepted(stream: Stream, patience: Duration) -> ClientConnection {
    let metrics = HttpMetrics::register(&Registry::new()).unwrap();
    let open = InFlight::count(&metrics.connections("public", 1));
    let refused_heads = Arc::new(RefusedHeads::new(metrics));
    ClientConnection::new(stream, Instant::now(), patience, refused_heads, open)
}

async fn pair(patience: Duration) -> (ClientConnection, TcpStream) {
    let (server, client) = sockets().await;
    (accepted(Stream::Plain(server), patience), client)
}

/// Reads as actix does: until there is nothing more to read for now, into however much room there is.
async fn read_all(connection: &mut ClientConnection) -> usize {
    let mut room = vec![0; 1 << 20];
    let mut buf = ReadBuf::new(&mut room);
    poll_fn(|cx| {
        while Pin::new(&mut *connection).poll_read(cx, &mut buf).is_ready() {}
        Poll::Ready(())
    })
    .await;
    buf.filled().len()
}

#[actix_web::test]
async fn row_36_no_more_is_read_at_once_than_is_looked_at() {
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    client.write_all(&[b' '; 100_000]).await.unwrap();
    let mut all = 0;
    while all < 100_000 {
        client.writable().await.unwrap();
        let part = read_all(&mut connection).await;
        assert!(part <= AT_ONCE, "{part}");
        all += part;
        yield_now().await;
    }
}

/// A body that looks like a refusal, in an answer that looks like one, is the handler's own.
#[actix_web::test]
async fn row_57_only_the_servers_own_words_are_put_in_shape() {
    let bare = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let answer = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{bare}", bare.len());
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    for _ in 0..2 {
        connection
            .state()
            .begin(BodyLength::Bytes(0))
            .respond_with(BodySize::Sized(bare.len() as u64), false);
    }
    connection.write_all(format!("{answer}{answer}{bare}").as_bytes()).await.unwrap();
    drop(connection);
    let mut seen = String::new();
    client.read_to_string(&mut seen).await.unwrap();
    let refusal = seen.strip_prefix(&format!("{answer}{answer}")).unwrap();
    assert!(refusal.contains("x-request-id: ") && refusal.contains("connection: close\r\n"), "{refusal}");
    assert!(refusal.ends_with(r#"{"code":400,"error":"Bad Request: the head is malformed"}"#), "{refusal}");
}

#[actix_web::test]
async fn row_57_nothing_is_said_after_the_last_answer() {
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    let mut ours = connection.state().begin(BodyLength::Bytes(0));
    ours.respond_with(BodySize::Sized(2), false);
    ours.close_after();
    drop(ours);
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    connection.write_all(format!("{answer}HTTP/1.1 400 Bad Request\r\n\r\n").as_bytes()).await.unwrap();
    drop(connection);
    let mut seen = String::new();
    client.read_to_string(&mut seen).await.unwrap();
    assert_eq!(seen, answer);
}

/// However fast a client goes on sending that was told to leave, it is heard only so far.
#[actix_web::test]
async fn row_36_little_is_read_of_a_request_that_was_refused() {
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    let mut ours = connection.state().begin(BodyLength::Unknown);
    ours.close_after();
    drop(ours);
    let sending =
        tokio::task::spawn_local(async move { while client.write_all(&[b' '; 16 * 1024]).await.is_ok() {} });
    let mut all = 0;
    let mut room = vec![0; AT_ONCE];
    loop {
        match connection.read(&mut room).await.unwrap() {
            0 => break,
            count => all += count,
        }
    }
    assert!((DISCARDED..DISCARDED + AT_ONCE).contains(&all), "{all}");
    drop(connection);
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_response_that_the_client_does_not_read_is_given_up() {
    let (mut connection, _client) = pair(Duration::from_secs(60)).await;
    let body = vec![b' '; 64 << 20];
    connection.state().begin(BodyLength::Bytes(0)).respond_with(BodySize::Sized(body.len() as u64), false);
    let response = [b"HTTP/1.1 200 OK\r\n\r\n", &body[..]].concat();
    let stalled = Instant::now();
    let written = timeout(2 * WRITE_STALL, connection.write_all(&response)).await.expect("an end");
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(stalled.elapsed() >= WRITE_STALL);
}

/// The clock moves only where the test says so: a task that is always ready keeps it from jumping while bytes are on
/// their way.
#[tokio::test(start_paused = true)]
async fn each_byte_that_the_client_takes_starts_the_stall_anew() {
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    let body = vec![b' '; 64 << 20];
    connection.state().begin(BodyLength::Bytes(0)).respond_with(BodySize::Sized(body.len() as u64), false);
    let never_idle = tokio::spawn(async {
        loop {
            yield_now().await;
        }
    });
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    connection.write_all(head).await.unwrap();
    let mut room = vec![0; 64 << 10];
    for _ in 0..4 {
        while poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll_write(cx, &body))).await.is_ready() {}
        advance(WRITE_STALL * 2 / 3).await;
        let reading = async { while client.read(&mut room).await.unwrap() > 0 {} };
        tokio::select! {
            written = connection.write(&body) => assert!(written.unwrap() > 0),
            () = reading => panic!("the connection ended"),
        }
    }
    never_idle.abort();
}

/// In TLS a response may have been taken over as a whole before the client has taken a byte of it.
#[tokio::test(start_paused = true)]
async fn a_flush_that_the_client_does_not_read_is_given_up() {
    let (certificate, folder) = (Certificate::new(), tempdir().unwrap());
    certificate.write(folder.path());
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| Some(folder.path().join(name)));
    let tls = Tls::from_settings(&TlsSettings { cert, key }).unwrap().unwrap();
    let (server, client) = sockets().await;
    let connector = TlsConnector::from(Arc::new(certificate.client()));
    let name = Certificate::NAME.try_into().unwrap();
    let in_an_hour = Instant::now() + Duration::from_secs(3600);
    let (stream, _client) = tokio::join!(tls.accept(server, in_an_hour), connector.connect(name, client));
    let mut connection = accepted(stream.unwrap(), Duration::from_secs(60));

    let body = vec![b' '; 64 << 20];
    connection.state().begin(BodyLength::Bytes(0)).respond_with(BodySize::Sized(body.len() as u64), false);
    while poll_fn(|cx| Poll::Ready(Pin::new(&mut connection).poll_write(cx, &body))).await.is_ready() {}
    let flushed = timeout(2 * WRITE_STALL, connection.flush()).await.expect("an end");
    assert_eq!(flushed.unwrap_err().kind(), io::ErrorKind::TimedOut);
}
