use std::iter::repeat_n;

use proptest::{collection::vec, prelude::*};

use super::*;

/// Gives `stream` in pieces of `piece` bytes to an [`Inbound`] that has room for `room` bytes at a time.
fn pass(stream: &[u8], commands: u64, piece: usize, room: usize) -> (Vec<u8>, io::Result<()>) {
    let mut inbound = Inbound::default();
    let (mut out, mut room) = (Vec::new(), vec![0; room]);
    for mut bytes in stream.chunks(piece) {
        loop {
            let mut to = ReadBuf::new(&mut room);
            let (used, outcome) = inbound.pass(bytes, commands, &mut to);
            bytes = &bytes[used..];
            out.extend_from_slice(to.filled());
            if let Err(error) = outcome {
                return (out, Err(error));
            }
            if bytes.is_empty() && to.filled().is_empty() {
                break;
            }
        }
    }
    (out, Ok(()))
}

fn bulk(length: usize) -> Vec<u8> {
    [format!("${length}\r\n").into_bytes(), vec![b'x'; length], b"\r\n".to_vec()].concat()
}

const LIMIT: usize = ANSWER_LIMIT as usize;

proptest! {
    #[test]
    fn replies_below_the_limit_pass_unchanged(
        lengths in vec(0usize..60, 1..10), piece in 1usize..50, room in 1usize..50,
    ) {
        let replies: Vec<_> = lengths.iter().map(|&length| [b"*2\r\n:7\r\n", &*bulk(length)].concat()).collect();
        let stream = [replies.concat(), b"$-1\r\n-ERR no\r\n".to_vec()].concat();
        let (out, outcome) = pass(&stream, replies.len() as u64 + 2, piece, room);
        prop_assert!(outcome.is_ok());
        prop_assert_eq!(out, stream);
    }
}

#[test]
fn row_54_a_string_over_the_limit_becomes_an_error_in_its_place() {
    for (piece, room) in [(1 << 16, 8 << 10), (1_000, 1), (LIMIT * 2, 1 << 20)] {
        let stream = [b"*3\r\n$1\r\na\r\n", &*bulk(LIMIT), b"$1\r\nb\r\n", b"*0\r\n:5\r\n"].concat();
        let (out, outcome) = pass(&stream, 3, piece, room);
        outcome.unwrap();
        assert_eq!(out, b"*3\r\n$1\r\na\r\n-TOOLARGE\r\n$1\r\nb\r\n*0\r\n:5\r\n");
    }
}

#[test]
fn row_54_strings_count_together_up_to_the_limit() {
    let stream = [b"*3\r\n", &*bulk(LIMIT / 2), &bulk(LIMIT / 2), &bulk(9)].concat();
    let (out, outcome) = pass(&stream, 1, 1 << 16, 1 << 16);
    outcome.unwrap();
    assert_eq!(out, [b"*3\r\n", &*bulk(LIMIT / 2), b"-TOOLARGE\r\n", &bulk(9)].concat());
}

#[test]
fn row_54_an_honest_answer_about_ten_thousand_clients_passes() {
    let stream = [b"*10000\r\n".to_vec(), repeat_n(bulk(6 << 10), 10_000).flatten().collect()].concat();
    let (out, outcome) = pass(&stream, 1, 1 << 16, 1 << 16);
    outcome.unwrap();
    assert!(out == stream);
}

#[test]
fn a_reply_of_many_small_parts_is_bounded_as_well() {
    let stream = [b"*1000000000\r\n".to_vec(), b":1\r\n".repeat(LIMIT / 3)].concat();
    let (out, outcome) = pass(&stream, 1, 1 << 16, 1 << 16);
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert!(out.len() < LIMIT + (2 << 20));
}

#[test]
fn a_reply_that_no_command_asked_for_is_an_error_behind_those_that_were() {
    let (out, outcome) = pass(b"+1\r\n+2\r\n+3\r\n", 2, 100, 100);
    assert_eq!(out, b"+1\r\n+2\r\n");
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
}
