//! Sockets, TLS and connections: everything below HTTP's requests.

pub(super) mod capacity;
pub(super) mod connection;
mod listener;
pub(super) mod refused_heads;
pub(super) mod stream;
pub mod tls;

pub use self::{
    capacity::raise_file_limit,
    listener::{listen, refuse_new},
};
