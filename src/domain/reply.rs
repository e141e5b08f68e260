//! What a method call comes to: an answer, or the reason why there is none.
//!
//! Which HTTP status each has is `http`'s to say.

use std::{io::Write as _, time::Duration};

use super::auth::Forbidden;
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
    /// `{"score": 42}`
    AdminScore,
    /// `{"1": ["books"], "2": []}`
    Interests(InterestsByClient),
}

/// Why a call has no answer. The text is safe to show to anyone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The body is not acceptable as JSON.
    #[error(transparent)]
    BadRequest(#[from] BadJson),
    /// The token does not match.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The request is JSON, but not a valid one; here is all that is wrong with it.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// The store cannot answer in time, or there is too much to do. Trying again later may help.
    #[error("the service is unavailable")]
    Unavailable,
    /// The caller calls more often than it may. After so long, the next call is not too many.
    #[error("too many calls")]
    TooMany {
        /// More than none.
        retry_after: Duration,
    },
    /// A bug, or a stored value that is not what it should be. What exactly is for the log only.
    #[error("internal error")]
    Internal,
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
            // Nor can this.
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
    #[case::unavailable(CallError::Unavailable, "the service is unavailable")]
    #[case::internal(CallError::Internal, "internal error")]
    fn says_why_there_is_no_answer(#[case] error: CallError, #[case] text: &str) {
        assert_eq!(error.to_string(), text);
    }
}
