//! The runtime of the actors: mailboxes, the supervisor, and the health that it reports.

pub mod health;
pub(super) mod health_gauge;
pub mod mailbox;
pub mod restarts;
pub mod supervisor;
mod watchdog;
