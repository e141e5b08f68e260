//! A client's interests, as stored under `i:<id>`.

mod answer;

use serde::Serialize;

pub use answer::InterestsByClient;

/// A client's interests, in stored order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interests(pub Vec<String>);

/// A stored value is not a JSON array of strings.
///
/// Keeps only the position, not serde_json's error: that one quotes the value, and would bring it into a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON array of strings, see line {line}, column {column}")]
pub struct MalformedInterests {
    line: usize,
    column: usize,
}

impl Interests {
    /// Reads a stored value.
    ///
    /// # Errors
    ///
    /// [`MalformedInterests`], if it is not a JSON array of strings.
    pub fn from_json(stored: &[u8]) -> Result<Self, MalformedInterests> {
        serde_json::from_slice(stored)
            .map(Self)
            .map_err(|error| MalformedInterests { line: error.line(), column: error.column() })
    }

    /// The value to store; [`Interests::from_json`] reads it back.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::Value::from(self.0.as_slice()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::two(r#"["books", "hi-tech"]"#, &["books", "hi-tech"])]
    #[case::none("[]", &[])]
    #[case::escapes(r#"["\u043a\u043d\u0438\u0433\u0438"]"#, &["книги"])]
    fn reads_an_array_of_strings(#[case] stored: &str, #[case] expected: &[&str]) {
        assert_eq!(Interests::from_json(stored.as_bytes()).unwrap().0, expected);
    }

    #[rstest]
    #[case::empty(b"")]
    #[case::null(b"null")]
    #[case::string(br#""books""#)]
    #[case::object(br#"{"books": 1}"#)]
    #[case::number_among_strings(br#"["books", 1]"#)]
    #[case::null_among_strings(br#"["books", null]"#)]
    #[case::nested(br#"[["books"]]"#)]
    #[case::broken_off(br#"["books""#)]
    #[case::trailing_garbage(br#"["books"] x"#)]
    #[case::not_utf8(b"[\"\xff\"]")]
    fn refuses_anything_else(#[case] stored: &[u8]) {
        assert!(Interests::from_json(stored).is_err());
    }

    #[test]
    fn an_error_does_not_quote_the_value() {
        let error = Interests::from_json(br#""a secret wish""#).unwrap_err();
        assert_eq!(error.to_string(), "not a JSON array of strings, see line 1, column 15");
        assert!(!format!("{error:?}").contains("wish"));
    }

    proptest! {
        #[test]
        fn stored_interests_read_back(interests: Vec<String>) {
            let interests = Interests(interests);
            prop_assert_eq!(Interests::from_json(interests.to_json().as_bytes()), Ok(interests));
        }
    }
}
