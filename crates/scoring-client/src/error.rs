//! The errors of a call. Their texts contain neither sent data nor unexpected answers.

use std::{fmt, time::Duration};

/// The reason why a client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The URL is not an absolute `http` or `https` URL.
    #[error("must be an http or https URL, such as http://127.0.0.1:8080")]
    Url,
    /// The system's certificates or the ciphers cannot be used.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client library failed.
    #[error("{0}")]
    Http(#[source] reqwest::Error),
}

/// The reason why a call has no answer, after all its tries.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// 400: the service could not read the request, for this reason. A bug of the client, or of a proxy between them.
    #[error("{0}")]
    BadRequest(String),
    /// 403: the token does not match. Account, login, salt or token may be wrong; the service does not say which.
    #[error("the token does not match")]
    Forbidden,
    /// Nothing was sent: the client's token belongs to another account and login.
    #[error("not sent: the token belongs to another account and login")]
    OtherCaller,
    /// 404: the URL does not lead to this service.
    #[error("there is no scoring service at this URL")]
    NotFound,
    /// 405: as [`ClientError::NotFound`].
    #[error("there is something else than a scoring service at this URL")]
    WrongVerb,
    /// 408: the request arrived too slowly.
    #[error("the request arrived too slowly")]
    TooSlow {
        /// The wait before a retry that the service asked for, if any.
        retry_after: Option<Duration>,
    },
    /// 413: the request is larger than the service's `http.body_limit`.
    #[error("the request is too large")]
    TooLarge,
    /// 422: every field at fault.
    #[error("{}", listed(.0))]
    Invalid(Vec<FieldFault>),
    /// 429: too many calls.
    #[error("too many calls{}", when(.retry_after))]
    RateLimited {
        /// As for [`ClientError::TooSlow`].
        retry_after: Option<Duration>,
    },
    /// 431: the head is too large.
    #[error("the request's head is too large")]
    HeadTooLarge,
    /// 500: a bug of the service, or a stored value that is invalid. A retry does not help.
    #[error("internal error of the service")]
    Internal,
    /// 503: the service's store cannot answer, or the service is overloaded.
    #[error("the service is unavailable{}", when(.retry_after))]
    Unavailable {
        /// As for [`ClientError::TooSlow`].
        retry_after: Option<Duration>,
    },
    /// An answer that the contract does not define.
    #[error(transparent)]
    Unexpected(#[from] Unexpected),
    /// The answer did not arrive, or only in part.
    #[error(transparent)]
    Transport(#[from] Transport),
    /// The deadline passed during a try.
    #[error("no answer before the deadline")]
    DeadlineExceeded,
}

/// One field at fault, in the service's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// The field's name; empty if the service named none.
    pub field: String,
    /// The fault.
    pub reason: String,
}

/// The difference of an answer from the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// A status that the contract does not define, redirects included.
    #[error("unexpected status {0}")]
    Status(u16),
    /// The body does not have the shape for its status and method.
    #[error("the answer is not of the expected shape")]
    Shape,
    /// The body's `code` is not the status.
    #[error("the answer says {code}, but its status is {status}")]
    Code {
        /// The status.
        status: u16,
        /// The body's code.
        code: u64,
    },
    /// The answer exceeds the client's limit.
    #[error("the answer is too large")]
    TooLarge,
}

/// The reason why a try ended without a complete answer.
#[derive(Debug, thiserror::Error)]
pub enum Transport {
    /// No connection.
    #[error("cannot connect: {}", root(.0))]
    Connect(#[source] reqwest::Error),
    /// The connection broke, or did not speak HTTP.
    #[error("the connection failed: {}", root(.0))]
    Broken(#[source] reqwest::Error),
    /// A try took longer than its limit.
    #[error("no answer in time")]
    TimedOut,
}

// ===== impl ClientError =====

impl ClientError {
    /// The service's code, if it gave one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::BadRequest(_) => Some(400),
            Self::Forbidden => Some(403),
            Self::NotFound => Some(404),
            Self::WrongVerb => Some(405),
            Self::TooSlow { .. } => Some(408),
            Self::TooLarge => Some(413),
            Self::Invalid(_) => Some(422),
            Self::RateLimited { .. } => Some(429),
            Self::HeadTooLarge => Some(431),
            Self::Internal => Some(500),
            Self::Unavailable { .. } => Some(503),
            Self::OtherCaller | Self::Unexpected(_) | Self::Transport(_) | Self::DeadlineExceeded => None,
        }
    }

    /// Whether a retry may succeed, and the minimum wait before it. Both methods are idempotent, so it does not
    /// matter whether this try was executed.
    pub fn may_pass_after(&self) -> Option<Duration> {
        match self {
            Self::TooSlow { retry_after }
            | Self::RateLimited { retry_after }
            | Self::Unavailable { retry_after } => Some(retry_after.unwrap_or_default()),
            Self::Transport(_) => Some(Duration::ZERO),
            Self::BadRequest(_)
            | Self::Forbidden
            | Self::OtherCaller
            | Self::NotFound
            | Self::WrongVerb
            | Self::TooLarge
            | Self::Invalid(_)
            | Self::HeadTooLarge
            | Self::Internal
            | Self::Unexpected(_)
            | Self::DeadlineExceeded => None,
        }
    }
}

// ===== impl FieldFault =====

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{}{separator}{}", self.field, self.reason)
    }
}

// ===== impl Transport =====

impl From<reqwest::Error> for Transport {
    fn from(error: reqwest::Error) -> Self {
        // The URL may contain a secret.
        let error = error.without_url();
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Broken(error)
        }
    }
}

fn listed(faults: &[FieldFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn when(retry_after: &Option<Duration>) -> String {
    match retry_after {
        Some(wait) => format!("; try again after {}", humantime::format_duration(*wait)),
        None => String::new(),
    }
}

/// The innermost cause: the text of the system or the peer.
fn root<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
