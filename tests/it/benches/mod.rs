//! The benchmarks' pure parts, which `cargo test` would otherwise not run.

mod capacity;
mod record;
mod simulation;
