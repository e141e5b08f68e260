//! The result of a method call: an answer, or an error.
//!
//! `http` maps each to its HTTP status.

use std::{io::Write as _, time::Duration};

use super::auth::{Forbidden, Rejected};
use super::card::Explained;
use super::failure::{Defect, Outage};
use super::fields::Faults;
use super::interests::InterestsByClient;
use super::json::BadJson;
use super::score::Score;

/// The score that the admin always gets.
pub const ADMIN_SCORE: u32 = 42;

/// A successful answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `{"score": 3.0}`
    Score(Score),
    /// `{"score": 190.0, "reasons": ["R-AGE-2"], "card": "2026-11-a"}`
    Explained(Explained),
    /// `{"score": 42}`
    AdminScore,
    /// `{"1": ["books"], "2": []}`
    Interests(InterestsByClient),
}

/// Why a call has no answer. The text is safe to show to anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The body is rejected as JSON.
    #[error(transparent)]
    BadRequest(#[from] BadJson),
    /// The token does not match.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The request is valid JSON, but not a valid request; with all its faults.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The store cannot answer in time, or the service is overloaded. A retry may succeed.
    #[error("the service is unavailable")]
    Unavailable(Outage),
    /// The caller exceeds its rate.
    #[error("too many calls")]
    TooMany {
        /// The time until the next call is allowed; greater than zero.
        retry_after: Duration,
    },
    /// A bug, or an invalid stored value. Only the log has the details.
    #[error("internal error")]
    Internal(Defect),
}

/// The caller learns nothing but that.
impl From<Rejected> for CallError {
    fn from(_: Rejected) -> Self {
        Self::Forbidden(Forbidden)
    }
}

impl Answer {
    /// Appends the contract's `response`, as JSON without blanks.
    pub fn write_json(&self, to: &mut Vec<u8>) {
        match self {
            Self::Score(score) => {
                to.extend_from_slice(br#"{"score":"#);
                // Writing a finite number to a `Vec` cannot fail.
                _ = serde_json::to_writer(&mut *to, score);
                to.push(b'}');
            }
            // Strings and a finite number can always be serialized.
            Self::Explained(explained) => _ = serde_json::to_writer(&mut *to, explained),
            // This cannot fail either.
            Self::AdminScore => _ = write!(to, r#"{{"score":{ADMIN_SCORE}}}"#),
            Self::Interests(interests) => to.extend_from_slice(interests.as_json().as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ClientId;
    use rstest::rstest;

    fn interests() -> Answer {
        let clients = [2, -1].map(ClientId);
        let values = [Some(br#"["books", "hi-tech"]"#.to_vec()), None];
        Answer::Interests(InterestsByClient::from_stored(&clients, &values).unwrap())
    }

    #[rstest]
    #[case::a_score_is_a_float(Answer::Score(Score::new(3.0).unwrap()), r#"{"score":3.0}"#)]
    #[case::no_score_at_all(Answer::Score(Score::new(0.0).unwrap()), r#"{"score":0.0}"#)]
    #[case::with_reasons(
        Answer::Explained(Explained { score: Score::new(190.0).unwrap(), reasons: vec!["R-AGE-2".into()], card: "a\"".into() }),
        r#"{"score":190.0,"reasons":["R-AGE-2"],"card":"a\""}"#
    )]
    #[case::the_admins_is_an_integer(Answer::AdminScore, r#"{"score":42}"#)]
    #[case::interests(interests(), r#"{"2":["books","hi-tech"],"-1":[]}"#)]
    fn is_written_as_the_contracts_response(#[case] answer: Answer, #[case] json: &str) {
        let mut written = b"before ".to_vec();
        answer.write_json(&mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("before {json}"));
    }

    #[rstest]
    #[case::bad_request(BadJson::Empty.into(), "the body is empty")]
    #[case::forbidden(Forbidden.into(), "the token does not match")]
    #[case::invalid(Faults::one("email", "must be a string").into(), "email: must be a string")]
    #[case::unavailable(CallError::Unavailable(Outage::StoreDown), "the service is unavailable")]
    #[case::internal(CallError::Internal(Defect::Panic), "internal error")]
    fn says_why_there_is_no_answer(#[case] error: CallError, #[case] text: &str) {
        assert_eq!(error.to_string(), text);
    }
}
