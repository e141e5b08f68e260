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
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn of_one(stored: &[u8]) -> Result<String, (ClientId, MalformedInterests)> {
        let answer = InterestsByClient::from_stored(&[ClientId(-7)], &[Some(stored.to_vec())])?;
        let value = answer.as_json().strip_prefix(r#"{"-7":"#).unwrap().strip_suffix('}').unwrap();
        Ok(value.to_owned())
    }

    /// The expected result, by parsing into separate strings.
    fn taken_apart(stored: &[u8]) -> Result<String, (ClientId, MalformedInterests)> {
        Ok(Interests::from_json(stored).map_err(|error| (ClientId(-7), error))?.to_json())
    }

    #[test]
    fn clients_keep_their_order_a_missing_value_is_an_empty_list() {
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
    fn a_value_that_is_not_a_list_of_strings_names_its_client(#[case] stored: &str) {
        assert_eq!(of_one(stored.as_bytes()), taken_apart(stored.as_bytes()));
        assert_eq!(of_one(stored.as_bytes()).unwrap_err().0, ClientId(-7));
    }

    #[rstest]
    #[case::not_utf8_before_no_list(b"[\"\xff\"]", b"{}")]
    #[case::no_list_before_not_utf8(b"{}", b"[\"\xff\"]")]
    #[case::half_a_letter_whose_other_half_is_the_next_ones(b"[\"\xd0\"]", b"[\"\xb6\"]")]
    fn the_first_client_with_a_malformed_value_is_named(#[case] first: &[u8], #[case] second: &[u8]) {
        let clients = [3, 2, 1].map(ClientId);
        let values = [br#"["books", "a\\b"]"#, first, second].map(|value| Some(value.to_vec()));
        assert_eq!(InterestsByClient::from_stored(&clients, &values).unwrap_err().0, ClientId(2));
    }

    /// Texts of the characters of JSON string arrays, and of some others.
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
        fn copying_a_value_gives_the_same_as_parsing_it(
            stored in prop_oneof![4 => nearly_json(), 1 => any::<Vec<u8>>()],
        ) {
            prop_assert_eq!(of_one(&stored), taken_apart(&stored));
        }

        #[test]
        fn any_stored_strings_survive_a_json_parser(interests: Vec<String>, pretty: bool) {
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
