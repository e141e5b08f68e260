//! Stores: backends behind one trait, and the code that keeps them usable while they fail.
//!
//! - [`backend`](Connector): the operations of every store, and the backends: [`Memory`], [`EmbeddedConnector`],
//!   [`RedisConnector`].
//! - [`Link`]: one role's connection, kept alive. [`CacheClient`] and [`PersistentReader`] send requests over it.
//! - `shards`: the requests of a store that is a cluster, with the parts above for each of its primaries.
//! - [`Bulk`]: bulk reads and writes of persistent data, for the command line.
//! - Pure parts, each a small state machine over a clock that is passed in: [`Backoff`], [`Breaker`], the retry budget.
//! - [`BackendError`]: every error of a store, classified once.
//!
//! The failure policy: the cache is asked once, and every failure is a miss. Persistent data is read until the
//! deadline, and every failure is an error. The two roles have separate connections and breakers, even on one server,
//! because their time limits differ.

mod attempt;
mod backend;
mod breaker;
mod budget;
mod bulk;
mod cache_client;
mod embedded;
mod error;
mod gather;
mod health;
mod in_process_cache;
mod link;
mod memcached;
mod memory;
mod metrics;
mod persistent_reader;
mod redis;
mod role;
pub mod settings;
mod shards;
mod slots;
mod tarantool;
#[cfg(test)]
pub(crate) mod testing;
pub mod url;
mod wire;
mod writes;

pub use self::redis::RedisConnector;
pub(crate) use self::redis::check_tls;
pub use actix_supervise::Backoff;
pub use attempt::{FailedAttempt, Step};
pub use backend::{
    Access, Cluster, ClusterView, Connection, Connector, Found, Redirect, ReplyFuture, SentinelReport, Size,
};
pub use breaker::{Breaker, BreakerPolicy, Change};
pub use bulk::{Bulk, Changes, OpenBulkError, Purpose, PutError, Stored, Watch, open_bulk};
pub use cache_client::CacheClient;
pub use embedded::{Disk, EmbeddedConnector, EmbeddedFile, SystemDisk};
pub use error::{BackendError, Remedy, StoreError};
pub use health::{HealthReport, LastError, LinkHealth, LinkReport, ShardReport, StoreHealth};
pub use in_process_cache::InProcessCache;
pub use link::{Link, LinkPolicy};
pub use memcached::MemcachedConnector;
pub use memory::Memory;
pub(crate) use metrics::ConnectorMetrics;
pub use metrics::StoreMetrics;
pub use persistent_reader::PersistentReader;
pub use role::{Operation, Role};
pub use shards::{Shard, Shards};
pub use slots::{SLOTS, SlotMap, slot_of};
pub use tarantool::TarantoolConnector;
pub use wire::{Network, OpenFuture, Socket, SystemNetwork};
pub use writes::{Writes, WritesStatus};
