//! What connections to servers have in common, whatever the protocol: sockets, their addresses and activity, and one
//! connection that many callers share.

mod activity;
mod dial;
mod line;
mod socket;
#[cfg(test)]
pub(super) mod testing;

pub(super) use activity::ReadActivity;
pub(super) use dial::{Dialer, PasswordSource};
pub(super) use line::{Dialect, DriverHandle, Line, OWED_FOR, Tag};
pub use socket::{Network, OpenFuture, Socket, SystemNetwork};
