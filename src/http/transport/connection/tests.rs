use std::{future::poll_fn, net::Ipv4Addr};

use actix_web::body::BodySize;
use prometheus::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::*;
use crate::http::HttpMetrics;

async fn pair(patience: Duration) -> (ClientConnection, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let refused_heads = Arc::new(RefusedHeads::new(HttpMetrics::register(&Registry::new()).unwrap()));
    (ClientConnection::new(Stream::Plain(accepted), Instant::now(), patience, refused_heads), client)
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
        tokio::task::yield_now().await;
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

    // Each byte that the client takes starts the time anew.
    let (mut connection, mut slow) = pair(Duration::from_secs(60)).await;
    connection.state().begin(BodyLength::Bytes(0)).respond_with(BodySize::Sized(body.len() as u64), false);
    let reading = async {
        let mut room = vec![0; 4 << 20];
        while slow.read(&mut room).await.is_ok_and(|count| count > 0) {
            sleep(WRITE_STALL / 3).await;
        }
    };
    tokio::select! {
        written = connection.write_all(&response) => written.unwrap(),
        () = reading => panic!("the connection ended"),
    }
}
