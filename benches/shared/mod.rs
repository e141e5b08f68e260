//! What the benchmarks share: how they are begun and ended, and where they ran.

pub mod entry;
pub mod machine;
