//! Tarantool's binary protocol.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha1::{Digest, Sha1};

/// A value in MessagePack, of the kinds that requests have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Nil,
    Number(u64),
    Text(Vec<u8>),
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// A request, with the number that the answer repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub sync: u64,
    pub kind: Kind,
}

/// The kind of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Auth { user: String, scramble: Vec<u8> },
    Call { function: String, arguments: Vec<Value> },
}

/// The challenge of every greeting here.
const CHALLENGE: [u8; 32] = *b"a challenge of thirty-two bytes!";

/// The first bytes of a connection.
pub fn greeting() -> Vec<u8> {
    let line = |text: String| format!("{text:<63}\n");
    let version = line("Tarantool 2.6.0 (Binary) 00000000-0000-0000-0000-000000000000".to_owned());
    [version, line(BASE64_STANDARD.encode(CHALLENGE))].concat().into_bytes()
}

/// The proof of a password that a client owes after [`greeting`].
pub fn scramble(password: &str) -> Vec<u8> {
    let once = Sha1::digest(password.as_bytes());
    let mask = Sha1::digest([&CHALLENGE[..20], &Sha1::digest(once)].concat());
    once.iter().zip(mask).map(|(one, other)| one ^ other).collect()
}

/// Takes one request off the front of `buffer`, if it is complete.
pub fn take_request(buffer: &mut Vec<u8>) -> Option<Request> {
    let mut frame = Cursor(buffer);
    let Value::Number(length) = frame.value()? else { panic!("a request begins with its length") };
    let rest = frame.0;
    let body = rest.get(..length as usize)?;
    let mut body = Cursor(body);
    let (header, fields) = (body.map()?, body.map()?);
    let find = |map: &[(Value, Value)], key: u64| {
        let found = map.iter().find(|(name, _)| *name == Value::Number(key));
        found.map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("no {key:#x} in {map:?}"))
    };
    let (Value::Number(kind), Value::Number(sync)) = (find(&header, 0x00), find(&header, 0x01)) else {
        panic!("{header:?}")
    };
    let Value::Array(arguments) = find(&fields, 0x21) else { panic!("{fields:?}") };
    let kind = match kind {
        0x07 => match &arguments[..] {
            [Value::Text(method), Value::Text(scramble)] if method == b"chap-sha1" => {
                Kind::Auth { user: find(&fields, 0x23).text(), scramble: scramble.clone() }
            }
            _ => panic!("{arguments:?}"),
        },
        0x0a => Kind::Call { function: find(&fields, 0x22).text(), arguments },
        _ => panic!("request {kind:#x}"),
    };
    let taken = buffer.len() - (rest.len() - length as usize);
    buffer.drain(..taken);
    Some(Request { sync, kind })
}

/// The answer with the values that a function returned.
pub fn returned(sync: u64, values: Vec<Value>) -> Vec<u8> {
    answer(0, sync, &[(Value::Number(0x30), Value::Array(values))])
}

/// The answer to a log-in.
pub fn welcome(sync: u64) -> Vec<u8> {
    answer(0, sync, &[])
}

/// An answer that is an error.
pub fn error(sync: u64, number: u64) -> Vec<u8> {
    let text = Value::Text(b"i:1 must not be in any log".to_vec());
    answer(0x8000 | number, sync, &[(Value::Number(0x31), text)])
}

/// The answer with a length that is too large by a thousand.
pub fn with_wrong_length(answer: &[u8]) -> Vec<u8> {
    let length = u32::from_be_bytes(answer[1..5].try_into().expect("four bytes"));
    [&answer[..1], &(length + 1000).to_be_bytes(), &answer[5..]].concat()
}

fn answer(kind: u64, sync: u64, body: &[(Value, Value)]) -> Vec<u8> {
    let number = |key, value| (Value::Number(key), Value::Number(value));
    let mut bytes = Vec::new();
    Value::Map(vec![number(0x00, kind), number(0x01, sync), number(0x05, 80)]).put(&mut bytes);
    Value::Map(body.to_vec()).put(&mut bytes);
    // The server always writes four bytes.
    [&[0xce][..], &(bytes.len() as u32).to_be_bytes(), &bytes].concat()
}

