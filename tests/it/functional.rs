//! The method handler through the actors, over HTTP: on the stores that need no server, and on doubles.

mod actors;
mod bodies;
mod cards;
mod client;
mod docs;
mod heads;
mod http;
mod large_bodies;
mod leavers;
mod metrics;
mod near;
pub mod official;
mod overload;
mod pipelined;
mod rates;
mod reasons;
mod slow;
mod status;
mod status_page;
mod stop;
mod tls;
mod verbatim;
