//! What a method call comes to: an answer, or the reason why there is none.
//!
//! Which HTTP status each has is `http`'s to say.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::auth::Forbidden;
use super::fields::Faults;
use super::interests::Interests;
use super::json::BadJson;
use super::score::Score;
use super::values::ClientId;

/// The score that the admin always gets.
pub const ADMIN_SCORE: u32 = 42;

/// A successful answer. Serialises to the contract's `response`.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `{"score": 3.0}`
    Score(Score),
    /// `{"score": 42}`
    AdminScore,
    /// `{"1": ["books"], "2": []}`, in this order. No client may be given twice.
    Interests(Vec<(ClientId, Interests)>),
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

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Score(score) => score_object(serializer, score),
            Self::AdminScore => score_object(serializer, &ADMIN_SCORE),
            Self::Interests(clients) => {
                serializer.collect_map(clients.iter().map(|(client, interests)| (client, interests)))
            }
        }
    }
}

fn score_object<S: Serializer>(serializer: S, score: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_struct("Score", 1)?;
    object.serialize_field("score", score)?;
    object.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn interests(id: i64, names: &[&str]) -> (ClientId, Interests) {
        (ClientId(id), Interests(names.iter().map(|&name| name.to_owned()).collect()))
    }

    #[rstest]
    #[case::a_score_is_a_float(Answer::Score(Score::new(3.0).unwrap()), r#"{"score":3.0}"#)]
    #[case::no_score_at_all(Answer::Score(Score::new(0.0).unwrap()), r#"{"score":0.0}"#)]
    #[case::the_admins_is_an_integer(Answer::AdminScore, r#"{"score":42}"#)]
    #[case::no_clients(Answer::Interests(vec![]), "{}")]
    #[case::clients_in_their_order(
        Answer::Interests(vec![interests(2, &["books", "hi-tech"]), interests(-1, &[])]),
        r#"{"2":["books","hi-tech"],"-1":[]}"#
    )]
    fn serialises_to_the_contracts_response(#[case] answer: Answer, #[case] json: &str) {
        assert_eq!(serde_json::to_string(&answer).unwrap(), json);
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
