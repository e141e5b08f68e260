//! The two shapes of a response, and the table from errors to statuses.

use actix_web::{
    HttpResponse,
    http::{
        ConnectionType, StatusCode,
        header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
    },
};
use serde::Serialize;

use crate::domain::{Answer, CallError, FailureReason};

/// Seconds after which a rejected client may retry. A store that has recovered is in use again by then.
const RETRY_AFTER_SECONDS: &str = "1";

/// The reason why a request has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the head or the body did not arrive in time")]
    TooSlow,
    #[error("the head is malformed")]
    BadHead,
    #[error("the head is larger than allowed")]
    HeadTooLarge,
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error("there is no memory left for bodies")]
    NoRoom,
    #[error("the connection or its encoding broke before the body was complete")]
    BrokenBody,
    #[error("there is nothing at this path")]
    NotFound,
    #[error("this path answers {allow} only")]
    WrongVerb { allow: &'static str },
}

impl Refusal {
    /// The one table from errors to statuses.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Call(CallError::BadRequest(_)) | Self::BadHead | Self::BrokenBody => {
                StatusCode::BAD_REQUEST
            }
            Self::Call(CallError::Forbidden(_)) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongVerb { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Call(CallError::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Call(CallError::Internal(_)) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Call(CallError::Unavailable(_)) | Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::Call(CallError::TooMany { .. }) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The reason for the log and the metrics.
    pub(super) fn reason(&self) -> FailureReason {
        match self {
            Self::Call(CallError::BadRequest(_)) | Self::BadHead | Self::BrokenBody => {
                FailureReason::BadRequest
            }
            Self::Call(CallError::Forbidden(_)) => FailureReason::Forbidden,
            Self::NotFound => FailureReason::NotFound,
            Self::WrongVerb { .. } => FailureReason::WrongVerb,
            Self::TooSlow => FailureReason::TooSlow,
            Self::TooLarge => FailureReason::TooLarge,
            Self::HeadTooLarge => FailureReason::HeadTooLarge,
            Self::Call(CallError::Invalid(_)) => FailureReason::Invalid,
            Self::Call(CallError::Internal(defect)) => (*defect).into(),
            Self::Call(CallError::Unavailable(outage)) => (*outage).into(),
            Self::NoRoom => FailureReason::BodyMemory,
            Self::Call(CallError::TooMany { .. }) => FailureReason::Rate,
        }
    }

    /// The names of the fields at fault, each once, for the log.
    pub(super) fn fields(&self) -> Option<String> {
        let Self::Call(CallError::Invalid(faults)) = self else { return None };
        let mut names: Vec<_> = faults.iter().map(|fault| fault.field).collect();
        names.dedup();
        Some(names.join(","))
    }

    /// Whether a part of the request stays unread, so that its connection cannot be used again.
    fn leaves_request_unread(&self) -> bool {
        match self {
            Self::TooSlow
            | Self::TooLarge
            | Self::NoRoom
            | Self::BrokenBody
            | Self::BadHead
            | Self::HeadTooLarge => true,
            Self::Call(_) | Self::NotFound | Self::WrongVerb { .. } => false,
        }
    }

    /// The text for the client: the status' name, and the reason where it helps to correct the request.
    fn text(&self) -> String {
        match self {
            Self::Call(CallError::Invalid(faults)) => faults.to_string(),
            Self::Call(CallError::BadRequest(_)) | Self::BadHead | Self::BrokenBody => {
                format!("Bad Request: {self}")
            }
            Self::Call(
                CallError::Forbidden(_)
                | CallError::Internal(_)
                | CallError::Unavailable(_)
                | CallError::TooMany { .. },
            )
            | Self::NotFound
            | Self::WrongVerb { .. }
            | Self::TooSlow
            | Self::HeadTooLarge
            | Self::TooLarge
            | Self::NoRoom => self.status().canonical_reason().unwrap_or_default().to_owned(),
        }
    }
}

/// The response to a request.
pub(super) fn respond(outcome: &Result<Answer, Refusal>) -> HttpResponse {
    match outcome {
        Ok(answer) => success(answer),
        Err(refusal) => to_response(refusal),
    }
}

fn success(answer: &Answer) -> HttpResponse {
    let mut body = br#"{"code":200,"response":"#.to_vec();
    answer.write_json(&mut body);
    body.push(b'}');
    json(StatusCode::OK, body)
}

/// The response to a rejected request.
pub(super) fn to_response(refusal: &Refusal) -> HttpResponse {
    let status = refusal.status();
    let failure = Failure { code: status.as_u16(), error: &refusal.text() };
    // A number and a text can always be serialized.
    let mut response = json(status, serde_json::to_vec(&failure).unwrap_or_default());
    let headers = response.headers_mut();
    match refusal {
        Refusal::Call(CallError::Unavailable(_)) | Refusal::NoRoom => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        Refusal::Call(CallError::TooMany { retry_after }) => {
            // Whole seconds, rounded up.
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Refusal::WrongVerb { allow } => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        Refusal::Call(_)
        | Refusal::NotFound
        | Refusal::TooSlow
        | Refusal::TooLarge
        | Refusal::BrokenBody
        | Refusal::BadHead
        | Refusal::HeadTooLarge => {}
    }
    if refusal.leaves_request_unread() {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

#[derive(Serialize)]
struct Failure<'a> {
    code: u16,
    error: &'a str,
}

fn json(status: StatusCode, body: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(body)
}
