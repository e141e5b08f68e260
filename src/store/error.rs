//! The errors of a store, classified once.
//!
//! A backend reports an error ([`BackendError`]). The table below gives its [`Remedy`]. Callers outside the store
//! only learn about errors that they can act on ([`StoreError`]). No text is ever searched to classify an error.

use std::io;

use super::{attempt::FailedAttempt, backend::Redirect};

/// An error of a connection to a store.
///
/// Its texts contain neither keys nor values nor credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The connection has ended, or does not exist.
    #[error("no connection ({})", in_words(*.0))]
    Disconnected(io::ErrorKind),
    /// No connection could be created: one reason for each address that was tried, at least one.
    #[error("{}", FailedAttempt::list(.0))]
    Connect(Vec<FailedAttempt>),
    /// The name of the server has no address, or the look-up failed or was too slow.
    #[error("the name {host} does not resolve ({cause})")]
    Unresolved {
        /// The name.
        host: String,
        /// The system's text.
        cause: String,
    },
    /// The sentinels name no primary. The text has each one's reason.
    #[error("no sentinel names a primary: {0}")]
    NoPrimary(String),
    /// No primary of the cluster is known. The text has the reason of each node that was asked.
    #[error("the cluster has no known primary: {0}")]
    NoTopology(String),
    /// The server is a node of a cluster, and another one has the key.
    #[error("the server is a node of a cluster, and {to} has the key; use redis+cluster://{to}", to = .0.to)]
    Redirected(Box<Redirect>),
    /// Slots of the cluster are being moved, so a list of all its keys would not be complete.
    #[error("slots of the cluster are being moved")]
    SlotsMoving,
    /// The sentinels name another primary than the server of this connection.
    #[error("the sentinels name another primary")]
    Demoted,
    /// The file with the password cannot be read, or is empty. The text names the file.
    #[error("no password: {0}")]
    NoPassword(String),
    /// TLS: one side does not accept the other's certificate, or a certificate's file cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The reply does not follow the store's protocol, or does not belong to the command.
    #[error("protocol error")]
    Protocol,
    /// The reply was too late. The command may have been executed.
    #[error("timed out")]
    TimedOut,
    /// The server is up but cannot serve now: `LOADING`, `BUSY`, `TRYAGAIN`, `CLUSTERDOWN`, `MASTERDOWN`,
    /// `UNBLOCKED`.
    #[error("not serving at the moment ({code})")]
    NotServing {
        /// The server's error code.
        code: String,
    },
    /// The server is a replica: it answers reads and rejects writes.
    #[error("the server is read-only")]
    ReadOnly,
    /// The server demands other credentials, or the user lacks a right: `NOAUTH`, `WRONGPASS`, `NOPERM`, `DENIED`
    /// (protected mode).
    #[error("access refused ({code})")]
    Denied {
        /// The server's error code.
        code: String,
    },
    /// The server rejects writes: `OOM`, `MISCONF`, `NOREPLICAS`; or the cache is full.
    #[error("writes are refused ({code})")]
    WritesRefused {
        /// The server's error code.
        code: String,
    },
    /// Too many writes of this service wait for the server's answers, so this one was not sent.
    #[error("too many writes are in flight")]
    TooManyWrites,
    /// The key has another kind of value (`WRONGTYPE`). A retry cannot help.
    #[error("the key holds another kind of value")]
    WrongType,
    /// One question names keys of several slots of a cluster (`CROSSSLOT`). Each key can be read alone.
    #[error("the keys belong to several slots of a cluster; use redis+cluster://")]
    CrossSlot,
    /// The answer exceeds the limit. It was discarded, and the connection stays usable.
    #[error("the answer is too large")]
    TooLarge,
    /// Any other error reply.
    #[error("the server answered with an error ({code})")]
    Refused {
        /// The server's error code.
        code: String,
    },
    /// The embedded store's file cannot be read or written, or is in use. The text names the file and the cause.
    #[error("{0}")]
    Storage(String),
    /// The embedded store's file is damaged in a place that this call needed. The text names the file and the cause.
    #[error("{0}")]
    Damaged(String),
}

/// The reaction to a [`BackendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Temporary: keep the connection, and retry.
    Retry,
    /// The connection is not usable any more: create a new one.
    Reconnect,
    /// The name should lead to another server: resolve it again and connect there, but not too often, because the
    /// name may still lead to this one.
    Reresolve,
    /// Only an operator can help: retry, but slowly.
    Wait,
    /// The write is lost; reads are not affected.
    DropWrite,
    /// The server and this service are incompatible: an unknown command.
    Configuration,
    /// The question or a stored value is at fault, not the store: do not retry, and do not count it against the
    /// store.
    BadValue,
}

