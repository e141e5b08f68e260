use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn string(text: &str) -> Json {
    Json::String(text.to_owned())
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    Json::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// `depth` arrays in each other.
fn nested_arrays(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

/// `depth` objects in each other.
fn nested_objects(depth: usize) -> String {
    r#"{"a":"#.repeat(depth) + "0" + &"}".repeat(depth)
}

#[rstest]
#[case::null("null", Json::Null)]
#[case::true_("true", Json::Bool(true))]
#[case::zero("0", Json::Integer(0))]
#[case::negative("-1", Json::Integer(-1))]
#[case::largest("9223372036854775807", Json::Integer(i64::MAX))]
#[case::smallest("-9223372036854775808", Json::Integer(i64::MIN))]
#[case::one_above_i64("9223372036854775808", Json::OtherNumber)]
#[case::one_below_i64("-9223372036854775809", Json::OtherNumber)]
#[case::beyond_u64("18446744073709551616", Json::OtherNumber)]
#[case::whole_but_with_a_fraction("1.0", Json::OtherNumber)]
#[case::whole_but_with_an_exponent("1e0", Json::OtherNumber)]
#[case::negative_zero("-0", Json::OtherNumber)]
#[case::out_of_range("1e400", Json::OtherNumber)]
#[case::negative_and_out_of_range("-1.5E+400", Json::OtherNumber)]
#[case::out_of_range_beside_strings(r#"["1e400", "\"1e400", -1e400, 1]"#, Json::Array(vec![string("1e400"), string("\"1e400"), Json::OtherNumber, Json::Integer(1)]))]
#[case::string(r#""a""#, string("a"))]
#[case::escapes(r#""\u0410\ud83d\ude00\n""#, string("А😀\n"))]
#[case::array("[1, null]", Json::Array(vec![Json::Integer(1), Json::Null]))]
#[case::object(r#"{"a": {}, "b": []}"#, object([("a", object([])), ("b", Json::Array(vec![]))]))]
#[case::white_space_around(" \r\n\t1 \n", Json::Integer(1))]
fn reads_every_kind_of_value(#[case] body: &str, #[case] expected: Json) {
    assert_eq!(Json::parse(body.as_bytes()), Ok(expected));
}

#[rstest]
#[case::no_bytes(b"")]
#[case::white_space(b" \t\r\n")]
fn an_empty_body_is_named_so(#[case] body: &[u8]) {
    assert_eq!(Json::parse(body), Err(BadJson::Empty));
}

#[rstest]
#[case::in_a_string(b"\"\xff\"")]
#[case::in_a_key(b"{\"\xc3\": 1}")]
#[case::outside(b"\xfe")]
#[case::surrogate_in_utf8(b"\"\xed\xa0\x80\"")]
#[case::overlong(b"\"\xc0\x80\"")]
#[case::utf16(b"\xff\xfe{\0}\0")]
fn a_body_that_is_not_utf8_is_named_so(#[case] body: &[u8]) {
    assert_eq!(Json::parse(body), Err(BadJson::NotUtf8));
}

#[rstest]
#[case::word("hello")]
#[case::broken_off(r#"{"a": "#)]
#[case::string_broken_off(r#""a"#)]
#[case::byte_order_mark("\u{feff}{}")]
#[case::trailing_garbage("{} x")]
#[case::two_values("{}{}")]
#[case::trailing_comma("[1,]")]
#[case::comment("/* */ {}")]
#[case::single_quotes("{'a': 1}")]
#[case::key_without_quotes("{a: 1}")]
#[case::key_that_is_no_string("{1: 1}")]
#[case::lone_leading_surrogate(r#""\ud83d""#)]
#[case::lone_trailing_surrogate(r#""\ude00""#)]
#[case::lone_surrogate_in_a_key(r#"{"\ud83d": 1}"#)]
#[case::control_character_in_a_string("\"\n\"")]
#[case::bad_escape(r#""\x""#)]
#[case::leading_zero("01")]
#[case::leading_plus("+1")]
#[case::number_out_of_range_and_garbage("[1e999 x]")]
#[case::number_out_of_range_with_a_leading_zero("01e999")]
#[case::number_out_of_range_with_two_exponents("1e999e1")]
#[case::number_out_of_range_in_a_broken_string("\"1e999")]
#[case::not_a_number("NaN")]
#[case::infinity("-Infinity")]
#[case::capital_literal("True")]
#[case::nul_byte("{}\0")]
#[case::white_space_of_unicode("\u{a0}")]
fn invalid_json_is_rejected_with_its_reason(#[case] body: &str) {
    let error = Json::parse(body.as_bytes()).unwrap_err();
    assert!(matches!(error, BadJson::Syntax { .. }), "{error:?}");
}

#[test]
fn a_syntax_error_behind_a_number_out_of_range_has_its_place() {
    assert_eq!(Json::parse(b"{\n  \"a\": 1e400, x}"), Err(BadJson::Syntax { line: 2, column: 15 }));
}

#[test]
fn a_syntax_error_has_a_place() {
    assert_eq!(Json::parse(b"{\n  \"a\": x}"), Err(BadJson::Syntax { line: 2, column: 8 }));
}

#[rstest]
#[case::at_the_top(r#"{"a": 1, "a": 2}"#)]
#[case::with_equal_values(r#"{"a": 1, "a": 1}"#)]
#[case::not_side_by_side(r#"{"a": 1, "b": 2, "a": 3}"#)]
#[case::written_differently(r#"{"a": 1, "\u0061": 2}"#)]
#[case::empty_key(r#"{"": 1, "": 2}"#)]
#[case::in_an_object(r#"{"arguments": {"a": 1, "a": 2}}"#)]
#[case::deep_in_an_unknown_field(r#"{"unknown": [[{"b": {"a": 1, "a": 2}}]]}"#)]
#[case::then_broken_off(r#"{"a": 1, "a""#)]
#[case::behind_a_number_out_of_range(r#"{"b": 1e400, "a": 1, "a": 2}"#)]
fn a_repeated_key_is_refused_at_any_level(#[case] body: &str) {
    let error = Json::parse(body.as_bytes()).unwrap_err();
    assert!(matches!(error, BadJson::RepeatedKey { line: 1, .. }), "{error:?}");
}

#[rstest]
#[case::in_two_objects(r#"[{"a": 1}, {"a": 1}]"#)]
#[case::at_two_levels(r#"{"a": {"a": {"a": 1}}}"#)]
#[case::in_another_case(r#"{"a": 1, "A": 1}"#)]
#[case::as_a_value(r#"{"a": "a"}"#)]
fn the_same_key_elsewhere_is_no_repetition(#[case] body: &str) {
    assert!(Json::parse(body.as_bytes()).is_ok());
}

#[rstest]
fn nesting_is_accepted_up_to_the_limit(
    #[values(nested_arrays, nested_objects)] nested: fn(usize) -> String,
    #[values(1, 125, 126)] depth: usize,
) {
    assert!(Json::parse(nested(depth).as_bytes()).is_ok());
}

/// Also around serde_json's own limit of 128, whose error would be a syntax error here.
#[rstest]
fn nesting_beyond_the_limit_is_named_so(
    #[values(nested_arrays, nested_objects)] nested: fn(usize) -> String,
    #[values(127, 128, 129, 30_000)] depth: usize,
) {
    assert_eq!(Json::parse(nested(depth).as_bytes()), Err(BadJson::TooDeep));
}

#[test]
fn depth_counts_levels_and_not_brackets() {
    let flat = format!("[{}]", vec!["[]"; 1000].join(","));
    assert!(Json::parse(flat.as_bytes()).is_ok());
    let quoted = format!("\"{}\"", "[".repeat(1000));
    assert!(Json::parse(quoted.as_bytes()).is_ok());
}

#[test]
fn forty_thousand_keys_are_no_burden() {
    let entries: Vec<_> = (0..40_000).map(|key| format!("\"{key:x}\":0")).collect();
    let body = format!("{{{}}}", entries.join(","));
    let Ok(Json::Object(mut object)) = Json::parse(body.as_bytes()) else { panic!("it is an object") };
    assert_eq!(object.len(), 40_000);
    assert_eq!(object.remove("9c3f"), Some(Json::Integer(0)));
    assert_eq!(object.remove("9c40"), None);
}

#[rstest]
#[case::syntax(r#"{"ivanov": ivanov}"#)]
#[case::repeated_key(r#"{"ivanov": 1, "ivanov": 2}"#)]
#[case::broken_off(r#"{"ivanov": "ivanov"#)]
fn an_error_does_not_quote_the_body(#[case] body: &str) {
    let error = Json::parse(body.as_bytes()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("ivanov"));
}

#[rstest]
#[case::empty(BadJson::Empty, "the body is empty")]
#[case::not_utf8(BadJson::NotUtf8, "the body is not UTF-8")]
#[case::syntax(BadJson::Syntax { line: 1, column: 2 }, "the body is not JSON, see line 1, column 2")]
#[case::too_deep(BadJson::TooDeep, "the body nests too deep")]
#[case::repeated_key(BadJson::RepeatedKey { line: 3, column: 4 }, "the body repeats a key, see line 3, column 4")]
fn an_error_says_why(#[case] error: BadJson, #[case] text: &str) {
    assert_eq!(error.to_string(), text);
}

#[rstest]
#[case::null("null", "null")]
#[case::boolean("true", "boolean")]
#[case::integer("79175002040", "integer")]
#[case::number("7.5", "number")]
#[case::string(r#""ivanov""#, "string")]
#[case::array(r#"["ivanov", 1]"#, "array of 2")]
#[case::object(r#"{"ivanov": "ivanov"}"#, "object of 1")]
fn debug_shows_the_kind_and_no_content(#[case] body: &str, #[case] shown: &str) {
    assert_eq!(format!("{:?}", Json::parse(body.as_bytes()).unwrap()), shown);
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(body: Vec<u8>) {
        let _ = Json::parse(&body);
    }

    #[test]
    fn anything_like_json_gets_an_answer(body in r#"[\[\]{}":,0-9a\\u\-.e tnl]{0,60}"#) {
        let _ = Json::parse(body.as_bytes());
    }

    /// serde_json is the oracle, except for the deliberate rejections.
    #[test]
    fn accepts_nothing_that_serde_json_refuses(body in r#"[\[\]{}":,0-9a\\\-.e ]{0,30}"#) {
        let theirs = serde_json::from_str::<serde_json::Value>(&body).is_ok();
        match Json::parse(body.as_bytes()) {
            Ok(_) => prop_assert!(theirs),
            Err(BadJson::RepeatedKey { .. } | BadJson::TooDeep) => {}
            Err(BadJson::Empty | BadJson::NotUtf8 | BadJson::Syntax { .. }) => prop_assert!(!theirs),
        }
    }
}
