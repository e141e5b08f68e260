//! How actors reach each other: a message carries its tracing span, and is counted until an actor takes it.
//!
//! actix does not report how many messages wait for an actor. So each message between actors is wrapped in a [`Sent`],
//! which increments the gauge when it is sent, and decrements it when its actor takes it or when it is dropped unread.
//!
//! A reply that takes time is a future. An actor that asks another one is *handed* that future, and makes it a part of its own
//! reply: so a call is one task, for any number of actors on its way. Everyone else is given the result. Either way, an
//! asker that leaves ends all work for it.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Poll, ready},
};

use actix::{
    dev::{MessageResponse, OneshotSender},
    prelude::*,
};
use futures_util::FutureExt;
use prometheus::IntGauge;
use send_wrapper::SendWrapper;
use tokio::{sync::oneshot, time::timeout_at};
use tracing::{Instrument, Span};

use super::health::ActorHealth;
use crate::{deadline::Deadline, trace::TraceContext};

/// The mailbox of an actor that handles `M`.
#[derive(Debug)]
pub struct Mailbox<M: Message + Send>
where
    M::Result: Send,
{
    actor: Recipient<Sent<M>>,
    depth: IntGauge,
}

/// A message in a mailbox.
pub struct Sent<M: Message> {
    message: M,
    cause: Cause,
    waiting: Waiting,
    asker: Option<Asker<M::Result>>,
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

/// The result of a handler. A reply that is ready needs no future.
pub enum ActorReply<T> {
    /// The reply.
    Now(T),
    /// A future of the reply.
    Later(ResponseFuture<T>),
}

/// The sender of a message that has a reply.
enum Asker<T> {
    /// An actor on the same thread.
    Actor(oneshot::Sender<Given<T>>),
    /// Anyone else. It is woken once, for the result, because that may be costly: it may be on another thread, or below layers of HTTP.
    Outside(oneshot::Sender<Given<T>>),
}

/// The thing that an asker is given: the reply, or the rest of the work for it.
enum Given<T> {
    Reply(T),
    /// Messages may be sent to other threads, so this must be `Send`; but actors that ask each other share one thread.
    Work(SendWrapper<ResponseFuture<T>>),
}

/// The reply to a message, on the asker's side.
///
/// A hand-written future: one that is compiled from `async` code would hold each part of it twice.
struct Reply<T>(Stage<T>);

enum Stage<T> {
    /// Until the asker is given something.
    Sent(oneshot::Receiver<Given<T>>),
    /// The rest of the work.
    Handed(ResponseFuture<T>),
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
        until(deadline, self.send(message, Asker::Outside))
    }

    /// The same from an actor on the same thread, which polls the result as a part of its own reply.
    ///
    /// # Panics
    ///
    /// When the result is polled on another thread.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub(in crate::actors) fn delegate(
        &self,
        message: M,
        deadline: Deadline,
    ) -> impl Future<Output = Result<M::Result, Unanswered>> + use<M> {
        until(deadline, self.send(message, Asker::Actor))
    }

    /// The current span waits for the reply.
    fn send(
        &self,
        message: M,
        asker: impl FnOnce(oneshot::Sender<Given<M::Result>>) -> Asker<M::Result>,
    ) -> Reply<M::Result> {
        let (give, given) = oneshot::channel();
        self.post(message, Cause::Within(Span::current()), Some(asker(give)));
        Reply(Stage::Sent(given))
    }

    /// Sends a message without waiting for a reply.
    pub fn do_send(&self, message: M) {
        self.post(message, Cause::After(TraceContext::of(&Span::current())), None);
    }

    /// A message to an actor that has ended is dropped, and its asker learns of it.
    fn post(&self, message: M, cause: Cause, asker: Option<Asker<M::Result>>) {
        self.depth.inc();
        self.actor.do_send(Sent { message, cause, waiting: Waiting(self.depth.clone()), asker });
    }
}

fn until<T>(deadline: Deadline, reply: Reply<T>) -> impl Future<Output = Result<T, Unanswered>> {
    timeout_at(deadline.instant(), reply).map(|reply| reply.unwrap_or(Err(Unanswered::Late)))
}

impl<M: Message + Send> Clone for Mailbox<M>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), depth: self.depth.clone() }
    }
}

