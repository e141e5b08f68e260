//! JSON with the contract's strictness about bytes, depth and repeated keys.
//!
//! In `serde_json::Value` the last of two equal keys wins, so two readers of one body could see two different requests.
//! Here a repeated key is an error at every level, within unknown fields too.
//!
//! Neither [`Json`] nor [`BadJson`] ever shows content: a body holds personal data, and its keys come from the client.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::iter;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The maximum nesting of arrays and objects.
///
/// serde_json itself stops at the 128th level, but its error differs from a syntax error only in its text. This limit
/// is one level lower, so that the error has its own type.
const MAX_DEPTH: usize = 126;

/// A JSON value. Its `Debug` names only the kind, never the content.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer literal within `i64`.
    Integer(i64),
    /// Any other number: with a fraction or an exponent, outside `i64` or even `f64`, or `-0` (which JSON parsers read as a
    /// float). No field of the protocol has this type, so the value is not kept.
    OtherNumber,
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object.
    Object(Object),
}

/// A JSON object with no key twice. Looking up one of `n` keys costs O(log n). Its `Debug` shows only the size.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Object(BTreeMap<String, Json>);

/// Why a body is rejected as JSON. The text is safe to show to anyone: it never quotes the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJson {
    /// No bytes, or only white space.
    #[error("the body is empty")]
    Empty,
    /// Some bytes are not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// Not one JSON value: incomplete, followed by something else, preceded by a byte order mark, with half a surrogate
    /// pair, …
    #[error("the body is not JSON, see line {line}, column {column}")]
    Syntax {
        /// From 1.
        line: usize,
        /// In bytes, from 1; 0 if the line has not begun.
        column: usize,
    },
    /// More than 126 levels of arrays and objects.
    #[error("the body nests too deep")]
    TooDeep,
    /// One object has the same key twice.
    #[error("the body repeats a key, see line {line}, column {column}")]
    RepeatedKey {
        /// From 1.
        line: usize,
        /// In bytes, from 1.
        column: usize,
    },
}

// ===== impl Json =====

impl Json {
    /// Reads one JSON value that fills the whole of `body`, in O(n log n) of its size.
    ///
    /// # Errors
    ///
    /// [`BadJson`], for the first fault.
    pub fn parse(body: &[u8]) -> Result<Self, BadJson> {
        if body.trim_ascii().is_empty() {
            return Err(BadJson::Empty);
        }
        let text = std::str::from_utf8(body).map_err(|_| BadJson::NotUtf8)?;
        match read(text) {
            Err(BadJson::Syntax { .. }) => read(&numbers_within_range(text)),
            read => read,
        }
    }
}

/// `text` with a zero of the same length in place of each number that is out of `f64`'s range. serde_json reports such a number
/// as a syntax error, and to the protocol it is a number like any other that is not an integer.
fn numbers_within_range(text: &str) -> String {
    let mut within = String::with_capacity(text.len());
    let (mut rest, mut in_string) = (text, false);
    while let Some(first) = rest.chars().next() {
        let is_number = |character: char| matches!(character, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let length = match first {
            '"' => {
                in_string = !in_string;
                1
            }
            '\\' if in_string => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            '-' | '0'..='9' if !in_string => rest.find(|next| !is_number(next)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        let is_json = || serde_json::from_str::<IgnoredAny>(token).is_ok();
        if !in_string && token.parse().is_ok_and(f64::is_infinite) && is_json() {
            within += "0.";
            within.extend(iter::repeat_n('0', length - 2));
        } else {
            within += token;
        }
        rest = behind;
    }
    within
}

fn read(text: &str) -> Result<Json, BadJson> {
    let violation = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Value { depth: 0, violation: &violation }
        .deserialize(&mut deserializer)
        .and_then(|json| deserializer.end().map(|()| json))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            match violation.get() {
                None => BadJson::Syntax { line, column },
                Some(Violation::TooDeep) => BadJson::TooDeep,
                Some(Violation::RepeatedKey) => BadJson::RepeatedKey { line, column },
            }
        })
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(_) => f.write_str("boolean"),
            Self::Integer(_) => f.write_str("integer"),
            Self::OtherNumber => f.write_str("number"),
            Self::String(_) => f.write_str("string"),
            Self::Array(items) => write!(f, "array of {}", items.len()),
            Self::Object(object) => object.fmt(f),
        }
    }
}

// ===== impl Object =====

impl Object {
    /// The value of `key`, if there is one.
    pub(super) fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }

    /// Takes the value of `key` out, if there is one.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        self.0.remove(key)
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the object has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, Json)> for Object {
    fn from_iter<I: IntoIterator<Item = (String, Json)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object of {}", self.len())
    }
}

// ===== reading =====

/// An error of the visitor's own. It is kept beside serde_json's error, which could carry it only as text.
#[derive(Clone, Copy)]
enum Violation {
    TooDeep,
    RepeatedKey,
}

/// Reads one value inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Value<'a> {
    depth: usize,
    violation: &'a Cell<Option<Violation>>,
}

impl Value<'_> {
    fn fail<E: serde::de::Error>(self, violation: Violation) -> E {
        self.violation.set(Some(violation));
        E::custom("refused")
    }

    /// The reader for the items of this value, which is an array or object.
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(Violation::TooDeep));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Json;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::OtherNumber, Json::Integer))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(inside)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let inside = self.inside()?;
        let mut entries = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match entries.entry(key) {
                Entry::Vacant(entry) => entry.insert(map.next_value_seed(inside)?),
                Entry::Occupied(_) => return Err(self.fail(Violation::RepeatedKey)),
            };
        }
        Ok(Json::Object(Object(entries)))
    }
}

#[cfg(test)]
mod tests;
