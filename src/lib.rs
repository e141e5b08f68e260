//! A scoring API for partners: an event-driven, supervised actor service.
//!
//! # Layout
//!
//! From the outside in; each layer knows only those below it:
//!
//! - [`cli`]: one file per subcommand
//! - [`app`]: the composition root: makes the parts and runs them until told to stop
//! - [`http`]: bytes in, a message to the dispatcher, bytes out
//! - [`actors`]: dispatcher, scoring, interests and store, and the supervisor that keeps them running
//! - [`store`]: backends behind one trait, and what keeps them in use while they fail
//! - [`domain`]: the protocol and its values: pure
//!
//! Beside them: [`client`], the other side of the protocol; [`config`], which composes the settings that the parts own;
//! [`telemetry`], which sets up the log and the export of traces; and leaves: [`backoff`]; [`resolver`],
//! which looks names up; `single_flight`, blocking work that is shared; `secret_file`; [`trace`], where a call stands in
//! its trace; `trust`, whom `https` trusts; [`units`], the notations of durations and sizes; and [`wall_clock`], which may step.

pub mod actors;
pub mod app;
pub mod backoff;
pub mod cli;
pub mod client;
pub mod config;
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
