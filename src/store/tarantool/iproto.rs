//! IPROTO, Tarantool's binary protocol: the requests that are sent, and the answers.
//!
//! Each request has a number, which its answer repeats; answers may overtake each other.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::msgpack::{Malformed, Reader, put_array, put_map, put_text, put_uint};
use crate::store::{
    BackendError,
    backend::ANSWER_LIMIT,
    wire::{Dialect, Tag},
};

// Keys of the header and of the body.
const REQUEST_TYPE: u8 = 0x00;
const SYNC: u8 = 0x01;
const TUPLE: u8 = 0x21;
const FUNCTION_NAME: u8 = 0x22;
const USER_NAME: u8 = 0x23;
const DATA: u64 = 0x30;

// Types of requests.
const AUTH: u8 = 0x07;
const CALL: u8 = 0x0a;

/// The bit of an answer's type that makes the rest of it an error number.
const ERROR: u64 = 0x8000;

/// The marker of a frame's length, and the length.
const PREFIX: usize = 5;
const UINT_32: u8 = 0xce;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Iproto;

/// An answer: the returned values as an array in MessagePack, or the number of an error. Texts of errors are not kept,
/// because they quote stored values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Data(Bytes),
    Error(u64),
}

/// Calls a function with arguments, which `put_arguments` appends.
pub(super) fn write_call(
    module: &str,
    function: &str,
    arguments: usize,
    put_arguments: impl FnOnce(&mut BytesMut),
    tag: u64,
    out: &mut BytesMut,
) {
    frame(CALL, tag, out, |out| {
        put_map(2, out);
        out.put_u8(FUNCTION_NAME);
        put_text(&[module.as_bytes(), b".", function.as_bytes()], out);
        out.put_u8(TUPLE);
        put_array(arguments, out);
        put_arguments(out);
    });
}

/// Logs in with the answer to the greeting's challenge.
pub(super) fn write_auth(user: &str, scramble: &[u8], tag: u64, out: &mut BytesMut) {
    frame(AUTH, tag, out, |out| {
        put_map(2, out);
        out.put_u8(USER_NAME);
        put_text(&[user.as_bytes()], out);
        out.put_u8(TUPLE);
        put_array(2, out);
        put_text(&[b"chap-sha1"], out);
        put_text(&[scramble], out);
    });
}

fn frame(kind: u8, tag: u64, out: &mut BytesMut, put_body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_bytes(UINT_32, PREFIX);
    put_map(2, out);
    out.put_slice(&[REQUEST_TYPE, kind, SYNC]);
    put_uint(tag, out);
    put_body(out);
    let length = u32::try_from(out.len() - start - PREFIX).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start + 1..start + PREFIX) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

impl Dialect for Iproto {
    type Answer = Answer;

    const IN_ORDER: bool = false;

    fn take(&mut self, input: &mut BytesMut) -> Result<Option<(Tag, Answer)>, BackendError> {
        if input.first().is_some_and(|first| *first != UINT_32) {
            return Err(BackendError::Protocol);
        }
        let Some(length) = input.get(1..PREFIX) else { return Ok(None) };
        let length = length.iter().fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        if length > ANSWER_LIMIT {
            return Err(BackendError::Protocol);
        }
        let end = PREFIX + usize::try_from(length).map_err(|_| BackendError::Protocol)?;
        if input.len() < end {
            return Ok(None);
        }
        let mut frame = input.split_to(end).freeze();
        frame.advance(PREFIX);
        answer(&frame).map(Some).map_err(|Malformed| BackendError::Protocol)
    }
}

fn answer(frame: &Bytes) -> Result<(Tag, Answer), Malformed> {
    let mut reader = Reader::new(frame);
    let (mut kind, mut sync) = (None, None);
    for _ in 0..reader.map()? {
        match reader.uint()? {
            key if key == u64::from(REQUEST_TYPE) => kind = Some(reader.uint()?),
            key if key == u64::from(SYNC) => sync = Some(reader.uint()?),
            _ => reader.skip()?,
        }
    }
    let mut data = Bytes::new();
    if !reader.is_at_end() {
        for _ in 0..reader.map()? {
            let key = reader.uint()?;
            let value = reader.rest();
            reader.skip()?;
            if key == DATA {
                let length = value.len() - reader.rest().len();
                data = frame.slice_ref(value.get(..length).ok_or(Malformed)?);
            }
        }
    }
    if !reader.is_at_end() {
        return Err(Malformed);
    }
    let answer = match kind.ok_or(Malformed)? {
        0 => Answer::Data(data),
        error if error & ERROR != 0 && error < 2 * ERROR => Answer::Error(error & !ERROR),
        _ => return Err(Malformed),
    };
    Ok((Tag::Of(sync.ok_or(Malformed)?), answer))
}

/// The table from the server's error numbers to ours.
pub(super) fn sort(number: u64) -> BackendError {
    let code = number.to_string();
    match number {
        // No right, no such user, wrong password.
        42 | 45 | 47 => BackendError::Denied { code },
        // It starts.
        116 => BackendError::NotServing { code },
        7 => BackendError::ReadOnly,
        // No memory, or the log cannot be written.
        2 | 40 => BackendError::WritesRefused { code },
        // Among them 33, no such function, and 32, an error of the function.
        _ => BackendError::Refused { code },
    }
}

#[cfg(test)]
mod tests;
