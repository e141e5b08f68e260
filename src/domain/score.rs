//! A person's score, and its cache key.

use base16ct::lower::encode_string as lower_hex;
use md5::{Digest, Md5};
use serde::Serialize;

use super::requests::OnlineScore;
use super::values::{Email, Gender, Name, Phone};

/// Part of every cache key. Raise it when [`Score::compute`] changes, or old scores outlive the change by one TTL.
const FORMULA_VERSION: u32 = 1;

/// The capacity of the text that a key digests, in bytes; enough for most people without growing.
const USUAL_LENGTH: usize = 128;

/// A score: finite, at least 0, and never -0.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Score(f64);

impl Score {
    /// A score of `value`, or `None` if no score can have that value.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        // Adding 0 turns -0 into 0.
        (value.is_finite() && value >= 0.0).then_some(Self(value + 0.0))
    }

    /// The contract's formula: 1.5 for a phone, 1.5 for an email, 1.5 for a birthday with a gender other than 0, 0.5
    /// for both names. From 0 to 5.
    #[must_use]
    pub fn compute(person: &OnlineScore) -> Self {
        let has_gender = person.gender.is_some_and(|gender| gender != Gender::Unknown);
        let parts = [
            (1.5, person.phone.is_some()),
            (1.5, person.email.is_some()),
            (1.5, person.birthday.is_some() && has_gender),
            (0.5, person.first_name.is_some() && person.last_name.is_some()),
        ];
        Self(
            parts
                .into_iter()
                .filter_map(|(worth, is_there)| is_there.then_some(worth))
                .fold(0.0, |a, b| a + b),
        )
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

/// The key under which the score of `person` is cached: `uid:` and the MD5, in lower-case hex, of the formula's version
/// and all inputs. Two people share a key only if every input is equal.
///
/// MD5 keeps keys short. It is not meant to hide its input.
#[must_use]
pub fn cache_key(person: &OnlineScore) -> String {
    format!("uid:{}", lower_hex(&Md5::digest(encode(person))))
}

/// The text that a key digests. Each value follows its length in bytes, so that values cannot run into each other. A
/// missing value is `-`, which is not a length.
fn encode(person: &OnlineScore) -> String {
    // Without `..`: a new argument must be encoded, or calls that differ only in it would share a score.
    let OnlineScore { phone, email, first_name, last_name, birthday, gender } = person;
    let birthday = birthday.map(|birthday| birthday.date().to_string());
    let gender = gender.map(|gender| gender.code().to_string());
    let mut text = String::with_capacity(USUAL_LENGTH);
    let mut length = itoa::Buffer::new();
    text.push('v');
    text.push_str(length.format(FORMULA_VERSION));
    text.push(';');
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
