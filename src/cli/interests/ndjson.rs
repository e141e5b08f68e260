//! NDJSON: each line an object such as `{"id": 1, "interests": ["books", "hi-tech"]}`.
//!
//! Read with the service's own strict JSON: an integer is an integer, and a repeated field is a mistake.

use crate::{
    cli::{line_fault::LineFault, lines},
    domain::{ClientId, Interests, Json},
};

/// The fields of a line.
const KNOWN_FIELDS: &str = "id and interests";

/// Reads one line.
pub(super) fn parse(line: &str) -> Result<(ClientId, Interests), LineFault> {
    let mut object = lines::object(line)?;
    let (id, interests) = (object.remove("id"), object.remove("interests"));
    // A misspelt field would otherwise be a client without interests.
    if !object.is_empty() {
        return Err(LineFault::UnknownField(KNOWN_FIELDS));
    }
    let id = match id.ok_or(LineFault::Missing("id"))? {
        Json::Integer(id) => ClientId(id),
        Json::Null
        | Json::Bool(_)
        | Json::OtherNumber
        | Json::String(_)
        | Json::Array(_)
        | Json::Object(_) => {
            return Err(LineFault::Id);
        }
    };
    let Json::Array(items) = interests.ok_or(LineFault::Missing("interests"))? else {
        return Err(LineFault::Interests);
    };
    let interests: Option<Vec<String>> = items.into_iter().map(string).collect();
    Ok((id, Interests(interests.ok_or(LineFault::Interests)?)))
}

fn string(json: Json) -> Option<String> {
    if let Json::String(text) = json { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::cli::interests::record;
    use crate::cli::lines::BadObject;

    #[rstest]
    #[case::plain(r#"{"id": 1, "interests": ["books", "hi-tech"]}"#, 1, &["books", "hi-tech"])]
    #[case::none(r#"{"id": 1, "interests": []}"#, 1, &[])]
    #[case::other_order(r#" {"interests":["a"],"id":-7} "#, -7, &["a"])]
    #[case::largest(r#"{"id":9223372036854775807,"interests":[]}"#, i64::MAX, &[])]
    #[case::smallest(r#"{"id":-9223372036854775808,"interests":[]}"#, i64::MIN, &[])]
    #[case::empty_and_repeated(r#"{"id":1,"interests":["","a","a"]}"#, 1, &["", "a", "a"])]
    fn reads(#[case] line: &str, #[case] id: i64, #[case] interests: &[&str]) {
        let interests = interests.iter().map(|&text| text.to_owned()).collect();
        assert_eq!(parse(line), Ok((ClientId(id), Interests(interests))));
    }

    #[rstest]
    #[case::no_json("1,books", BadObject::Syntax { column: 2 }.into())]
    #[case::broken_off(r#"{"id": 1"#, BadObject::Syntax { column: 8 }.into())]
    #[case::two_objects("{} {}", BadObject::Syntax { column: 4 }.into())]
    #[case::array(r#"[1, ["books"]]"#, BadObject::NotAnObject.into())]
    #[case::null("null", BadObject::NotAnObject.into())]
    #[case::repeated_field(r#"{"id":1,"id":1,"interests":[]}"#, BadObject::RepeatedField { column: 12 }.into())]
    #[case::misspelt(r#"{"id":1,"interest":[]}"#, LineFault::UnknownField(KNOWN_FIELDS))]
    #[case::one_too_many(r#"{"id":1,"interests":[],"name":"x"}"#, LineFault::UnknownField(KNOWN_FIELDS))]
    #[case::no_id(r#"{"interests":[]}"#, LineFault::Missing("id"))]
    #[case::no_interests(r#"{"id":1}"#, LineFault::Missing("interests"))]
    #[case::id_as_string(r#"{"id":"1","interests":[]}"#, LineFault::Id)]
    #[case::id_as_fraction(r#"{"id":1.0,"interests":[]}"#, LineFault::Id)]
    #[case::id_null(r#"{"id":null,"interests":[]}"#, LineFault::Id)]
    #[case::id_true(r#"{"id":true,"interests":[]}"#, LineFault::Id)]
    #[case::id_too_large(r#"{"id":9223372036854775808,"interests":[]}"#, LineFault::Id)]
    #[case::interests_null(r#"{"id":1,"interests":null}"#, LineFault::Interests)]
    #[case::interests_as_string(r#"{"id":1,"interests":"books"}"#, LineFault::Interests)]
    #[case::number_among_them(r#"{"id":1,"interests":["books",1]}"#, LineFault::Interests)]
    fn refuses(#[case] line: &str, #[case] fault: LineFault) {
        assert_eq!(parse(line), Err(fault));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(line: String) {
            let _ = parse(&line);
        }

        #[test]
        fn an_exported_line_is_imported_unchanged(id: i64, interests: Vec<String>) {
            let (id, interests) = (ClientId(id), Interests(interests));
            let mut line = Vec::new();
            record::write(&mut line, id, &interests).unwrap();
            let line = String::from_utf8(line).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(parse(line.trim_end_matches('\n')), Ok((id, interests)));
        }
    }
}
