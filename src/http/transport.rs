//! Sockets, TLS and connections: everything below HTTP's requests.

mod accept_queue;
pub(super) mod capacity;
pub(super) mod connection;
mod listener;
pub(super) mod refused_heads;
pub(super) mod stream;
pub mod tls;

pub use self::{
    accept_queue::{AcceptQueue, WaitingConnections},
    capacity::raise_file_limit,
    listener::{listen, refuse_new},
};
