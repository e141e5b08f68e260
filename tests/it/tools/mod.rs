//! Tools that make a store misbehave, and that wait without sleeping.
//!
//! | tool | what it stands for |
//! |---|---|
//! | [`RespServer`] | a store inside the test process, scripted command by command |
//! | [`Proxy`] | a bad network between a client and any store |
//! | [`RedisServer`] | a real `redis-server` process, to be killed, stopped and filled |
//! | [`Door`] | how the first two admit connections: shut, clogged, flapping, half-open |
//! | [`Certificate`] | a certificate in files, and clients that trust it |
//! | [`ReverseProxy`] | a real nginx or HAProxy in front of a service |
//! | [`Browser`] | a real Chromium, to look at pages with |
//! | [`Shim`] | a disk that fails, for the process of a service |
//! | [`eventually`], [`in_time`] | the only ways in which a test waits |
//! | [`Stopwatch`] | the only way in which a test holds an upper bound in time |
//!
//! Nothing here has a fixed port or outlives the value that stands for it, so tests can run in parallel and may panic.

mod browser;
mod certificate;
mod door;
mod eventually;
mod full_backlog;
mod http;
mod port;
mod proxy;
mod redis;
mod resp;
mod reverse_proxy;
mod shim;
mod stopwatch;

pub use self::browser::Browser;
pub use self::certificate::Certificate;
pub use self::door::Door;
pub use self::eventually::{eventually, in_time};
pub use self::http::http_client;
pub use self::port::ReservedPort;
pub use self::proxy::{Conditions, Loss, Proxy, Upstream};
pub use self::redis::RedisServer;
pub use self::resp::{Command, DATA, Fault, READS, RespServer, Rule, WRITES};
pub use self::reverse_proxy::ReverseProxy;
pub use self::shim::{Calls, EIO, ENOSPC, Shim};
pub use self::stopwatch::Stopwatch;
#[allow(unused_imports, reason = "only the fault table uses them")]
pub use self::{full_backlog::FullBacklog, shim::compile};
