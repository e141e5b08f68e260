//! Stores: backends behind one trait, and what keeps them in use while they fail.
//!
//! - [`backend`](Connector): what every store offers, and the backends: [`Memory`], [`EmbeddedConnector`],
//!   [`RedisConnector`].
//! - [`Link`]: one role's connection, kept alive; [`CacheRequests`] and [`PersistentRequests`] are what can be asked over
//!   it.
//! - [`Bulk`]: the persistent half as the command line uses it: all at once, and blocking.
//! - Pure parts, each a small state machine over a clock that is passed in: [`Backoff`], [`Breaker`], the retry budget.
//! - [`BackendError`]: everything that can go wrong, sorted once.
//!
//! The failure policy: a cache is asked once and every failure is a miss; persistent data is asked for until the
//! deadline and every failure is told. The two roles have connections and breakers of their own, even on one server,
//! for their time limits differ.

mod attempt;
mod backend;
mod breaker;
mod budget;
mod bulk;
mod embedded;
mod error;
mod faulty;
mod link;
mod local_cache;
mod memory;
mod monitor;
mod redis;
mod requests;
pub mod settings;
#[cfg(test)]
pub(crate) mod testing;
pub mod url;

pub use self::redis::RedisConnector;
pub use crate::backoff::Backoff;
pub use attempt::{FailedAttempt, Step};
pub use backend::{Access, Connection, Connector, Reply, Size};
pub use breaker::{Breaker, BreakerPolicy, Change};
pub use bulk::{Bulk, OpenBulkError, Purpose, PutError, Stored, Watch, open_bulk};
pub use embedded::{EmbeddedConnector, EmbeddedFile};
pub use error::{BackendError, Remedy, StoreError};
pub use link::{Link, LinkPolicy};
pub use local_cache::LocalCache;
pub use memory::Memory;
pub use monitor::{LastError, Monitor, Operation, Role, RoleSnapshot, RoleStatus, StoreMetrics};
pub use requests::{CacheRequests, PersistentRequests};
