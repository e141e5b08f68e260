//! What can go wrong with a store, sorted once.
//!
//! A backend says what happened ([`BackendError`]); the one table below says what to do about it ([`Remedy`]); callers
//! outside the store learn only what they can act on ([`StoreError`]). No text is ever searched to find out.

use std::io;

use super::attempt::FailedAttempt;

/// What a connection to a store reported.
///
/// Neither keys nor values nor credentials appear in any of its texts.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackendError {
    /// The connection is gone, or there is none.
    #[error("no connection ({})", in_words(*.0))]
    Disconnected(io::ErrorKind),
    /// No connection could be made, for these reasons: one for each address that was tried, at least one.
    #[error("{}", FailedAttempt::list(.0))]
    Connect(Vec<FailedAttempt>),
    /// The name of the server has no address, or none could be found out in time.
    #[error("the name {host} does not resolve ({cause})")]
    Unresolved {
        /// The name.
        host: String,
        /// The system's own words.
        cause: String,
    },
    /// The file that holds the password cannot be read, or holds none. The text names the file.
    #[error("no password: {0}")]
    NoPassword(String),
    /// What came back is not the store's protocol, or not an answer to what was asked.
    #[error("protocol error")]
    Protocol,
    /// Nothing came back in time. The command may have been carried out all the same.
    #[error("timed out")]
    TimedOut,
    /// The server is up but cannot serve yet, or not just now: `LOADING`, `BUSY`, `TRYAGAIN`, `CLUSTERDOWN`, `MASTERDOWN`,
    /// `UNBLOCKED`.
    #[error("not serving at the moment ({code})")]
    NotServing {
        /// The error code that the server gave.
        code: String,
    },
    /// The server is a replica: it answers reads and refuses writes.
    #[error("the server is read-only")]
    ReadOnly,
    /// The server wants other credentials or grants too few rights: `NOAUTH`, `WRONGPASS`, `NOPERM`,
    /// `DENIED` (protected mode).
    #[error("access refused ({code})")]
    Denied {
        /// The error code that the server gave.
        code: String,
    },
    /// The server accepts no writes: `OOM`, `MISCONF`, `NOREPLICAS`; or the cache is full.
    #[error("writes are refused ({code})")]
    WritesRefused {
        /// The error code that the server gave.
        code: String,
    },
    /// The key holds another kind of value (`WRONGTYPE`). Trying again cannot help.
    #[error("the key holds another kind of value")]
    WrongType,
    /// One question names keys of several slots of a cluster (`CROSSSLOT`). Each key can be read alone.
    #[error("the keys belong to several slots of a cluster")]
    CrossSlot,
    /// The answer is larger than a reply may be. It was not kept, and the connection serves on.
    #[error("the answer is too large")]
    TooLarge,
    /// Any other error reply.
    #[error("the server answered with an error ({code})")]
    Refused {
        /// The error code that the server gave.
        code: String,
    },
    /// The embedded store's file cannot be read or written, or is in use. The text names the file and the cause.
    #[error("{0}")]
    Storage(String),
    /// The embedded store's file does not hold the bytes that were written to it, where this call looked for a value. The
    /// text names the file and the cause.
    #[error("{0}")]
    Damaged(String),
}

/// What to do about a [`BackendError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same connection will serve again soon: keep it, and try again.
    Retry,
    /// The connection is of no use any more: make a new one.
    Reconnect,
    /// The server is not the one any more that the name should lead to: resolve it afresh and connect there, but not over
    /// and over, for the name may still lead here.
    Reresolve,
    /// Nothing but an operator can help: keep trying, but slowly.
    Wait,
    /// The write is lost; reads are not affected.
    DropWrite,
    /// The server and this service do not fit together: an unknown command.
    Configuration,
    /// The question or a stored value is at fault, not the store: neither retry nor count it against the store.
    BadValue,
}

impl BackendError {
    /// The one table from errors to remedies.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Disconnected(_) | Self::Protocol | Self::Unresolved { .. } | Self::Storage(_) => {
                Remedy::Reconnect
            }
            Self::Connect(attempts) => FailedAttempt::remedy_of(attempts),
            Self::ReadOnly => Remedy::Reresolve,
            Self::TimedOut | Self::NotServing { .. } => Remedy::Retry,
            Self::Refused { .. } => Remedy::Configuration,
            Self::Denied { .. } | Self::NoPassword(_) => Remedy::Wait,
            Self::WritesRefused { .. } => Remedy::DropWrite,
            Self::WrongType | Self::CrossSlot | Self::TooLarge | Self::Damaged(_) => Remedy::BadValue,
        }
    }

    /// A short name of the kind, for metrics and readiness. There is one for each variant, and a connection that could not
    /// be made is of the kind of its cause.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disconnected(_) => "disconnected",
            Self::Connect(attempts) => FailedAttempt::kind_of(attempts),
            Self::Unresolved { .. } => "unresolved",
            Self::NoPassword(_) => "no_password",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed_out",
            Self::NotServing { .. } => "not_serving",
            Self::ReadOnly => "read_only",
            Self::Denied { .. } => "denied",
            Self::WritesRefused { .. } => "writes_refused",
            Self::WrongType => "wrong_type",
            Self::CrossSlot => "cross_slot",
            Self::TooLarge => "too_large",
            Self::Refused { .. } => "refused",
            Self::Storage(_) => "storage",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// Why a persistent read was not answered, for those who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no store to ask: no connection, the breaker is open, or the store actor is being restarted.
    #[error("the store is unavailable")]
    Unavailable,
    /// The store did not answer within the deadline.
    #[error("the store did not answer in time")]
    TimedOut,
    /// The stored value is of another kind than it should be.
    #[error("a stored value is of the wrong kind")]
    BadValue,
    /// The keys cannot be asked for together.
    #[error("the keys belong to several slots of a cluster")]
    CrossSlot,
    /// The stored values are too large to be answered.
    #[error("the stored values are too large")]
    TooLarge,
    /// The store's file is damaged where a value should be. The text names the file, the key and the damage.
    #[error("{0}")]
    Damaged(String),
    /// One of the four before this one, for a question of several keys.
    #[error("{cause}")]
    AtFault {
        /// The positions of the keys that are at fault; all positions, if it is not known which ones are.
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
            | BackendError::NoPassword(_)
            | BackendError::Protocol
            | BackendError::NotServing { .. }
            | BackendError::ReadOnly
            | BackendError::Denied { .. }
            | BackendError::WritesRefused { .. }
            | BackendError::Refused { .. }
            | BackendError::Storage(_) => Self::Unavailable,
        }
    }
}

/// The words that operators know, where the standard library has others.
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
