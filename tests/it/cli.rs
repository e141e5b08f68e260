//! The command line as users have it: the real binary, its exit codes, and its output.

mod about;
mod batch;
mod call;
mod card;
mod demo;
mod embedded_file;
mod erased;
mod exhausted;
mod interests;
mod interrupted;
mod log;
mod on_redis;
mod on_tarantool;
mod partners;
mod probe;
pub mod process;
mod reload;
mod serve;
mod settings;
mod status;
mod systemd;
mod traces;
