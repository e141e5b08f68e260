//! The operations of every kind of store.
//!
//! A [`Connector`] creates [`Connection`]s; a connection carries commands. Neither retries, waits for a reconnect or
//! limits the time of a command: [`Link`](super::link::Link) does that, once for all backends.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, try_join_all},
};

use tokio::sync::watch;

use super::{BackendError, SlotMap, url::HostAndPort};

/// Maximum bytes of an answer; a larger one is [`BackendError::TooLarge`]. 10,000 clients with 6 KiB of interests
/// each stay below it.
pub(super) const ANSWER_LIMIT: u64 = 64 << 20;

/// The result of a command on a [`Connection`].
pub type ReplyFuture<T> = BoxFuture<'static, Result<T, BackendError>>;

/// Whether a file may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may only be read: its file system is mounted read-only, or the rights to write are missing.
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

/// The sentinels of a store at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentinelReport {
    /// The number of those that answer.
    pub answering: usize,
    /// The number of those that do not.
    pub silent: usize,
    /// The reason of each of these, in words for operators.
    pub faults: String,
}

/// The state of a cluster, as its nodes say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterView {
    /// The primaries and their slots; `None` until a node has answered. Once there is a map, there is always one.
    pub map: Option<Arc<SlotMap>>,
    /// The reason of each node that did not answer the last time, in words for operators.
    pub faults: String,
}

/// A store that consists of several servers, each with a part of the keys.
pub trait Cluster: fmt::Debug + Send + Sync {
    /// The nodes' answers, now and later.
    ///
    /// # Errors
    ///
    /// If the nodes cannot be asked at all.
    fn view(&self) -> Result<watch::Receiver<ClusterView>, BackendError>;

    /// The last view; `None` if nothing has been asked yet.
    fn last_view(&self) -> Option<ClusterView>;

    /// A connector to one of the primaries.
    fn primary(&self, place: &HostAndPort) -> Arc<dyn Connector>;

    /// Asks the nodes soon, because something suggests that keys have moved. Costs little.
    fn poke(&self);
}

/// The answer to the question for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Its value, if one is stored.
    Value(Option<Vec<u8>>),
    /// Another server has the key.
    Elsewhere(Box<Redirect>),
}

/// The server of a cluster that has a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// Whether the key's slot is being moved there, and that server must be told that the caller knows (`ASKING`).
    pub asking: bool,
    /// The slot of the key.
    pub slot: u16,
    /// The server. An empty host is that of the server which was asked.
    pub to: HostAndPort,
}

/// Creates connections to one store, for one role.
pub trait Connector: fmt::Debug + Send + Sync {
    /// Creates a connection: resolves the address again, and verifies that the store serves.
    ///
    /// The connector itself limits the time.
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>>;

    /// Whether the answers of a connection are one stream of bytes, so that one delayed answer may delay every later
    /// one. Such a store gets several connections: one for writes beside one for reads, and two for persistent reads.
    /// False for a store inside this process.
    fn is_one_stream(&self) -> bool;

    /// The kind of the store in metrics and readiness.
    fn kind(&self) -> &'static str;

    /// The place of the store, for operators: servers, a socket's path, a file or `memory`. Never credentials.
    fn address(&self) -> String;

    /// The cluster, if the store is one. Its keys are then read and written over connections to its primaries.
    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        None
    }

    /// The sentinels that name the store's primary; `None` for a store without any, or before the first connect.
    fn sentinels(&self) -> Option<SentinelReport> {
        None
    }
}

/// A connection of any kind, as [`Connector::connect`] returns it.
pub(super) fn connecting<C: Connection + 'static>(
    establish: impl Future<Output = Result<C, BackendError>> + Send + 'static,
) -> ReplyFuture<Arc<dyn Connection>> {
    async {
        let connection: Arc<dyn Connection> = Arc::new(establish.await?);
        Ok(connection)
    }
    .boxed()
}

/// The result of [`Connection::sizes`] for one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The length of the stored value; 0 if nothing is stored.
    Bytes(u64),
    /// The key holds another kind of value than bytes.
    OtherKind,
}

/// One connection. Several commands may be in flight; dropping a reply abandons only that reply.
pub trait Connection: Send + Sync {
    /// Reads one key of the cache.
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>>;

    /// Whether [`get_together`](Self::get_together) and [`set_together`](Self::set_together) are one question each.
    fn gathers(&self) -> bool {
        false
    }

    /// Reads some keys of the cache; the values come in their order. In one question, a key with another kind of value than
    /// bytes is a missing value: to a cache, both are as good.
    fn get_together(&self, keys: Vec<String>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        try_join_all(keys.into_iter().map(|key| self.get(key))).boxed()
    }

    /// Reads all persistent `keys` in one question; the values come in the order of the keys. A store may need a second one for keys
    /// without a value.
    ///
    /// A key with another kind of value than bytes is [`BackendError::WrongType`], never a missing value.
    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>>;

    /// Reads all persistent `keys` of a shard in one round trip; the answers come in the order of the keys. With `asking`, the
    /// keys' slots are being moved to this server.
    fn get_each(&self, keys: Arc<[String]>, _asking: bool) -> ReplyFuture<Vec<Found>> {
        let values = self.get_many(keys);
        Box::pin(async { Ok(values.await?.into_iter().map(Found::Value).collect()) })
    }

    /// Whether the server is a node of a cluster, which answers for the keys of other nodes with their addresses.
    fn is_shard(&self) -> bool {
        false
    }

    /// The sizes of the values of `keys`, in the order of the keys; `None` where the store does not tell. Used only
    /// after a read has failed, to find the key at fault.
    fn sizes(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Size>>> {
        let unknown = vec![None; keys.len()];
        Box::pin(async { Ok(unknown) })
    }

    /// Writes one key of the cache, which expires after `ttl`.
    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()>;

    /// The same for some keys, with the outcome of each in their order.
    fn set_together(
        &self,
        entries: Vec<(String, Vec<u8>, Duration)>,
    ) -> ReplyFuture<Vec<Result<(), BackendError>>> {
        join_all(entries.into_iter().map(|(key, value, ttl)| self.set(key, value, ttl))).map(Ok).boxed()
    }

    /// The time for which the other end has owed an answer, or the rest of one, without sending a byte; zero if it
    /// owes nothing.
    ///
    /// An answer is owed until it is complete, even if the caller has gone.
    fn silent_for(&self) -> Duration;

    /// Resolves to the reason when the connection has ended. Never resolves for a store in memory.
    fn closed(&self) -> BoxFuture<'static, BackendError>;

    /// Whether the store's file may be written; `None` for a store that is not a file.
    fn access(&self) -> Option<Access> {
        None
    }

    /// Drops the connection at once; commands in flight end as [`BackendError::Disconnected`].
    fn close(&self);
}
