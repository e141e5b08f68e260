use std::{future::poll_fn, net::Ipv4Addr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

async fn pair(patience: Duration) -> (Connection, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    (Connection::new(Stream::Plain(accepted), Instant::now(), patience), client)
}

/// Reads as actix does: until there is nothing more to read for now, into however much room there is.
async fn read_all(connection: &mut Connection) -> usize {
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

/// What passes while a request is answered is the answer's own, whatever it looks like.
#[actix_web::test]
async fn only_what_the_server_says_out_of_turn_is_put_in_shape() {
    let bare = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;

    let ours = connection.turn().begin();
    connection.write_all(bare).await.unwrap();
    let mut seen = vec![0; bare.len()];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, bare);
    drop(ours);

    client.write_all(b"x").await.unwrap();
    connection.read_u8().await.unwrap();
    connection.write_all(bare).await.unwrap();
    drop(connection);
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with(r#"{"code":400,"error":"Bad Request: the head is malformed"}"#), "{rest}");
}

/// However fast a client goes on sending that was told to leave, it is heard only so far.
#[actix_web::test]
async fn row_36_little_is_read_of_a_request_that_was_refused() {
    let (mut connection, mut client) = pair(Duration::from_secs(60)).await;
    let mut ours = connection.turn().begin();
    ours.was_the_last();
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
    assert!((PAST_THE_END..PAST_THE_END + AT_ONCE).contains(&all), "{all}");
    drop(connection);
    sending.await.unwrap();
}
