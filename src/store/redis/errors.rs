//! Sorts what the `redis` crate reports into [`BackendError`]s, by its kinds and by the server's error codes.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::BackendError;

/// The one table from the client's errors to ours.
pub(super) fn sort(error: &RedisError) -> BackendError {
    // The client's enums are open-ended; what is new to us is treated as an error reply that we do not know.
    #[expect(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ErrorKind::Io => io_error(error),
        // A reply of another type than asked for may belong to another request: that connection is not to be trusted.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => BackendError::Protocol,
        ErrorKind::AuthenticationFailed => BackendError::Denied { code: code(error) },
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown,
        ) => BackendError::NotServing { code: code(error) },
        ErrorKind::Server(ServerErrorKind::ReadOnly) => BackendError::ReadOnly,
        ErrorKind::Server(ServerErrorKind::CrossSlot) => BackendError::CrossSlot,
        ErrorKind::Server(ServerErrorKind::NoPerm) => BackendError::Denied { code: code(error) },
        _ => by_code(error),
    }
}

/// Whether a server that cannot save refused a `PING` for that. It serves reads all the same.
pub(super) fn cannot_save(error: &BackendError) -> bool {
    matches!(error, BackendError::WritesRefused { code } if code == "MISCONF")
}

/// Codes that the client has no kind of its own for.
fn by_code(error: &RedisError) -> BackendError {
    let code = code(error);
    match code.as_str() {
        "WRONGTYPE" => BackendError::WrongType,
        "BUSY" | "UNBLOCKED" => BackendError::NotServing { code },
        "NOAUTH" | "WRONGPASS" | "DENIED" => BackendError::Denied { code },
        "OOM" | "MISCONF" | "NOREPLICAS" => BackendError::WritesRefused { code },
        _ => BackendError::Refused { code },
    }
}

fn io_error(error: &RedisError) -> BackendError {
    let kind = io_kind(error).unwrap_or(io::ErrorKind::Other);
    if kind == io::ErrorKind::InvalidData { BackendError::Protocol } else { BackendError::Disconnected(kind) }
}

/// The client shares its cause behind an `Arc`, and that is what a downcast meets first.
fn io_kind(error: &RedisError) -> Option<io::ErrorKind> {
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    shared.downcast_ref().map(io::Error::kind)
}

/// The code at the start of an error reply. What does not look like one is not passed on: it could be anything.
fn code(error: &RedisError) -> String {
    let looks_right =
        |code: &&str| (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase());
    error.code().filter(looks_right).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests;
