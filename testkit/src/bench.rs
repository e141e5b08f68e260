//! Code that several benchmarks use.

pub mod capacity;
pub mod client;
pub mod comparison;
pub mod entry;
pub mod machine;
pub mod record;
pub mod simulation;
