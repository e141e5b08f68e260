//! `redis://`, `rediss://`, `redis+unix://`, `redis+sentinel://` and `redis+cluster://` — the store on Redis or Valkey servers.
//!
//! Only this module uses the `redis` crate. It watches the bytes of a socket itself, to see facts that the client does not
//! report: when the last byte arrived, and how many.

mod bulk;
mod cluster_bulk;
mod connect;
mod connection;
mod errors;
mod frames;
mod log_in;
mod sentinel;
#[cfg(test)]
mod testing;
mod tls;
mod topology;
mod watched;

pub(super) use bulk::RedisBulk;
pub(super) use cluster_bulk::ClusterBulk;
pub use connect::RedisConnector;
pub(crate) use tls::check as check_tls;
