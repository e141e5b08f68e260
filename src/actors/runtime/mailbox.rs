//! How actors reach each other: a message carries its tracing span, and is counted until an actor takes it.
//!
//! actix does not report how many messages wait for an actor. So each message between actors is wrapped in a [`Sent`],
//! which increments the gauge when it is sent, and decrements it when its actor takes it or when it is dropped unread.
//!
//! A reply that takes time is *handed* over: the asker gets the handler's future and polls it in its own task, where it
//! waits anyway. That saves a task and a wake-up for each actor on the way, and an asker that leaves drops all work for it.

use std::{
    panic::AssertUnwindSafe,
    thread::{self, ThreadId},
};

use actix::{
    dev::{MessageResponse, OneshotSender, RecipientRequest},
    prelude::*,
};
use futures_util::FutureExt;
use prometheus::IntGauge;
use send_wrapper::SendWrapper;
use tokio::time::timeout_at;
use tracing::{Instrument, Span};

use super::health::ActorHealth;
use crate::{deadline::Deadline, trace::TraceContext};

/// The mailbox of an actor that handles `M`.
#[derive(Debug)]
pub struct Mailbox<M>
where
    M: Message + Send,
    M::Result: Send,
{
    actor: Recipient<Sent<M>>,
    depth: IntGauge,
}

/// A message in a mailbox.
#[derive(Debug)]
pub struct Sent<M> {
    message: M,
    cause: Cause,
    waiting: Waiting,
    /// The thread of the asker.
    thread: ThreadId,
}

/// The reason why a message has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unanswered {
    /// The actor restarted while it handled the message, or has ended, or its reply's future panicked.
    Lost,
    /// The deadline passed.
    Late,
}

/// The span that sent a message.
#[derive(Debug)]
enum Cause {
    /// The sender waits for the reply, so its span outlives the receiver's.
    Within(Span),
    /// The sender does not wait, so its span may end before the receiver's begins: it must not be kept open.
    After(Option<TraceContext>),
}

/// The result of a handler. A reply that is ready costs no task; a future would.
pub enum ActorReply<T> {
    /// The reply.
    Now(T),
    /// A future of the reply.
    Later(ResponseFuture<T>),
}

/// The reply to a [`Sent`] message, on its way from the actor to the asker.
pub struct Handed<T> {
    reply: OnThread<T>,
    /// Whether the asker is on the actor's own thread, the only one that may poll the future.
    is_local: bool,
}

/// An [`ActorReply`] whose future may be moved, but not used, on other threads: actix sends replies between threads.
enum OnThread<T> {
    Now(T),
    Later(SendWrapper<ResponseFuture<T>>),
}

/// Counts as a waiting message until it is dropped.
#[derive(Debug)]
struct Waiting(IntGauge);

// ===== impl Mailbox =====

impl<M> Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// The mailbox of `actor`. Its messages count towards `health`.
    pub fn new(actor: impl Into<Recipient<Sent<M>>>, health: &ActorHealth) -> Self {
        Self { actor: actor.into(), depth: health.mailbox_depth().clone() }
    }

    /// Sends a message. The current span waits for the reply.
    pub(in crate::actors) fn send(&self, message: M) -> RecipientRequest<Sent<M>> {
        self.actor.send(self.sent(message, Cause::Within(Span::current())))
    }

    /// Sends a message, and waits for its reply until `deadline`. The message is sent at once, before the first poll.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: the receiver may be stuck, or panic while it handles the message.
    pub fn ask(
        &self,
        message: M,
        deadline: Deadline,
    ) -> impl Future<Output = Result<M::Result, Unanswered>> + use<M> {
        let reply = self.send(message);
        let answer = async {
            match reply.await {
                Ok(handed) => handed.reply().await,
                Err(_) => Err(Unanswered::Lost),
            }
        };
        timeout_at(deadline.instant(), answer).map(|answer| answer.unwrap_or(Err(Unanswered::Late)))
    }

    /// Sends a message without waiting for a reply.
    pub fn do_send(&self, message: M) {
        self.actor.do_send(self.sent(message, Cause::After(TraceContext::of(&Span::current()))));
    }

    fn sent(&self, message: M, cause: Cause) -> Sent<M> {
        self.depth.inc();
        Sent { message, cause, waiting: Waiting(self.depth.clone()), thread: thread::current().id() }
    }
}

