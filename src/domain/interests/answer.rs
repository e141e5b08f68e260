//! The answer about many clients, written straight from what is stored.
//!
//! A stored value is checked and copied and never taken apart into strings of its own: there can be 10,000 of them in an
//! answer.

use super::{Interests, MalformedInterests};
use crate::domain::ClientId;

/// More than a client takes beside the value: quotes, colon, comma, and the digits of its id.
const BESIDE_VALUE: usize = 24;

/// Clients and their interests as JSON without blanks: `{"1":["books"],"2":[]}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterestsByClient(String);

// ===== impl InterestsByClient =====

impl InterestsByClient {
    /// The answer made of the stored `values` of `clients`, in their order. A client with nothing stored has no interests;
    /// that is an answer, not a fault. No client may be given twice.
    ///
    /// # Errors
    ///
    /// The first client whose value is not a JSON array of strings.
    pub fn from_stored(
        clients: &[ClientId],
        values: &[Option<Vec<u8>>],
    ) -> Result<Self, (ClientId, MalformedInterests)> {
        let size: usize = values.iter().map(|value| BESIDE_VALUE + value.as_ref().map_or(2, Vec::len)).sum();
        let mut json = String::with_capacity(size + 2);
        let mut digits = itoa::Buffer::new();
        json.push('{');
        for (client, value) in clients.iter().zip(values) {
            json.push_str(if json.len() > 1 { ",\"" } else { "\"" });
            json.push_str(digits.format(client.0));
            json.push_str("\":");
            match value {
                None => json.push_str("[]"),
                Some(stored) => push(&mut json, stored).map_err(|error| (*client, error))?,
            }
        }
        json.push('}');
        Ok(Self(json))
    }