// ===== impl Sent =====

impl<M: Message> Message for Sent<M> {
    type Result = ();
}

impl<M: Message> Sent<M>
where
    M::Result: Send + 'static,
{
    /// Unwraps the message, and handles it in the span that `span` creates from the parent's, unless its asker has left.
    pub(in crate::actors) fn handled(
        self,
        span: impl FnOnce(&Span) -> Span,
        handle: impl FnOnce(M) -> ActorReply<M::Result>,
    ) {
        drop(self.waiting);
        if self.asker.as_ref().is_some_and(Asker::has_left) {
            return;
        }
        let span = match &self.cause {
            Cause::Within(parent) => span(parent),
            Cause::After(context) => {
                let span = span(&Span::none());
                context.iter().for_each(|context| context.adopt(&span));
                span
            }
        };
        let reply = match span.in_scope(|| handle(self.message)) {
            // Boxed again only if the span is enabled.
            ActorReply::Later(reply) if !span.is_disabled() => {
                ActorReply::Later(Box::pin(reply.instrument(span)))
            }
            reply @ (ActorReply::Now(_) | ActorReply::Later(_)) => reply,
        };
        match (self.asker, reply) {
            (Some(asker), reply) => asker.give(reply),
            // No one waits for it, but the work is to be done.
            (None, ActorReply::Later(reply)) => drop(actix::spawn(reply)),
            (None, ActorReply::Now(_)) => {}
        }
    }
}

/// Implements `Handler<Sent<M>>` for an actor that handles `M`: it runs the handler in a span with the actor's name.
macro_rules! handle_sent {
    ($actor:ty: $message:ident) => {
        impl ::actix::Handler<$crate::actors::runtime::mailbox::Sent<$message>> for $actor {
            type Result = ();

            fn handle(
                &mut self,
                sent: $crate::actors::runtime::mailbox::Sent<$message>,
                ctx: &mut Self::Context,
            ) {
                let message = stringify!($message);
                sent.handled(
                    |parent| ::tracing::info_span!(parent: parent, <$actor as $crate::actors::runtime::NamedActor>::NAME, message),
                    |message| self.handle(message, ctx).into(),
                );
            }
        }
    };
}
pub(in crate::actors) use handle_sent;

// ===== impl Asker =====

impl<T: Send + 'static> Asker<T> {
    fn has_left(&self) -> bool {
        match self {
            Self::Outside(asker) | Self::Actor(asker) => asker.is_closed(),
        }
    }

    /// Gives the reply to the asker. This fails if the asker no longer waits.
    fn give(self, reply: ActorReply<T>) {
        match (self, reply) {
            (Self::Outside(asker) | Self::Actor(asker), ActorReply::Now(reply)) => {
                _ = asker.send(Given::Reply(reply));
            }
            (Self::Actor(asker), ActorReply::Later(work)) => {
                _ = asker.send(Given::Work(SendWrapper::new(work)));
            }
            (Self::Outside(asker), ActorReply::Later(work)) => drop(actix::spawn(work_for(asker, work))),
        }
    }
}

/// Works for an asker, until it has left.
async fn work_for<T>(mut asker: oneshot::Sender<Given<T>>, mut work: ResponseFuture<T>) {
    let reply = poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(reply) => Poll::Ready(Some(reply)),
        Poll::Pending => asker.poll_closed(cx).map(|()| None),
    });
    if let Some(reply) = reply.await {
        _ = asker.send(Given::Reply(reply));
    }
}

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

// ===== impl Reply =====

impl<T> Future for Reply<T> {
    type Output = Result<T, Unanswered>;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let Self(stage) = self.get_mut();
        if let Stage::Sent(reply) = stage {
            match ready!(Pin::new(reply).poll(cx)) {
                Ok(Given::Reply(reply)) => return Poll::Ready(Ok(reply)),
                Ok(Given::Work(work)) => *stage = Stage::Handed(work.take()),
                Err(_) => return Poll::Ready(Err(Unanswered::Lost)),
            }
        }
        let Stage::Handed(work) = stage else { return Poll::Pending };
        // A panic of the work is not the asker's: the asker only loses the reply.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(reply) => reply.map(Ok),
            Err(_) => Poll::Ready(Err(Unanswered::Lost)),
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
