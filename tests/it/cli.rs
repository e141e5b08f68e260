//! The command line as its users have it: the real binary, its exit codes, and what it writes where.

mod about;
mod batch;
mod call;
mod embedded_file;
mod exhausted;
mod interests;
mod interrupted;
mod log;
mod on_redis;
mod probe;
pub mod process;
mod reload;
mod serve;
mod settings;
mod systemd;
mod traces;
