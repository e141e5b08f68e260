//! A scoring API: an event-driven, supervised actor service.

pub mod config;
pub mod domain;
pub mod http;
pub mod store;
pub mod telemetry;
pub mod units;
