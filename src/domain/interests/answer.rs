//! The answer about many clients, written directly from the stored values.
//!
//! A stored value is checked and copied, without parsing it into separate strings: an answer can have 10,000 of them.

use super::{Interests, MalformedInterests};
use crate::domain::ClientId;

/// More bytes than a client needs besides the value: quotes, colon, comma, and the digits of its id.
const BESIDE_VALUE: usize = 24;

/// Clients and their interests as JSON without blanks: `{"1":["books"],"2":[]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterestsByClient(String);

// ===== impl InterestsByClient =====

impl InterestsByClient {
    /// The answer made from the stored `values` of `clients`, in their order. A client without a stored value has no
    /// interests; that is an answer, not a fault. Every client may be given only once.
    ///
    /// # Errors
    ///
    /// The first client whose value is not a JSON array of strings.
    pub fn from_stored(
        clients: &[ClientId],
        values: &[Option<Vec<u8>>],
    ) -> Result<Self, (ClientId, MalformedInterests)> {
        let written = write_plain(clients, values).and_then(|json| String::from_utf8(json).ok());
        written.map_or_else(|| write_taken_apart(clients, values), Ok).map(Self)
    }

    /// The JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// The answer, if every value is valid. It may not be UTF-8. The caller checks the whole answer at once, which is
/// faster; the result is the same, because the text between quotes is copied with its quotes.
fn write_plain(clients: &[ClientId], values: &[Option<Vec<u8>>]) -> Option<Vec<u8>> {
    let size: usize = values.iter().map(|value| BESIDE_VALUE + value.as_ref().map_or(2, Vec::len)).sum();
    let mut json = Vec::with_capacity(size + 2);
    let mut digits = itoa::Buffer::new();
    json.push(b'{');
    for (client, value) in clients.iter().zip(values) {
        json.extend_from_slice(if json.len() > 1 { b",\"" } else { b"\"" });
        json.extend_from_slice(digits.format(client.0).as_bytes());
        json.extend_from_slice(b"\":");
        let Some(stored) = value else {
            json.extend_from_slice(b"[]");
            continue;
        };
        let before = json.len();
        if push_plain(&mut json, stored).is_none() {
            // It is malformed, or it has escapes, perhaps needless ones.
            json.truncate(before);
            json.extend_from_slice(Interests::from_json(stored).ok()?.to_json().as_bytes());
        }
    }
    json.push(b'}');
    Some(json)
}

/// The same with each value parsed, which finds the first malformed one.
fn write_taken_apart(
    clients: &[ClientId],
    values: &[Option<Vec<u8>>],
) -> Result<String, (ClientId, MalformedInterests)> {
    let entry = |(client, value): (&ClientId, &Option<Vec<u8>>)| {
        let interests = value.as_deref().map_or(Ok(Interests::default()), Interests::from_json);
        Ok(format!("\"{client}\":{}", interests.map_err(|error| (*client, error))?.to_json()))
    };
    let entries = clients.iter().zip(values).map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{{{}}}", entries.join(",")))
}

/// Appends an array of strings without escapes: such strings are copied unchanged. `None` for anything else; the part
/// appended until then is then useless.
fn push_plain(json: &mut Vec<u8>, stored: &[u8]) -> Option<()> {
    let mut rest = without_blanks(without_blanks(stored).strip_prefix(b"[")?);
    json.push(b'[');
    if !rest.starts_with(b"]") {
        loop {
            let inner = rest.strip_prefix(b"\"")?;
            let is_special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let (text, end) = inner.split_at(inner.iter().position(is_special)?);
            let after = end.strip_prefix(b"\"")?;
            json.push(b'"');
            json.extend_from_slice(text);
            json.push(b'"');
            rest = without_blanks(after);
            let Some(next) = rest.strip_prefix(b",") else { break };
            json.push(b',');
            rest = without_blanks(next);
        }
    }
    json.push(b']');
    without_blanks(rest.strip_prefix(b"]")?).is_empty().then_some(())
}

/// Removes leading blanks.
fn without_blanks(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests;
