use std::time::Duration;

use rstest::rstest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::advance,
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

fn watched(space: usize) -> (Watched<DuplexStream>, DuplexStream, Arc<ReadActivity>) {
    let (near, far) = duplex(space);
    let activity = ReadActivity::new();
    (Watched::new(near, activity.clone()), far, activity)
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
    let (mut near, mut far, activity) = watched(64);
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), Duration::ZERO, "nothing is owed yet");

    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), 2 * SECOND);

    arrive(b"+PONG\r\n+PONG\r\n", &mut near, &mut far).await;
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), Duration::ZERO);
}

#[rstest]
#[case::of_a_line(b"+PON")]
#[case::of_a_string(b"$9\r\nsilen")]
#[case::of_a_line_end(b"$1\r\nx\r")]
#[case::of_an_array(b"*2\r\n+PONG\r\n")]
#[case::of_an_announced_gigabyte(b"$1000000000\r\nx")]
#[tokio::test(start_paused = true)]
async fn row_48_silence_counts_from_the_last_byte_of_a_partial_reply(#[case] part: &[u8]) {
    let (mut near, mut far, activity) = watched(64);
    near.write_all(PING).await.unwrap();
    advance(SECOND).await;
    far.write_all(part).await.unwrap();
    let _ = near.read(&mut [0; 64]).await.unwrap();
    assert_eq!(activity.silent_for(), Duration::ZERO);
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn row_48_a_reply_that_is_left_out_is_owed_behind_others() {
    let (mut near, mut far, activity) = watched(64);
    near.write_all(&PING.repeat(2)).await.unwrap();
    arrive(b"+PONG\r\n", &mut near, &mut far).await;
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_cannot_be_sent_to_its_end_is_owed_a_reply() {
    let (mut near, _far, activity) = watched(6);
    assert_eq!(near.write(PING).await.unwrap(), 6);
    advance(SECOND).await;
    assert_eq!(activity.silent_for(), SECOND);
}

/// Whether a reply to one command may begin with `bytes`.
async fn is_taken(bytes: &[u8]) -> bool {
    let (mut near, mut far, _) = watched(1 << 20);
    near.write_all(PING).await.unwrap();
    let bytes = bytes.to_vec();
    let filler = tokio::spawn(async move { far.write_all(&bytes).await.is_ok().then_some(far) });
    let mut buffer = vec![0; 1 << 16];
    let broken = loop {
        match near.read(&mut buffer).await {
            Ok(0) => break false,
            Ok(_) if filler.is_finished() => break near.is_broken,
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                break true;
            }
        }
    };
    drop(near);
    filler.await.unwrap();
    !broken
}

fn string(length: u64) -> Vec<u8> {
    let length = usize::try_from(length).unwrap();
    [format!("${length}\r\n").as_bytes(), &vec![b'x'; length], b"\r\n"].concat()
}

#[rstest]
#[case::ten_thousand_clients([b"*10000\r\n".to_vec(), string(6 << 10).repeat(10_000)].concat(), true)]
#[case::a_string_below_the_limit(string(ANSWER_LIMIT - 100), true)]
#[case::a_string_that_is_announced_over_the_limit(format!("${ANSWER_LIMIT}\r\n").into_bytes(), false)]
#[case::strings_that_are_over_the_limit_together(
    [b"*2\r\n", &*string(ANSWER_LIMIT / 2), format!("${}\r\n", ANSWER_LIMIT / 2).as_bytes()].concat(), false
)]
#[case::many_small_parts([b"*1000000000\r\n".to_vec(), b":1\r\n".repeat((16 << 20) + 1)].concat(), false)]
#[tokio::test]
async fn row_54_a_reply_over_the_limit_breaks_the_connection(#[case] bytes: Vec<u8>, #[case] taken: bool) {
    assert_eq!(is_taken(&bytes).await, taken);
}

#[tokio::test]
async fn a_reply_without_a_command_is_an_error_after_the_valid_ones() {
    let (mut near, mut far, _) = watched(64);
    near.write_all(&PING.repeat(2)).await.unwrap();
    arrive(b"+1\r\n", &mut near, &mut far).await;
    far.write_all(b"+2\r\n+3\r\n").await.unwrap();
    let mut read = [0; 64];
    assert_eq!(near.read(&mut read).await.unwrap(), 4);
    assert_eq!(near.read(&mut read).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
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
