//! The service's answers, classified by status first and by shape second.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    error::{ClientError, FieldFault, Unexpected},
    values::{Explained, Method, Score},
};

/// Each client's interests, by id.
pub type InterestsById = BTreeMap<i64, Vec<String>>;

/// A successful answer. Serializes to the contract's `response`.
#[derive(Debug, Clone, PartialEq)]
pub enum CallAnswer {
    /// To `online_score`.
    Score(Score),
    /// To `online_score` with `explain`: the score, with its reasons and the card's version.
    Explained(Explained),
    /// To `clients_interests`.
    Interests(InterestsById),
}

impl Serialize for CallAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Score(score) => serializer.collect_map([("score", score)]),
            Self::Explained(explained) => explained.serialize(serializer),
            Self::Interests(interests) => interests.serialize(serializer),
        }
    }
}

/// Reads the answer to a call of `method`.
///
/// A body that is not an envelope may come from a proxy. Then only the status counts, unless its meaning needs the
/// body.
pub(crate) fn read(
    method: Method,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Result<CallAnswer, ClientError> {
    // serde_json's error may quote the body.
    let mut envelope: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let code = envelope.get("code").and_then(Value::as_u64);
    if let Some(code) = code
        && code != u64::from(status)
    {
        return Err(Unexpected::Code { status, code }.into());
    }
    let why = || envelope.get("error").and_then(Value::as_str).ok_or(Unexpected::Shape);
    Err(match status {
        200 => {
            code.ok_or(Unexpected::Shape)?;
            return Ok(success(method, envelope.remove("response"))?);
        }
        400 => ClientError::BadRequest(why()?.to_owned()),
        403 => ClientError::Forbidden,
        404 => ClientError::NotFound,
        405 => ClientError::WrongVerb,
        408 => ClientError::TooSlow { retry_after },
        413 => ClientError::TooLarge,
        422 => ClientError::Invalid(faults(why()?)),
        429 => ClientError::RateLimited { retry_after },
        431 => ClientError::HeadTooLarge,
        500 => ClientError::Internal,
        503 => ClientError::Unavailable { retry_after },
        other => Unexpected::Status(other).into(),
    })
}

fn success(method: Method, response: Option<Value>) -> Result<CallAnswer, Unexpected> {
    let response = response.ok_or(Unexpected::Shape)?;
    let answer = match method {
        Method::OnlineScore => scored(&response),
        Method::ClientsInterests => serde_json::from_value(response).map(CallAnswer::Interests).ok(),
    };
    answer.ok_or(Unexpected::Shape)
}

/// The score of `response`; with reasons and a card, or with neither.
fn scored(response: &Value) -> Option<CallAnswer> {
    let score = response.get("score")?.as_f64().and_then(Score::new)?;
    match (response.get("reasons"), response.get("card")) {
        (None, None) => Some(CallAnswer::Score(score)),
        (reasons, card) => {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let reasons = reasons?.as_array()?.iter().map(text).collect::<Option<_>>()?;
            Some(CallAnswer::Explained(Explained { score, reasons, card: text(card?)? }))
        }
    }
}

/// Splits `phone: must be a string; email: is required`, as the service joins them.
fn faults(list: &str) -> Vec<FieldFault> {
    let fault = |text: &str| {
        let (field, reason) = text.split_once(": ").unwrap_or(("", text));
        FieldFault { field: field.to_owned(), reason: reason.to_owned() }
    };
    list.split("; ").map(fault).collect()
}
