//! A scoring API: an event-driven, supervised actor service.

pub mod config;
pub mod domain;
