//! The operators' listener: health, metrics, the state of the service as people watch it, and the API's documentation.

mod dispatchers;
mod docs;
mod files;
mod health;
pub(super) mod routes;
pub mod status;

pub use self::{dispatchers::Dispatchers, docs::openapi, health::AdminPlan};
