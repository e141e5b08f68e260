//! Stores, networks and clients that misbehave on command, for the tests and benchmarks.
//!
//! | tool | stands for |
//! |---|---|
//! | [`TestApp`] | the service in the test's process, on free ports |
//! | [`Wire`], [`Load`] | a client that sends byte by byte; many clients that check every answer |
//! | [`RespServer`] | a store inside the test process, scripted command by command |
//! | [`TaggedServer`] | the same, with memcached's or Tarantool's protocol |
//! | [`Proxy`] | a bad network between a client and any store |
//! | [`RedisServer`] | a real `redis-server` process, to be killed, stopped and filled |
//! | [`MemcachedServer`], [`TarantoolServer`] | the same of the other stores |
//! | [`SentinelGroup`], [`ClusterGroup`] | six of them that watch or know each other |
//! | [`Door`] | how the first two admit connections: shut, clogged, flapping, half-open |
//! | [`Certificate`] | a certificate in files, and clients that trust it |
//! | [`ReverseProxy`] | a real nginx or HAProxy in front of a service |
//! | [`Browser`] | a real Chromium, to look at pages with |
//! | [`Shim`] | a disk that fails, for the process of a service |
//! | [`eventually()`], [`in_time`] | the only ways in which a test waits |
//! | [`Stopwatch`] | the only way in which a test holds an upper bound in time |
//!
//! No value has a fixed port, and nothing outlives the value that stands for it, so tests can run in parallel and may panic.

mod app;
pub mod bench;
mod browser;
mod calls;
mod certificate;
mod cluster;
mod door;
mod eventually;
mod full_backlog;
mod http;
mod load;
mod memcached;
mod port;
mod process;
mod proxy;
mod redis;
mod resp;
mod reverse_proxy;
mod rows;
mod sentinel;
mod share;
mod shim;
mod stopwatch;
mod tagged;
mod tarantool;
mod wire;

pub use self::{
    app::{Reply, TestApp, settings},
    browser::Browser,
    calls::{Person, call, sign},
    certificate::Certificate,
    cluster::ClusterGroup,
    door::Door,
    eventually::{eventually, in_time},
    full_backlog::FullBacklog,
    http::http_client,
    load::Load,
    memcached::MemcachedServer,
    port::ReservedPort,
    process::ServerProcess,
    proxy::{Conditions, Loss, Proxy, Upstream},
    redis::RedisServer,
    resp::{Command, DATA, Fault, READS, RespServer, Rule, WRITES},
    reverse_proxy::ReverseProxy,
    rows::{ALL_IS_OK_WITHIN, INTERESTS_BOUND, SCORE_BOUND, SLACK},
    sentinel::SentinelGroup,
    share::{alone, share},
    shim::{Calls, EIO, ENOSPC, Shim, compile},
    stopwatch::Stopwatch,
    tagged::{TaggedServer, Wrong},
    tarantool::TarantoolServer,
    wire::{Wire, post},
};
