//! What every kind of store offers, whichever server or file is behind it.
//!
//! A [`Connector`] makes [`Connection`]s; a connection carries commands. Neither retries, waits for a reconnect or
//! bounds a command in time: that is the [`Link`](super::link::Link)'s work, once for all backends.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

use super::BackendError;

/// The most bytes that an answer may have; one that is larger is [`BackendError::TooLarge`]. 10,000 clients with 6 KiB of
/// interests each stay below it.
pub(super) const ANSWER_LIMIT: u64 = 64 << 20;

/// The result of a command on a [`Connection`].
pub type Reply<T> = BoxFuture<'static, Result<T, BackendError>>;

/// Whether a file may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may be read alone: a file system that is mounted so, or no right to write.
    ReadOnly,
    /// It may be read and written.
    ReadWrite,
}

impl Access {
    /// The name in readiness.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read_only",
            Self::ReadWrite => "read_write",
        }
    }
}

/// Makes connections to one store, for one role.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Makes a new connection, resolving the address afresh, and shows that it serves.
    ///
    /// Bounded in time by the connector itself.
    fn connect(&self) -> Reply<Arc<dyn Connection>>;

    /// Whether replies on a connection arrive in order, so that one delayed reply delays every later one. Such a store gets more
    /// than one connection: for reads beside writes, and for reads while packets are lost. False for a store inside this process.
    fn answers_in_order(&self) -> bool;
}

/// A key as [`Connection::sizes`] finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The length of the stored value; 0 if nothing is stored.
    Bytes(u64),
    /// The key holds another kind of value than bytes.
    OtherKind,
}

/// One connection. Commands may be under way side by side; dropping a reply abandons only that reply.
pub trait Connection: Send + Sync {
    /// Reads one key of the cache.
    fn get(&self, key: String) -> Reply<Option<Vec<u8>>>;

    /// Reads all persistent `keys` in one round trip; the values come in the order of the keys.
    ///
    /// A key that holds another kind of value than bytes is [`BackendError::WrongType`], never "nothing stored".
    fn get_many(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Vec<u8>>>>;

    /// The sizes of the values of `keys`, in the order of the keys; `None` where the store does not tell. Asked only after a
    /// read has failed, to find the key at fault.
    fn sizes(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Size>>> {
        let unknown = vec![None; keys.len()];
        Box::pin(async { Ok(unknown) })
    }

    /// Writes one key of the cache, to be forgotten after `ttl`.
    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> Reply<()>;

    /// For how long the other end has owed an answer, or the rest of one, without sending a byte; zero if it owes none.
    ///
    /// An answer is owed until it is complete, also if the caller that asked for it has gone.
    fn silent_for(&self) -> Duration;

    /// Resolves when the connection is gone, and says why. Never, for a store in memory.
    fn closed(&self) -> BoxFuture<'static, BackendError>;

    /// Whether the store's file may be written; `None` for a store that is not a file.
    fn access(&self) -> Option<Access> {
        None
    }

    /// Drops the connection at once; what is under way on it ends as [`BackendError::Disconnected`].
    fn close(&self);
}
