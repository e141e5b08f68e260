//! Tracing and metrics set-up.

pub mod settings;
