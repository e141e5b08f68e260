//! The operators' listener: health, metrics, and the API's documentation.

mod dispatchers;
mod docs;
mod health;
pub(super) mod routes;

pub use self::{dispatchers::Dispatchers, docs::openapi, health::AdminPlan};
