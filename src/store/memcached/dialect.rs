//! The meta protocol: the commands that are sent, and the answers.

use bytes::{Buf, BufMut, BytesMut};

use crate::store::{
    BackendError,
    wire::{Dialect, Tag},
};

/// The longest line of an answer.
const LONGEST_LINE: usize = 2048;

/// The longest value, which is the server's own default limit. A cached score has a few bytes.
const LONGEST_VALUE: usize = 1 << 20;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct MetaDialect;

/// An answer of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The value of a key.
    Value(Vec<u8>),
    /// No such key.
    Missing,
    /// The value was stored.
    Stored,
    /// The value was not stored.
    NotStored,
    /// The server could not do it: it has no memory, or the value is too large.
    ServerError,
    /// The server does not understand the command.
    Rejected {
        /// The first word of the answer.
        code: &'static str,
    },
}

/// `mg KEY v O<tag>`: the value, or nothing.
pub(super) fn write_get(key: &str, tag: u64, out: &mut BytesMut) {
    out.put_slice(b"mg ");
    out.put_slice(key.as_bytes());
    out.put_slice(b" v O");
    put_number(tag, out);
    out.put_slice(b"\r\n");
}

/// `ms KEY LENGTH T<seconds> O<tag>`, and the value.
pub(super) fn write_set(key: &str, value: &[u8], seconds: u64, tag: u64, out: &mut BytesMut) {
    out.put_slice(b"ms ");
    out.put_slice(key.as_bytes());
    out.put_slice(b" ");
    put_number(value.len() as u64, out);
    out.put_slice(b" T");
    put_number(seconds, out);
    out.put_slice(b" O");
    put_number(tag, out);
    out.put_slice(b"\r\n");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

fn put_number(number: u64, out: &mut BytesMut) {
    out.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

impl Dialect for MetaDialect {
    type Answer = Answer;

    const IN_ORDER: bool = true;

    fn take(&mut self, input: &mut BytesMut) -> Result<Option<(Tag, Answer)>, BackendError> {
        let Some(end) = input.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n') else {
            return if input.len() < LONGEST_LINE { Ok(None) } else { Err(BackendError::Protocol) };
        };
        let line =
            input.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(BackendError::Protocol)?;
        let mut words = line.split(|byte| *byte == b' ');
        let (tag, answer) = match words.next().unwrap_or_default() {
            b"VA" => {
                let length = words.next().and_then(number).ok_or(BackendError::Protocol)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                // Refused at once, so that the rest is not read.
                if length > LONGEST_VALUE {
                    return Err(BackendError::Protocol);
                }
                let tag = tag(words)?;
                let value = end + 1;
                let (Some(value), Some(after)) =
                    (input.get(value..value + length), input.get(value + length..value + length + 2))
                else {
                    return Ok(None);
                };
                if after != b"\r\n" {
                    return Err(BackendError::Protocol);
                }
                let value = value.to_vec();
                input.advance(end + 1 + length + 2);
                return Ok(Some((Tag::Of(tag), Answer::Value(value))));
            }
            b"HD" => (Tag::Of(tag(words)?), Answer::Stored),
            b"NS" => (Tag::Of(tag(words)?), Answer::NotStored),
            // Servers before 1.6.18 do not repeat the token here. Such an answer can only be a wrong miss.
            b"EN" => match token(words) {
                None => (Tag::Oldest, Answer::Missing),
                Some(token) => (Tag::Of(number(token).ok_or(BackendError::Protocol)?), Answer::Missing),
            },
            b"ERROR" => match line.get(b"ERROR ".len()..).filter(|text| !text.is_empty()) {
                None => (Tag::Oldest, Answer::Rejected { code: "ERROR" }),
                // `ERROR Too many open connections` answers no question, so it does not quote any.
                Some(text) => return Err(BackendError::Refused { code: statement(text) }),
            },
            b"CLIENT_ERROR" => (Tag::Oldest, Answer::Rejected { code: "CLIENT_ERROR" }),
            b"SERVER_ERROR" => (Tag::Oldest, Answer::ServerError),
            _ => return Err(BackendError::Protocol),
        };
        input.advance(end + 1);
        Ok(Some((tag, answer)))
    }
}

fn tag<'a>(flags: impl Iterator<Item = &'a [u8]>) -> Result<u64, BackendError> {
    token(flags).and_then(number).ok_or(BackendError::Protocol)
}

/// The token among the flags of an answer.
fn token<'a>(mut flags: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    flags.find_map(|flag| flag.strip_prefix(b"O"))
}

fn number(digits: &[u8]) -> Option<u64> {
    // `parse` alone would accept a sign.
    let digits = digits.iter().all(u8::is_ascii_digit).then_some(digits)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The server's own words, if they are words.
fn statement(text: &[u8]) -> String {
    let is_plain = text.len() <= 64 && text.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b' ');
    if is_plain { String::from_utf8_lossy(text).into_owned() } else { "ERROR".to_owned() }
}

#[cfg(test)]
mod tests;
