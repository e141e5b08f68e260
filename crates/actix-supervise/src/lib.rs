#![doc = include_str!("../README.md")]

mod awake;
mod backoff;
mod health;
mod instance;
mod mailbox;
mod panics;
mod report;
mod restarts;
mod runtime;
mod supervisor;
#[cfg(test)]
mod testing;
mod watchdog;

pub use self::{
    backoff::Backoff,
    health::{ActorHealth, ActorsHealth},
    mailbox::{ActorReply, Mailbox, Origin, Sent, Unanswered, WeakMailbox},
    panics::{note_panic, record_panic_places},
    report::{ActorReport, ActorState, ActorTotals, LastRestart, RestartReason},
    restarts::RestartPolicy,
    runtime::{ActorRuntime, NamedActor, Spawned},
    supervisor::supervise,
};

/// For [`handle_sent!`] alone.
#[doc(hidden)]
pub mod __private {
    pub use ::actix;
    pub use ::tracing;
}
