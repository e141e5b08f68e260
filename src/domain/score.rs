//! A score, and the cache keys of scores.

use base16ct::lower::encode_string as lower_hex;
use md5::{Digest, Md5};
use serde::Serialize;

use super::requests::OnlineScore;
use super::values::{Email, Name, Phone};

/// The capacity of the text that a key digests, in bytes; enough for most people without growing.
const USUAL_LENGTH: usize = 128;

/// A score: finite, at least 0, and never -0.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub struct Score(f64);

impl Score {
    /// A score of `value`, or `None` if no score can have that value.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }

    /// The score as written to the cache: in decimal, and exact.
    #[must_use]
    pub fn to_cached(self) -> String {
        self.0.to_string()
    }

    /// Reads a cached score. Anything but a finite number of at least 0 is `None`, which counts as a miss.
    #[must_use]
    pub fn from_cached(value: &[u8]) -> Option<Self> {
        std::str::from_utf8(value).ok()?.parse().ok().and_then(Self::new)
    }
}

/// `uid:` and the MD5, in lower-case hex, of all inputs of a score, after those that `start` has digested. Two people share
/// a key only if every input is equal.
///
/// MD5 keeps keys short. It is not meant to hide its input.
pub(super) fn key(start: Md5, age: Option<u8>, person: &OnlineScore) -> String {
    format!("uid:{}", lower_hex(&start.chain_update(encode(age, person)).finalize()))
}

/// The text that a key digests. Each value follows its length in bytes, so that values cannot run into each other. A
/// missing value is `-`, which is not a length. An age begins with an `a`, with which no length begins.
pub(super) fn encode(age: Option<u8>, person: &OnlineScore) -> String {
    // Without `..`: a new argument must be encoded, or calls that differ only in it would share a score.
    let OnlineScore { phone, email, first_name, last_name, birthday, gender } = person;
    let birthday = birthday.map(|birthday| birthday.date().to_string());
    let gender = gender.map(|gender| gender.code().to_string());
    let mut text = String::with_capacity(USUAL_LENGTH);
    let mut length = itoa::Buffer::new();
    if let Some(age) = age {
        text.push('a');
        text.push_str(length.format(age));
        text.push(';');
    }
    for input in [
        phone.as_ref().map(Phone::as_str),
        email.as_ref().map(Email::as_str),
        first_name.as_ref().map(Name::as_str),
        last_name.as_ref().map(Name::as_str),
        birthday.as_deref(),
        gender.as_deref(),
    ] {
        match input {
            None => text.push('-'),
            Some(value) => {
                text.push_str(length.format(value.len()));
                text.push(':');
                text.push_str(value);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests;
