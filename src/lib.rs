//! A scoring API for partners: an event-driven, supervised actor service.
//!
//! # Layout
//!
//! From the outside in; each layer knows only those below it:
//!
//! - [`cli`]: one file per subcommand
//! - [`app`]: the composition root: creates the parts and runs them until told to stop
//! - [`http`]: bytes in, a message to the dispatcher, bytes out
//! - [`actors`]: dispatcher, scoring, interests and store, and the supervisor that keeps them running
//! - [`store`]: backends behind one trait, and the code that keeps them usable during failures
//! - [`domain`]: the protocol and its values: pure
//!
//! Beside them:
//!
//! - [`client`]: the other side of the protocol
//! - [`config`]: composes the settings that the parts own
//! - [`telemetry`]: sets up the log and the export of traces
//!
//! The leaves:
//!
//! - [`build_info`]: the version and the commit
//! - [`deadline`]: the time by which a call must be answered
//! - [`resolver`]: looks names up
//! - `secret_file`: reads a secret from its file
//! - `single_flight`: blocking work that its callers share
//! - [`trace`]: a call's position in its trace
//! - `trust`: the certificates that `https` trusts
//! - [`units`]: the notations of durations and sizes
//! - [`wall_clock`]: the clock that may step

pub mod actors;
pub mod admission;
pub mod app;
pub mod build_info;
pub mod cli;
pub mod client;
pub mod config;
pub mod deadline;
pub mod domain;
pub mod http;
pub mod resolver;
mod secret_file;
mod single_flight;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod testing;
pub mod trace;
mod trust;
pub mod units;
pub mod wall_clock;
