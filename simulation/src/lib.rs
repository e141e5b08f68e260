//! Deterministic simulation: the real actors of scoring-api, in simulated time, on simulated sockets, among faults that
//! are drawn from a seed. `docs/simulation.md` describes its parts and its limits.
//!
//! - [`seed`]: the seed; [`script`]: the faults that are drawn from it; [`world`]: servers and network
//! - [`service`]: the actors; [`callers`]: their callers
//! - [`run`]: one run, and its oracles; [`shrink`]: the shortest script that still fails

pub mod callers;
pub mod log;
pub mod run;
pub mod script;
pub mod seed;
pub mod service;
pub mod shrink;
pub mod world;
