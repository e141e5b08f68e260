//! The runtime of the actors: the crate [`actix_supervise`], with the service's traces.
//!
//! [`metrics`](super::metrics) publishes the health that it reports.

use tracing::Span;

pub use actix_supervise::{
    ActorHealth, ActorReply, ActorReport, ActorRuntime, ActorState, ActorsHealth, LastRestart, NamedActor,
    Origin, RestartPolicy, RestartReason, Spawned, Unanswered, note_panic, supervise,
};

use crate::trace::TraceContext;

/// The mailbox of an actor.
pub type Mailbox<M> = actix_supervise::Mailbox<M, TraceContext>;

/// A mailbox that does not keep its actor running.
pub type WeakMailbox<M> = actix_supervise::WeakMailbox<M, TraceContext>;

/// A message in a mailbox.
pub type Sent<M> = actix_supervise::Sent<M, TraceContext>;

/// A message that no one waits for carries the id of its sender's span, not the span.
impl Origin for TraceContext {
    fn of(span: &Span) -> Option<Self> {
        Self::of(span)
    }

    fn adopt(&self, span: &Span) {
        self.adopt(span);
    }
}

/// Lets an actor that handles a message get it through a [`Mailbox`]. See [`actix_supervise::handle_sent`].
macro_rules! handle_sent {
    ($actor:ty: $message:ty) => {
        ::actix_supervise::handle_sent!($actor: $message, $crate::trace::TraceContext);
    };
}
pub(in crate::actors) use handle_sent;