// ===== impl Value =====

impl Value {
    /// The text of a value that is one.
    pub fn text(&self) -> String {
        let Self::Text(text) = self else { panic!("{self:?} is not a text") };
        String::from_utf8(text.clone()).expect("UTF-8")
    }

    /// The texts of an array of them.
    pub fn texts(&self) -> Vec<String> {
        let Self::Array(values) = self else { panic!("{self:?} is not an array") };
        values.iter().map(Self::text).collect()
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        let head = |bytes: &mut Vec<u8>, kind: u8, count: usize| {
            bytes.push(kind);
            bytes.extend((count as u32).to_be_bytes());
        };
        match self {
            Self::Nil => bytes.push(0xc0),
            Self::Number(small @ 0..=0x7f) => bytes.push(*small as u8),
            Self::Number(number) => {
                bytes.push(0xcf);
                bytes.extend(number.to_be_bytes());
            }
            Self::Text(text) => {
                head(bytes, 0xdb, text.len());
                bytes.extend(text);
            }
            Self::Array(values) => {
                head(bytes, 0xdd, values.len());
                values.iter().for_each(|value| value.put(bytes));
            }
            Self::Map(pairs) => {
                head(bytes, 0xdf, pairs.len());
                pairs.iter().for_each(|(key, value)| {
                    key.put(bytes);
                    value.put(bytes);
                });
            }
        }
    }
}

// ===== reading =====

/// Reads values; `None` if the bytes end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self, count: usize) -> Option<u64> {
        Some(self.bytes(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length: u64) -> Option<Value> {
        Some(Value::Text(self.bytes(length as usize)?.to_vec()))
    }

    fn array(&mut self, count: u64) -> Option<Value> {
        (0..count).map(|_| self.value()).collect::<Option<_>>().map(Value::Array)
    }

    fn map(&mut self) -> Option<Vec<(Value, Value)>> {
        match self.value()? {
            Value::Map(pairs) => Some(pairs),
            other => panic!("{other:?} is not a map"),
        }
    }

    fn value(&mut self) -> Option<Value> {
        let first = self.bytes(1)?[0];
        match first {
            0x00..=0x7f => Some(Value::Number(u64::from(first))),
            0x80..=0x8f => {
                let pairs = (0..first & 0xf).map(|_| Some((self.value()?, self.value()?)));
                pairs.collect::<Option<_>>().map(Value::Map)
            }
            0x90..=0x9f => self.array(u64::from(first & 0xf)),
            0xa0..=0xbf => self.text(u64::from(first & 0x1f)),
            0xc0 => Some(Value::Nil),
            0xcc => self.number(1).map(Value::Number),
            0xcd => self.number(2).map(Value::Number),
            0xce => self.number(4).map(Value::Number),
            0xcf => self.number(8).map(Value::Number),
            0xd9 => self.number(1).and_then(|length| self.text(length)),
            0xda => self.number(2).and_then(|length| self.text(length)),
            0xdb => self.number(4).and_then(|length| self.text(length)),
            0xdc => self.number(2).and_then(|count| self.array(count)),
            0xdd => self.number(4).and_then(|count| self.array(count)),
            _ => panic!("no request has a value that begins with {first:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the service's own connector writes it.
    #[test]
    fn a_request_is_taken_once_it_is_complete() {
        let call = b"\x82\x00\x0a\x01\x07\x82\x22\xa5a.get\x21\x92\xa3i:1\x91\xa3i:2";
        let sent = [&[0xce, 0, 0, 0, call.len() as u8][..], call].concat();
        let (mut buffer, mut taken) = (Vec::new(), Vec::new());
        for byte in sent.repeat(2) {
            buffer.push(byte);
            taken.extend(take_request(&mut buffer));
        }
        let arguments = vec![Value::Text(b"i:1".to_vec()), Value::Array(vec![Value::Text(b"i:2".to_vec())])];
        let kind = Kind::Call { function: "a.get".to_owned(), arguments };
        assert_eq!(taken, [Request { sync: 7, kind: kind.clone() }, Request { sync: 7, kind }]);
        assert_eq!(greeting().len(), 128);
    }
}
