//! The command line as its users have it: the real binary, its exit codes, and what it writes where.

mod exhausted;
mod interests;
mod interrupted;
mod log;
mod on_redis;
pub mod process;
mod serve;
mod settings;
