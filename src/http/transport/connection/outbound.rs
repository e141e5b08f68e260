//! Separates handlers' responses from actix's own, by length.
//!
//! The middleware reports the length of each response's body. Bytes that belong to no such response are actix's own:
//! the interim `100 Continue`, and the rejection of a head.

use std::collections::VecDeque;

/// The interim response that actix sends to `Expect: 100-continue` before it calls the handler.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";

/// Counts the bytes of responses that are being written.
#[derive(Debug, Default)]
pub(super) struct Outbound {
    /// The lengths of the bodies of responses whose heads have not been written.
    bodies: VecDeque<u64>,
    /// Bytes at the front that belong to handlers' responses.
    left: u64,
}

/// The owner of the bytes at the front.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// This many bytes belong to handlers' responses.
    Answers(usize),
    /// This many bytes are an interim response, directly followed by the final one.
    Interim(usize),
    /// All bytes are actix's own.
    Server,
}

// ===== impl Outbound =====

impl Outbound {
    /// A handler answers next, with a body of `length` bytes.
    pub(super) fn respond_with(&mut self, length: u64) {
        self.bodies.push_back(length);
    }

    /// Examines all bytes that wait to be written. They never end in the middle of a head.
    pub(super) fn front(&mut self, bytes: &[u8]) -> Front {
        loop {
            let left = usize::try_from(self.left).unwrap_or(usize::MAX);
            let Some(rest) = bytes.get(left..).filter(|rest| !rest.is_empty()) else {
                return Front::Answers(bytes.len());
            };
            if let Some(behind) = rest.strip_prefix(CONTINUE) {
                if behind.is_empty() {
                    self.left += CONTINUE.len() as u64;
                    continue;
                }
                return if left == 0 { Front::Interim(CONTINUE.len()) } else { Front::Answers(left) };
            }
            let Some(body) = self.bodies.pop_front() else {
                return if left == 0 { Front::Server } else { Front::Answers(left) };
            };
            let head = head_length(rest) as u64;
            self.left = self.left.saturating_add(head).saturating_add(body);
        }
    }

    /// This many bytes at the front were written.
    pub(super) fn written(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count as u64);
    }
}

/// The length of the head at the front. Only every fourth byte is examined: the end of a head is four bytes, so one
/// of these is among them.
fn head_length(answer: &[u8]) -> usize {
    let ends_at = |from: &usize| answer.get(*from..).is_some_and(|rest| rest.starts_with(END));
    let looked_at = answer.iter().enumerate().skip(END.len() - 1).step_by(END.len());
    let mut near = looked_at.filter(|(_, byte)| matches!(byte, b'\r' | b'\n'));
    let end = near.find_map(|(at, _)| (at + 1 - END.len()..=at).find(ends_at));
    end.map_or(answer.len(), |end| end + END.len())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const BARE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    fn answer(body: &str) -> String {
        format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    /// The bytes that pass, with `!` for each piece of the server's own words, when the socket takes `most` at a time.
    fn passed(bodies: &[&str], mut bytes: &[u8], most: usize) -> String {
        let mut outbound = Outbound::default();
        bodies.iter().for_each(|body| outbound.respond_with(body.len() as u64));
        let mut passed = String::new();
        while !bytes.is_empty() {
            let (count, text) = match outbound.front(bytes) {
                Front::Answers(count) => {
                    let count = count.min(most);
                    outbound.written(count);
                    (count, str::from_utf8(&bytes[..count]).unwrap())
                }
                Front::Interim(count) => (count, ""),
                Front::Server => (bytes.len(), "!"),
            };
            passed += text;
            bytes = &bytes[count..];
        }
        passed
    }

    #[rstest]
    #[case::one(&["{}"], "", "")]
    #[case::no_body(&[""], "", "")]
    #[case::refusal_alone(&[], BARE, "!")]
    #[case::refusal_behind_an_answer(&["{}"], BARE, "!")]
    #[case::refusal_behind_an_empty_answer(&[""], BARE, "!")]
    #[case::refusal_behind_many(&["{}", "", BARE, "{}"], BARE, "!")]
    #[case::bodies_that_look_like_refusals(&[BARE, BARE], "", "")]
    fn only_the_servers_own_words_are_told_apart(
        #[case] bodies: &[&str],
        #[case] behind: &str,
        #[case] instead: &str,
        #[values(1, 30, 100_000)] most: usize,
    ) {
        let answers: String = bodies.iter().map(|body| answer(body)).collect();
        let bytes = format!("{answers}{behind}");
        assert_eq!(passed(bodies, bytes.as_bytes(), most), format!("{answers}{instead}"));
    }

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is() {
        for length in 0..20 {
            let head = format!("{}\r\n\r\n", "x".repeat(length));
            assert_eq!(head_length(format!("{head}\r\n\r\nabc\r\n\r\n").as_bytes()), head.len());
        }
    }

    #[rstest]
    #[case::alone(&[], "", true)]
    #[case::with_its_answer(&["{}"], "", false)]
    #[case::behind_another_answer(&["{}", "{}"], "{}", false)]
    fn an_interim_answer_passes_unless_the_final_one_is_there(
        #[case] bodies: &[&str],
        #[case] in_front: &str,
        #[case] passes: bool,
        #[values(1, 30, 100_000)] most: usize,
    ) {
        let interim = str::from_utf8(CONTINUE).unwrap();
        let in_front = if in_front.is_empty() { String::new() } else { answer(in_front) };
        let last = bodies.last().map(|body| answer(body)).unwrap_or_default();
        let bytes = format!("{in_front}{interim}{last}");
        let expected = format!("{in_front}{}{last}", if passes { interim } else { "" });
        assert_eq!(passed(bodies, bytes.as_bytes(), most), expected);
    }
}
