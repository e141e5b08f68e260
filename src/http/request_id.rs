//! The request's id: the client's if it is fit to be logged, else a new one. Every response repeats it.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base16ct::lower::encode_string as lower_hex;

use crate::domain::is_request_id;

/// The header of the id.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The id in `headers`, or a new one: 32 random hexadecimal digits.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        match headers.get(HEADER) {
            Some(given) if is_request_id(given.as_bytes()) => Self(given.clone()),
            Some(_) | None => Self::random(),
        }
    }

    /// The text of a request's id; empty for a request that came through no listener.
    pub(super) fn of(given: Option<&Self>) -> String {
        given.map(|id| id.as_str().to_owned()).unwrap_or_default()
    }

    /// The id as a header of the response.
    pub(super) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The id as text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// A new id.
    pub(super) fn random() -> Self {
        let id = lower_hex(&fastrand::u128(..).to_be_bytes());
        // Hexadecimal digits always make a header value.
        Self(HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("0")))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one_character(b"x", true)]
    #[case::longest(&[b'~'; 128], true)]
    #[case::too_long(&[b'~'; 129], false)]
    #[case::empty(b"", false)]
    #[case::blank_inside(b"a b", false)]
    #[case::control_character(b"a\tb", false)]
    #[case::not_ascii("é".as_bytes(), false)]
    fn an_id_is_taken_if_it_is_request_id(#[case] given: &[u8], #[case] taken: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_bytes(given).unwrap());
        let id = RequestId::from_headers(&headers);
        assert_eq!(id.to_header().as_bytes() == given, taken);
        assert!(is_request_id(id.to_header().as_bytes()));
    }

    #[test]
    fn ids_that_are_made_differ() {
        let none = HeaderMap::new();
        assert_ne!(RequestId::from_headers(&none), RequestId::from_headers(&none));
    }
}
