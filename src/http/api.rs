//! `POST /method`, and the rules for every response.

pub(super) mod body;
pub(super) mod call;
pub(super) mod client_address;
mod guard;
pub(super) mod middleware;
pub(super) mod routes;

pub use self::call::CallPlan;
