//! The method handler through the actors, over HTTP: on the stores that need no server, and on doubles.

mod actors;
mod http;
pub mod official;
mod overload;
mod stop;
