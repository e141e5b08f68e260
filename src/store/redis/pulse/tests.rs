use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::advance,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

fn watched(space: usize) -> (Watched<DuplexStream>, DuplexStream, Arc<Pulse>) {
    let (near, far) = duplex(space);
    let pulse = Pulse::new();
    (Watched::new(near, pulse.clone()), far, pulse)
}

/// The other end sends `bytes`, and they are read.
async fn arrive(bytes: &[u8], near: &mut Watched<DuplexStream>, far: &mut DuplexStream) {
    far.write_all(bytes).await.unwrap();
    let mut read = vec![0; bytes.len()];
    near.read_exact(&mut read).await.unwrap();
    assert_eq!(read, bytes);
}

#[tokio::test(start_paused = true)]
async fn silence_counts_from_the_first_command_until_its_reply() {
    let (mut near, mut far, pulse) = watched(64);
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), Duration::ZERO, "nothing is owed yet");

    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), 2 * SECOND);

    arrive(b"+PONG\r\n+PONG\r\n", &mut near, &mut far).await;
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), Duration::ZERO);
}

#[rstest]
#[case::of_a_line(b"+PON")]
#[case::of_a_string(b"$9\r\nsilen")]
#[case::of_a_line_end(b"$1\r\nx\r")]
#[case::of_an_array(b"*2\r\n+PONG\r\n")]
#[case::of_an_announced_gigabyte(b"$1000000000\r\nx")]
#[tokio::test(start_paused = true)]
async fn row_48_silence_counts_from_the_last_byte_of_an_unfinished_reply(#[case] part: &[u8]) {
    let (mut near, mut far, pulse) = watched(64);
    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    far.write_all(part).await.unwrap();
    let _ = near.read(&mut [0; 64]).await.unwrap();
    assert_eq!(pulse.silent_for(), Duration::ZERO);
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn row_48_a_reply_that_is_left_out_is_owed_behind_others() {
    let (mut near, mut far, pulse) = watched(64);
    near.write_all(&PING.repeat(2)).await.unwrap();
    arrive(b"+PONG\r\n", &mut near, &mut far).await;
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_sent_to_its_end_is_owed_a_reply() {
    let (mut near, _far, pulse) = watched(6);
    assert_eq!(near.write(PING).await.unwrap(), 6);
    advance(SECOND).await;
    assert_eq!(pulse.silent_for(), SECOND);
}

#[tokio::test]
async fn a_reply_without_an_end_breaks_the_connection_and_takes_no_memory() {
    let (mut near, mut far, _) = watched(1 << 20);
    near.write_all(PING).await.unwrap();
    let filler = tokio::spawn(async move {
        far.write_all(b"$1000000000\r\n").await.unwrap();
        let mut sent = 0u64;
        while far.write_all(&[b'x'; 1 << 16]).await.is_ok() {
            sent += 1 << 16;
        }
        sent
    });
    let mut read = 0;
    let error = loop {
        match near.read(&mut [0; 1 << 16]).await {
            Ok(bytes) => read += bytes,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(read, "-TOOLARGE\r\n".len());
    drop(near);
    let sent = filler.await.unwrap();
    assert!((64 << 20..=100 << 20).contains(&sent), "{sent} bytes were taken");
}

#[tokio::test]
async fn any_number_of_complete_replies_may_arrive() {
    let (mut near, mut far, _) = watched(1 << 20);
    let reply = [&b"$65536\r\n"[..], &[b'x'; 1 << 16], b"\r\n"].concat();
    let mut read = vec![0; reply.len()];
    for _ in 0..3_000 {
        near.write_all(PING).await.unwrap();
        far.write_all(&reply).await.unwrap();
        near.read_exact(&mut read).await.unwrap();
        far.read_exact(&mut [0; PING.len()]).await.unwrap();
    }
    assert!(read == reply);
}