impl BackendError {
    /// The table from errors to remedies.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Disconnected(_)
            | Self::Protocol
            | Self::Unresolved { .. }
            | Self::NoPrimary(_)
            | Self::NoTopology(_)
            | Self::Demoted
            | Self::Storage(_) => Remedy::Reconnect,
            Self::Connect(attempts) => FailedAttempt::remedy_of(attempts),
            Self::ReadOnly => Remedy::Reresolve,
            Self::TimedOut | Self::NotServing { .. } | Self::SlotsMoving => Remedy::Retry,
            Self::Refused { .. } | Self::Redirected(_) => Remedy::Configuration,
            Self::Denied { .. } | Self::NoPassword(_) | Self::Tls(_) => Remedy::Wait,
            Self::WritesRefused { .. } | Self::TooManyWrites => Remedy::DropWrite,
            Self::WrongType | Self::CrossSlot | Self::TooLarge | Self::Damaged(_) => Remedy::BadValue,
        }
    }

    /// A short name of the kind, for metrics and readiness, different for each variant. A failed connect has the kind
    /// of its cause.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disconnected(_) => "disconnected",
            Self::Connect(attempts) => FailedAttempt::kind_of(attempts),
            Self::Unresolved { .. } => "unresolved",
            Self::NoPrimary(_) => "no_primary",
            Self::NoTopology(_) => "no_topology",
            Self::Redirected(_) => "redirected",
            Self::SlotsMoving => "slots_moving",
            Self::Demoted => "demoted",
            Self::NoPassword(_) => "no_password",
            Self::Tls(_) => "tls",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed_out",
            Self::NotServing { .. } => "not_serving",
            Self::ReadOnly => "read_only",
            Self::Denied { .. } => "denied",
            Self::WritesRefused { .. } => "writes_refused",
            Self::TooManyWrites => "too_many_writes",
            Self::WrongType => "wrong_type",
            Self::CrossSlot => "cross_slot",
            Self::TooLarge => "too_large",
            Self::Refused { .. } => "refused",
            Self::Storage(_) => "storage",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// The reason why a persistent read was not answered, for callers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be asked: there is no connection, the breaker is open, or the store actor is being restarted.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store did not answer within the deadline.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The stored value has the wrong kind.
    #[error("a stored value is of the wrong kind")]
    BadValue,
    /// The keys cannot be read together.
    #[error("the keys belong to several slots of a cluster")]
    CrossSlot,
    /// The stored values are too large for an answer.
    #[error("the stored values are too large")]
    TooLarge,
    /// The store's file is damaged in the place of a value. The text names the file, the key and the damage.
    #[error("{0}")]
    Damaged(String),
    /// One of the four before this one, for a question of several keys.
    #[error("{cause}")]
    AtFault {
        /// The positions of the keys at fault; all positions, if they are not known.
        positions: Vec<usize>,
        /// The fault.
        cause: Box<StoreError>,
    },
}

impl From<&BackendError> for StoreError {
    fn from(error: &BackendError) -> Self {
        match error {
            BackendError::TimedOut => Self::TimedOut,
            BackendError::WrongType => Self::BadValue,
            BackendError::Damaged(cause) => Self::Damaged(cause.clone()),
            BackendError::CrossSlot => Self::CrossSlot,
            BackendError::TooLarge => Self::TooLarge,
            BackendError::Disconnected(_)
            | BackendError::Connect(_)
            | BackendError::Unresolved { .. }
            | BackendError::NoPrimary(_)
            | BackendError::NoTopology(_)
            | BackendError::Redirected(_)
            | BackendError::SlotsMoving
            | BackendError::Demoted
            | BackendError::NoPassword(_)
            | BackendError::Tls(_)
            | BackendError::Protocol
            | BackendError::NotServing { .. }
            | BackendError::ReadOnly
            | BackendError::Denied { .. }
            | BackendError::WritesRefused { .. }
            | BackendError::TooManyWrites
            | BackendError::Refused { .. }
            | BackendError::Storage(_) => Self::Unavailable,
        }
    }
}

/// The names that operators know, where the standard library has others.
fn in_words(kind: io::ErrorKind) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is open-ended")]
    let word = match kind {
        io::ErrorKind::HostUnreachable => "no route to host",
        io::ErrorKind::NetworkUnreachable => "no route to the network",
        io::ErrorKind::NotFound => "no such file",
        kind => return kind.to_string(),
    };
    word.to_owned()
}
