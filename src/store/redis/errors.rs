//! Classifies the errors of the `redis` crate as [`BackendError`]s, by their kinds and by the server's error codes.

use std::{error::Error, io, sync::Arc};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::tls;
use crate::store::{BackendError, Redirect, url::HostAndPort};

/// The table from the client's errors to ours.
pub(super) fn sort(error: &RedisError) -> BackendError {
    // The client's enums are non-exhaustive; a new variant is treated as an unknown error reply.
    #[expect(clippy::wildcard_enum_match_arm)]
    match error.kind() {
        ErrorKind::Io => io_error(error),
        // A reply of an unexpected type may belong to another request, so the connection is not trusted any more.
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => BackendError::Protocol,
        ErrorKind::AuthenticationFailed => BackendError::Denied { code: code(error) },
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown,
        ) => BackendError::NotServing { code: code(error) },
        ErrorKind::Server(kind @ (ServerErrorKind::Moved | ServerErrorKind::Ask)) => {
            redirected(error, kind == ServerErrorKind::Ask)
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => BackendError::ReadOnly,
        ErrorKind::Server(ServerErrorKind::CrossSlot) => BackendError::CrossSlot,
        ErrorKind::Server(ServerErrorKind::NoPerm) => BackendError::Denied { code: code(error) },
        _ => by_code(error),
    }
}

/// `MOVED slot host:port` or `ASK slot host:port`; the host may be missing.
fn redirected(error: &RedisError, asking: bool) -> BackendError {
    let redirect = error.redirect_node().and_then(|(place, slot)| {
        // An IPv6 address has no brackets here.
        let (host, port) = place.rsplit_once(':')?;
        let to = HostAndPort { host: host.to_owned(), port: port.parse().ok()? };
        Some(Redirect { asking, slot, to })
    });
    redirect.map_or(BackendError::Protocol, |redirect| BackendError::Redirected(Box::new(redirect)))
}

/// Whether a server rejected a `PING` because it cannot save. It still serves reads.
pub(super) fn cannot_save(error: &BackendError) -> bool {
    matches!(error, BackendError::WritesRefused { code } if code == "MISCONF")
}

/// Codes for which the client has no kind.
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
    cause(error).map_or(BackendError::Disconnected(io::ErrorKind::Other), tls::sort)
}

/// The client shares its cause behind an `Arc`, which a downcast meets first.
fn cause(error: &RedisError) -> Option<&io::Error> {
    let shared = error.source()?.downcast_ref::<Arc<dyn Error + Send + Sync>>()?;
    shared.downcast_ref()
}

/// The code at the start of an error reply. Other text is not passed on, because it could contain anything.
fn code(error: &RedisError) -> String {
    let looks_right =
        |code: &&str| (1..=16).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_uppercase());
    error.code().filter(looks_right).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests;
