//! The bytes of a connection, divided into requests.
//!
//! actix parses all requests that it has, and writes an answer by the method, version and `Connection` of the request
//! that it parsed last: behind a call, a `HEAD` would cost the call's answer its body. So actix gets a request only once
//! the one before it has been answered, and [`Inbound`] holds the bytes of later ones back. The exception is a request
//! behind a chunked body, whose end only actix knows.
//!
//! actix does not report how far it has parsed. So the connection keeps a copy of the bytes of requests that have not
//! begun, and the middleware reports the length of each request's body when the request begins.

/// Bytes of a growing head that are kept. Above this, only the last bytes are kept, because only the end of a head
/// matters.
const KEPT: usize = 4 * 1024;

/// A blank line ends with at most this many bytes that must be examined together: `\n\r\n`.
const BLANK_LINE: usize = 3;

/// The length of the body that follows a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum BodyLength {
    /// The value of `Content-Length`.
    Bytes(u64),
    /// A chunked body, or one without an end.
    Unknown,
}

/// Removes the bytes of requests that have begun from the bytes that arrive.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Bytes of requests that have not begun.
    kept: Vec<u8>,
    /// The rest of the body of the last request that has begun.
    body: BodyLength,
    /// Bytes of later requests, which actix has not got yet.
    held: Vec<u8>,
}

// ===== impl Inbound =====

impl Inbound {
    pub(super) fn new() -> Self {
        Self { kept: Vec::new(), body: BodyLength::Bytes(0), held: Vec::new() }
    }

    /// The client sent `bytes`.
    pub(super) fn arrived(&mut self, bytes: &[u8]) {
        let bytes = match &mut self.body {
            BodyLength::Bytes(left) => {
                let of_body = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= of_body as u64;
                bytes.get(of_body..).unwrap_or_default()
            }
            BodyLength::Unknown => bytes,
        };
        let bytes = if self.kept.is_empty() { without_empty_lines(bytes) } else { bytes };
        self.kept.extend_from_slice(bytes);
        if self.body == BodyLength::Unknown || (self.kept.len() > KEPT && head_end(&self.kept).is_none()) {
            self.forget(self.kept.len().saturating_sub(BLANK_LINE));
        }
    }

    /// The number of bytes of `new`, at least one if there are any, that come before the next request. A body of unknown
    /// length is only known once its request has begun, so its head counts as a request until then.
    pub(super) fn before_next(&self, new: &[u8]) -> usize {
        match self.body {
            BodyLength::Unknown => return new.len(),
            BodyLength::Bytes(0) => {}
            BodyLength::Bytes(left) => {
                return usize::try_from(left).map_or(new.len(), |left| left.min(new.len()));
            }
        }
        let joined;
        let bytes = if self.kept.is_empty() {
            without_empty_lines(new)
        } else {
            joined = [&self.kept, new].concat();
            &joined
        };
        let Some(end) = head_end(bytes) else { return new.len() };
        let length = bytes.get(..end).map_or(0, content_length);
        let rest = bytes.len().saturating_sub(end.saturating_add(length));
        new.len() - rest.min(new.len().saturating_sub(1))
    }

    /// Whether the last request that has begun has arrived as a whole.
    pub(super) fn is_whole(&self) -> bool {
        self.body == BodyLength::Bytes(0)
    }

    /// Holds bytes back, behind those that are held. Empty lines in front of a head mean nothing, and are dropped.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        let bytes = if self.held.is_empty() { without_empty_lines(bytes) } else { bytes };
        self.held.extend_from_slice(bytes);
    }

    /// The number of bytes that are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Takes held bytes up to the next request, `most` at the most.
    pub(super) fn release(&mut self, most: usize) -> Vec<u8> {
        let part = self.held.get(..most).unwrap_or(&self.held);
        let count = self.before_next(part);
        self.held.drain(..count).collect()
    }

    /// The head of the oldest request is complete, and a body of the length `body` follows it.
    pub(super) fn begun(&mut self, body: BodyLength) {
        let length = match body {
            BodyLength::Bytes(length) => usize::try_from(length).unwrap_or(usize::MAX),
            BodyLength::Unknown => 0,
        };
        // Most reads bring exactly one call, so its head ends where its body must begin. Without a body, the blank
        // line could belong to a later request.
        let whole = self.kept.len().checked_sub(length).filter(|_| length > 0);
        let whole = whole.filter(|end| self.kept.get(..*end).is_some_and(ends_with_a_blank_line));
        let end = whole.or_else(|| head_end(&self.kept)).unwrap_or(self.kept.len());
        self.forget(end);
        self.body = BodyLength::Bytes(0);
        let rest = std::mem::take(&mut self.kept);
        self.body = body;
        self.arrived(&rest);
    }

    /// The request has been answered, and its body was read to the end.
    pub(super) fn answered(&mut self) {
        // Chunks end with a blank line, and half a head does not.
        if self.body == BodyLength::Unknown && ends_with_a_blank_line(&self.kept) {
            self.kept.clear();
        }
        self.body = BodyLength::Bytes(0);
    }

    /// Whether a head has begun, or more than one.
    pub(super) fn has_begun(&self) -> bool {
        !self.kept.is_empty()
    }

    fn forget(&mut self, count: usize) {
        if count == self.kept.len() {
            self.kept.clear();
            self.kept.shrink_to(KEPT);
        } else {
            self.kept.drain(..count);
        }
    }
}

fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let begins = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    begins.and_then(|begins| bytes.get(begins..)).unwrap_or_default()
}

/// The length of a body, if the head has exactly one `Content-Length` that is a number; else 0.
fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    let lines = head.split(|byte| *byte == b'\n');
    let mut lengths =
        lines.filter_map(|line| line.split_at_checked(NAME.len())).filter_map(|(name, value)| {
            let is_named = name.eq_ignore_ascii_case(NAME);
            is_named
                .then(|| std::str::from_utf8(value.trim_ascii()).ok().and_then(|value| value.parse().ok()))
        });
    match (lengths.next(), lengths.next()) {
        (Some(Some(length)), None) => length,
        _ => 0,
    }
}

fn ends_with_a_blank_line(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\n\r\n") || bytes.ends_with(b"\n\n")
}

/// The end of the first head. A line may end without a carriage return.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let ends = bytes.windows(BLANK_LINE).enumerate().find_map(|(index, window)| match window {
        [b'\n', b'\n', _] => Some(index + 2),
        [b'\n', b'\r', b'\n'] => Some(index + 3),
        _ => None,
    });
    ends.or_else(|| bytes.ends_with(b"\n\n").then_some(bytes.len()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{
        BodyLength::{Bytes, Unknown},
        *,
    };

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\ncontent-length: 6\r\n\r\n";

    /// Sends `bytes` in parts of `size`, after which requests with these bodies begin and are answered.
    fn has_begun(bytes: &str, size: usize, bodies: &[BodyLength]) -> bool {
        let mut inbound = Inbound::new();
        bytes.as_bytes().chunks(size).for_each(|part| inbound.arrived(part));
        for body in bodies {
            inbound.begun(*body);
            inbound.answered();
        }
        inbound.has_begun()
    }

    #[rstest]
    #[case::no_body(GET.into(), &[Bytes(0)], false)]
    #[case::no_body_and_half_a_head(format!("{GET}GET /"), &[Bytes(0)], true)]
    #[case::line_feeds_alone("GET / HTTP/1.1\nhost: x\n\n".into(), &[Bytes(0)], false)]
    #[case::body(format!("{POST}abcdef"), &[Bytes(6)], false)]
    #[case::body_that_looks_like_a_head(format!("{POST}a\r\n\r\nf"), &[Bytes(6)], false)]
    #[case::body_and_half_a_head(format!("{POST}abcdefGET /"), &[Bytes(6)], true)]
    #[case::body_and_an_empty_line(format!("{POST}abcdef\r\n"), &[Bytes(6)], false)]
    #[case::empty_line_in_front(format!("\r\n{GET}"), &[Bytes(0)], false)]
    #[case::chunks("POST / HTTP/1.1\r\n\r\n2\r\nab\r\n0\r\n\r\n".into(), &[Unknown], false)]
    #[case::chunks_and_half_a_head("POST / HTTP/1.1\r\n\r\n2\r\nab\r\n0\r\n\r\nGET".into(), &[Unknown], true)]
    #[case::pipelined(format!("{GET}{POST}abcdef{GET}"), &[Bytes(0), Bytes(6), Bytes(0)], false)]
    #[case::pipelined_and_half(format!("{POST}abcdef{GET}{POST}abcdefG"), &[Bytes(6), Bytes(0), Bytes(6)], true)]
    #[case::the_second_is_whole(format!("{GET}{GET}"), &[Bytes(0)], true)]
    fn half_a_head_is_told_from_a_connection_at_rest(
        #[case] bytes: String,
        #[case] bodies: &[BodyLength],
        #[case] begun: bool,
        #[values(1, 7, 100_000)] size: usize,
    ) {
        assert_eq!(has_begun(&bytes, size, bodies), begun);
    }

    #[test]
    fn a_body_that_arrives_later_is_no_head() {
        let mut inbound = Inbound::new();
        inbound.arrived(POST.as_bytes());
        inbound.begun(Bytes(6));
        inbound.arrived(b"abc");
        assert!(!inbound.has_begun());
        inbound.arrived(b"defGET /");
        inbound.answered();
        assert!(inbound.has_begun());
    }

    #[test]
    fn little_is_kept_of_a_head_that_never_ends() {
        let mut inbound = Inbound::new();
        for _ in 0..100 {
            inbound.arrived(&[b'x'; 1024]);
            assert!(inbound.kept.len() <= KEPT);
        }
        inbound.arrived(b"\r\n\r\n");
        inbound.begun(Bytes(0));
        inbound.answered();
        assert!(!inbound.has_begun());
    }
}
