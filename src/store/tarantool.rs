//! `tarantool://` — the store on a Tarantool server, for both roles.
//!
//! The service calls only the functions of `deploy/tarantool/scoring.lua`, which run on the server with rights of their
//! own. So the service's user has no other right, and the server's clock decides when a score expires.

mod bulk;
mod connect;
mod connection;
mod iproto;
mod msgpack;

pub(super) use bulk::TarantoolBulk;
pub use connect::TarantoolConnector;
