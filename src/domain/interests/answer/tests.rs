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
