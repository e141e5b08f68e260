//! HTTP: turns bytes into a message to the dispatcher, and its reply into bytes. Knows no store.

mod admin;
mod body;
mod call;
mod capacity;
mod client_address;
mod connection;
mod dispatchers;
mod docs;
mod envelope;
mod guard;
mod lifecycle;
mod listener;
mod metrics;
mod refused_heads;
mod request_id;
mod routes;
mod server;
pub mod settings;
mod stream;
pub mod tls;

pub use admin::AdminPlan;
pub use call::CallPlan;
pub use capacity::raise_file_limit;
pub use dispatchers::Dispatchers;
pub use docs::openapi;
pub use lifecycle::{Lifecycle, Phase};
pub use listener::{listen, refuse_new};
pub use metrics::HttpMetrics;
pub use routes::AddressRate;
pub use server::{PublicPlan, serve_admin, serve_public};