impl<M> Clone for Mailbox<M>
where
    M: Message + Send,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), depth: self.depth.clone() }
    }
}

// ===== impl Sent =====

impl<M: Message> Message for Sent<M> {
    type Result = Handed<M::Result>;
}

impl<M: Message> Sent<M> {
    /// Unwraps the message and handles it in the span that `span` creates from the parent's.
    pub(in crate::actors) fn handled(
        self,
        span: impl FnOnce(&Span) -> Span,
        handle: impl FnOnce(M) -> ActorReply<M::Result>,
    ) -> Handed<M::Result>
    where
        M::Result: 'static,
    {
        drop(self.waiting);
        let span = match &self.cause {
            Cause::Within(parent) => span(parent),
            Cause::After(context) => {
                let span = span(&Span::none());
                context.iter().for_each(|context| context.adopt(&span));
                span
            }
        };
        let reply = match span.in_scope(|| handle(self.message)) {
            ActorReply::Now(reply) => OnThread::Now(reply),
            // Boxed again only if the span is enabled.
            ActorReply::Later(reply) if !span.is_disabled() => {
                OnThread::Later(SendWrapper::new(Box::pin(reply.instrument(span))))
            }
            ActorReply::Later(reply) => OnThread::Later(SendWrapper::new(reply)),
        };
        Handed { reply, is_local: self.thread == thread::current().id() }
    }
}

/// Implements `Handler<Sent<M>>` for an actor that handles `M`: it runs the handler in a span with the actor's name.
macro_rules! handle_sent {
    ($actor:ty: $message:ident) => {
        impl ::actix::Handler<$crate::actors::runtime::mailbox::Sent<$message>> for $actor {
            type Result = $crate::actors::runtime::mailbox::Handed<<$message as ::actix::Message>::Result>;

            fn handle(
                &mut self,
                sent: $crate::actors::runtime::mailbox::Sent<$message>,
                ctx: &mut Self::Context,
            ) -> Self::Result {
                let message = stringify!($message);
                sent.handled(
                    |parent| ::tracing::info_span!(parent: parent, <$actor as $crate::actors::runtime::NamedActor>::NAME, message),
                    |message| self.handle(message, ctx).into(),
                )
            }
        }
    };
}
pub(in crate::actors) use handle_sent;

// ===== impl ActorReply =====

impl<T> From<ResponseFuture<T>> for ActorReply<T> {
    fn from(reply: ResponseFuture<T>) -> Self {
        Self::Later(reply)
    }
}

impl<A: Actor, M: Message> MessageResponse<A, M> for ActorReply<M::Result> {
    fn handle(self, ctx: &mut A::Context, sender: Option<OneshotSender<M::Result>>) {
        match self {
            Self::Now(reply) => {
                // This fails if the caller no longer waits.
                _ = sender.map(|sender| sender.send(reply));
            }
            Self::Later(reply) => MessageResponse::<A, M>::handle(reply, ctx, sender),
        }
    }
}

// ===== impl Handed =====

impl<T> Handed<T> {
    /// The reply, once it is there. A panic of its future is not the asker's: the asker only loses the reply.
    async fn reply(self) -> Result<T, Unanswered> {
        match self.reply {
            OnThread::Now(reply) => Ok(reply),
            OnThread::Later(reply) => {
                AssertUnwindSafe(reply.take()).catch_unwind().await.map_err(|_| Unanswered::Lost)
            }
        }
    }
}

impl<A, M> MessageResponse<A, Sent<M>> for Handed<M::Result>
where
    A: Actor,
    M: Message,
    M::Result: 'static,
{
    fn handle(self, _: &mut A::Context, sender: Option<OneshotSender<Self>>) {
        match (self.reply, sender) {
            (OnThread::Later(reply), Some(sender)) if !self.is_local => {
                actix::spawn(async move {
                    let reply = OnThread::Now(reply.take().await);
                    // This fails if the asker no longer waits.
                    _ = sender.send(Self { reply, is_local: false });
                });
            }
            (reply, Some(sender)) => _ = sender.send(Self { reply, is_local: self.is_local }),
            // No one waits for it, but the work is to be done.
            (OnThread::Later(reply), None) => drop(actix::spawn(reply.take())),
            (OnThread::Now(_), None) => {}
        }
    }
}

// ===== impl Waiting =====

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
