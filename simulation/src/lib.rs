//! Deterministic simulation: the real actors of scoring-api, in simulated time, on simulated sockets, among faults that
//! are drawn from a seed. `docs/simulation.md` says how it works and what it cannot see.
//!
//! - [`seed`]: the seed; [`script`]: what it decides; [`world`]: servers and network
//! - [`service`]: the actors; [`callers`]: those who call them
//! - [`run`]: one run, and its oracles; [`shrink`]: the shortest script that still fails

pub mod callers;
pub mod log;
pub mod run;
pub mod script;
pub mod seed;
pub mod service;
pub mod shrink;
pub mod world;
