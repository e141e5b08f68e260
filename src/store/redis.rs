//! `redis://` and `redis+unix://` — the store on a Redis or Valkey server.
//!
//! The only place that knows the `redis` crate. The sockets are our own, so that we see what the client cannot tell:
//! when anything last came back, and how much.

mod bulk;
mod connect;
mod connection;
mod errors;
mod frames;
mod log_in;
mod read_activity;
mod socket;
#[cfg(test)]
mod testing;

pub(super) use bulk::RedisBulk;
pub use connect::RedisConnector;
