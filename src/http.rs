//! HTTP: turns bytes into a message to the dispatcher, and its reply into bytes. Knows no store.
//!
//! - `transport`: sockets, TLS and connections
//! - `api`: the calls of partners
//! - `operators`: the endpoints of operators, and the documentation
//! - `server`: the two listeners, made of these parts

mod api;
mod envelope;
mod lifecycle;
mod metrics;
mod operators;
mod request_id;
mod server;
pub mod settings;
mod transport;

pub use self::{
    api::CallPlan,
    lifecycle::{Lifecycle, Phase},
    metrics::HttpMetrics,
    operators::{AdminPlan, Dispatchers, openapi, status},
    server::{PublicPlan, serve_admin, serve_public},
    transport::{AcceptQueue, WaitingConnections, listen, raise_file_limit, refuse_new, tls},
};
