//! Shared by the benchmarks: their start and end, and the machine's description.

pub mod entry;
pub mod machine;