    /// The JSON.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// Appends a stored value without its blanks, and with no more escapes than it needs.
fn push(json: &mut String, stored: &[u8]) -> Result<(), MalformedInterests> {
    let before = json.len();
    if std::str::from_utf8(stored).ok().and_then(|text| push_plain(json, text)).is_none() {
        // It is malformed, or it has escapes, which may be there without need.
        json.truncate(before);
        json.push_str(&Interests::from_json(stored)?.to_json());
    }
    Ok(())
}

/// The blanks of JSON, which Rust's idea of a blank is wider than.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// Appends an array of strings without escapes: those stand in any JSON as they are. None if it is anything else; what was
/// appended by then is of no use.
fn push_plain(json: &mut String, text: &str) -> Option<()> {
    let mut rest = text.trim_start_matches(is_blank).strip_prefix('[')?.trim_start_matches(is_blank);
    json.push('[');
    if !rest.starts_with(']') {
        loop {
            let inner = rest.strip_prefix('"')?;
            let is_special = |&byte: &u8| byte == b'"' || byte == b'\\' || byte < b' ';
            let end = inner.as_bytes().iter().position(is_special)?;
            let after = inner.get(end..)?.strip_prefix('"')?;
            json.push_str(rest.get(..end + 2)?);
            rest = after.trim_start_matches(is_blank);
            let Some(next) = rest.strip_prefix(',') else { break };
            json.push(',');
            rest = next.trim_start_matches(is_blank);
        }
    }
    json.push(']');
    rest.strip_prefix(']')?.trim_start_matches(is_blank).is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of_one(stored: &[u8]) -> Result<String, (ClientId, MalformedInterests)> {
        let answer = InterestsByClient::from_stored(&[ClientId(-7)], &[Some(stored.to_vec())])?;
        let value = answer.as_json().strip_prefix(r#"{"-7":"#).unwrap().strip_suffix('}').unwrap();
        Ok(value.to_owned())
    }

    /// What it comes to by way of strings of its own.
    fn taken_apart(stored: &[u8]) -> Result<String, (ClientId, MalformedInterests)> {
        Ok(Interests::from_json(stored).map_err(|error| (ClientId(-7), error))?.to_json())
    }

    #[test]
    fn clients_stand_in_the_order_given_and_one_with_nothing_stored_has_no_interests() {
        let clients = [2, -1, i64::MIN].map(ClientId);
        let values = [Some(br#"["books", "hi-tech"]"#.to_vec()), None, Some(b"[]".to_vec())];
        let answer = InterestsByClient::from_stored(&clients, &values).unwrap();
        assert_eq!(answer.as_json(), r#"{"2":["books","hi-tech"],"-1":[],"-9223372036854775808":[]}"#);
    }

    #[test]
    fn no_clients_are_an_empty_object() {
        assert_eq!(InterestsByClient::from_stored(&[], &[]).unwrap().as_json(), "{}");
    }

    #[test]
    fn room_for_the_answer_is_made_once() {
        let clients = [i64::MIN; 100].map(ClientId);
        for value in [Some(br#"["books"]"#.to_vec()), None] {
            let answer = InterestsByClient::from_stored(&clients, &vec![value; 100]).unwrap();
            assert!(answer.0.capacity() <= 100 * (BESIDE_VALUE + 9) + 2, "it has grown");
        }
    }

    #[rstest]
    #[case::as_it_is_stored_here(r#"["books","hi-tech"]"#, r#"["books","hi-tech"]"#)]
    #[case::blanks_between_the_parts("\t[ \n\"books\" ,\r \"hi-tech\" ] ", r#"["books","hi-tech"]"#)]
    #[case::blanks_within_a_string(r#"[" a  b "]"#, r#"[" a  b "]"#)]
    #[case::an_empty_string(r#"["",""]"#, r#"["",""]"#)]
    #[case::nothing_but_blanks("[ ]", "[]")]
    #[case::other_letters(r#"["книги"]"#, r#"["книги"]"#)]
    #[case::letters_in_escapes(r#"["\u043a\u043d\u0438\u0433\u0438"]"#, r#"["книги"]"#)]
    #[case::escapes_that_are_needed(r#"["a\"b\\c\nd", "e"]"#, r#"["a\"b\\c\nd","e"]"#)]
    #[case::an_escape_that_is_not_needed(r#"["a", "b\/c"]"#, r#"["a","b/c"]"#)]
    fn a_value_is_written_without_blanks_and_needless_escapes(#[case] stored: &str, #[case] json: &str) {
        assert_eq!(of_one(stored.as_bytes()).unwrap(), json);
    }

    #[rstest]
    #[case::a_comma_at_the_end(r#"["a",]"#)]
    #[case::a_comma_alone("[,]")]
    #[case::no_comma(r#"["a" "b"]"#)]
    #[case::no_end(r#"["a""#)]
    #[case::no_end_of_a_string(r#"["a"#)]
    #[case::something_behind_it(r#"["a"] ["b"]"#)]
    #[case::a_line_break_within_a_string("[\"a\nb\"]")]
    #[case::a_blank_that_json_does_not_know("[\u{a0}\"a\"]")]
    #[case::half_an_escape(r#"["\u12"]"#)]
    fn what_is_no_list_of_strings_is_refused_with_its_client(#[case] stored: &str) {
        assert_eq!(of_one(stored.as_bytes()), taken_apart(stored.as_bytes()));
        assert_eq!(of_one(stored.as_bytes()).unwrap_err().0, ClientId(-7));
    }

    /// Texts of the letters that JSON's lists of strings are made of, and of some that they are not.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        let parts = prop::sample::select(vec![
            "[", "]", "\"", "\"", "\"a\"", "\"b\"", ",", " ", "\n", "\\", "\\n", "\u{0}", "\u{a0}", "ж", "x",
            "1", "null", "{",
        ]);
        let inside = prop::collection::vec(parts, 0..8).prop_map(|parts| parts.concat());
        (inside, any::<bool>()).prop_map(|(text, is_list)| {
            if is_list { format!("[{text}]").into_bytes() } else { text.into_bytes() }
        })
    }

    proptest! {
        #[test]
        fn whatever_is_stored_comes_to_the_same_as_if_it_were_taken_apart(
            stored in prop_oneof![4 => nearly_json(), 1 => any::<Vec<u8>>()],
        ) {
            prop_assert_eq!(of_one(&stored), taken_apart(&stored));
        }

        #[test]
        fn whatever_strings_are_stored_come_out_of_a_json_parser_again(interests: Vec<String>, pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&interests).unwrap()
            } else {
                serde_json::to_string(&interests).unwrap()
            };
            let read: Vec<String> = serde_json::from_str(&of_one(text.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!(read, interests);
        }
    }
}
