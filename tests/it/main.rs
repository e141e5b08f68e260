//! The integration tests: one binary, so that it is linked once and its tests share the machine's cores.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what it expects by panicking, and nobody links against this crate"
)]

mod cli;
mod emulation;
mod functional;
mod fuzz;
mod packaging;
mod real;
