//! How actors reach each other: a message carries its tracing span, and is counted until an actor takes it.
//!
//! actix does not report how many messages wait for an actor, nor for how long. So each message between actors is wrapped
//! in a [`Sent`], which counts as waiting from its sending until its actor takes it or it is dropped unread.
//!
//! A reply that takes time is a future. An actor that asks another one is *handed* that future, and makes it a part of its own
//! reply: so a call is one task, for any number of actors on its way. Everyone else is given the result. Either way, an
//! asker that leaves ends all work for it.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use actix::{
    WeakRecipient,
    dev::{MessageResponse, OneshotSender},
    prelude::*,
};
use futures_util::FutureExt;
use send_wrapper::SendWrapper;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tracing::{Instrument, Span};

use crate::{
    instance::{Instance, Queued},
    panics::take_place,
};

/// The mailbox of an actor that handles `M`. It keeps the actor running.
///
/// `O` says how a message that no one waits for is linked to its sender's trace; by default, it is not linked.
#[derive(Debug)]
pub struct Mailbox<M: Message + Send, O: Origin = ()>
where
    M::Result: Send,
{
    actor: Recipient<Sent<M, O>>,
    instance: Arc<Instance>,
}

/// A mailbox that does not keep its actor running.
#[derive(Debug)]
pub struct WeakMailbox<M: Message + Send, O: Origin = ()>
where
    M::Result: Send,
{
    actor: WeakRecipient<Sent<M, O>>,
    instance: Arc<Instance>,
}

/// A message in a mailbox.
pub struct Sent<M: Message, O: Origin = ()> {
    message: M,
    cause: Cause<O>,
    queued: Queued,
    asker: Option<Asker<M::Result>>,
}

/// The sender of a message that it does not wait for, as the program's traces refer to it. It is taken when the message
/// is sent, and the sender's span may end before the receiver's begins, so it must not hold that span.
///
/// `()` refers to no sender.
pub trait Origin: Sized + Send + 'static {
    /// The sender in `span`; `None` if it has no trace.
    fn of(span: &Span) -> Option<Self>;

    /// Makes `span`, the receiver's, which has not been entered yet, a child of this sender.
    fn adopt(&self, span: &Span);
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
enum Cause<O> {
    /// The sender waits for the reply, so its span outlives the receiver's.
    Within(Span),
    /// The sender does not wait, so its span may end before the receiver's begins: it must not be kept open.
    After(Option<O>),
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

// ===== impl Mailbox =====

impl<M, O> Mailbox<M, O>
where
    M: Message + Send + 'static,
    M::Result: Send,
    O: Origin,
{
    pub(crate) fn new(actor: impl Into<Recipient<Sent<M, O>>>, instance: Arc<Instance>) -> Self {
        Self { actor: actor.into(), instance }
    }

    /// The mailbox of an actor that no supervisor runs, as in a test. No report has its messages.
    pub fn unsupervised(actor: impl Into<Recipient<Sent<M, O>>>) -> Self {
        Self::new(actor, Arc::new(Instance::new("", 0, Arc::default())))
    }

    /// Sends a message, and waits for its reply until `deadline`. The message is sent at once, before the first poll.
    ///
    /// # Errors
    ///
    /// [`Unanswered`]: the receiver may be stuck, or panic while it handles the message.
    pub fn ask(
        &self,
        message: M,
        deadline: Instant,
    ) -> impl Future<Output = Result<M::Result, Unanswered>> + use<M, O> {
        until(deadline, self.send(message, Asker::Outside))
    }

    /// The same from an actor on the same thread, which polls the result as a part of its own reply. The asked actor hands
    /// the rest of its work over, so a call through any number of actors is one task.
    ///
    /// # Panics
    ///
    /// When the result is polled on another thread.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub fn delegate(
        &self,
        message: M,
        deadline: Instant,
    ) -> impl Future<Output = Result<M::Result, Unanswered>> + use<M, O> {
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
        self.post(message, Cause::After(O::of(&Span::current())), None);
    }

    /// A message to an actor that has ended is dropped, and its asker learns of it.
    fn post(&self, message: M, cause: Cause<O>, asker: Option<Asker<M::Result>>) {
        self.actor.do_send(Sent { message, cause, queued: Queued::new(&self.instance), asker });
    }

    /// The mailbox, without keeping its actor running.
    pub fn downgrade(&self) -> WeakMailbox<M, O> {
        WeakMailbox { actor: self.actor.downgrade(), instance: self.instance.clone() }
    }

    /// Whether both are mailboxes of the same actor.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.instance, &other.instance)
    }
}

fn until<T>(deadline: Instant, reply: Reply<T>) -> impl Future<Output = Result<T, Unanswered>> {
    timeout_at(deadline, reply).map(|reply| reply.unwrap_or(Err(Unanswered::Late)))
}

impl<M: Message + Send, O: Origin> Clone for Mailbox<M, O>
where
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), instance: self.instance.clone() }
    }
}

// ===== impl WeakMailbox =====

impl<M, O> WeakMailbox<M, O>
where
    M: Message + Send + 'static,
    M::Result: Send,
    O: Origin,
{
    /// The mailbox, if the actor still runs.
    pub fn upgrade(&self) -> Option<Mailbox<M, O>> {
        self.actor.upgrade().map(|actor| Mailbox::new(actor, self.instance.clone()))
    }
}

// ===== impl Origin =====

impl Origin for () {
    fn of(_: &Span) -> Option<Self> {
        None
    }

    fn adopt(&self, _: &Span) {}
}

// ===== impl Sent =====

impl<M: Message, O: Origin> Message for Sent<M, O> {
    type Result = ();
}

impl<M: Message, O: Origin> Sent<M, O>
where
    M::Result: Send + 'static,
{
    /// Unwraps the message, and handles it in the span that `span` creates from the parent's, unless its asker has left.
    /// [`handle_sent!`](crate::handle_sent) calls it.
    pub fn handled(self, span: impl FnOnce(&Span) -> Span, handle: impl FnOnce(M) -> ActorReply<M::Result>) {
        self.queued.taken();
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

/// Lets an actor that handles a message get it through a [`Mailbox`]: implements `Handler<Sent<M>>`, which runs the actor's
/// own handler in a span with the actor's name.
///
/// The handler's result is an [`ActorReply`], a [`ResponseFuture`], or the message's result itself. With an [`Origin`] as
/// the last argument, messages that no one waits for belong to their sender's trace.
///
/// ```
/// # use actix::prelude::*;
/// # use actix_supervise::{NamedActor, handle_sent};
/// # struct Counter(u32);
/// # impl Actor for Counter { type Context = Context<Self>; }
/// # impl Supervised for Counter {}
/// # impl NamedActor for Counter { const NAME: &'static str = "counter"; }
/// #[derive(Message)]
/// #[rtype(result = "u32")]
/// struct Add(u32);
///
/// impl Handler<Add> for Counter {
///     type Result = u32;
///
///     fn handle(&mut self, Add(number): Add, _: &mut Context<Self>) -> u32 {
///         self.0 += number;
///         self.0
///     }
/// }
///
/// handle_sent!(Counter: Add);
/// ```
#[macro_export]
macro_rules! handle_sent {
    ($actor:ty: $message:ty) => {
        $crate::handle_sent!($actor: $message, ());
    };
    ($actor:ty: $message:ty, $origin:ty) => {
        impl $crate::__private::actix::Handler<$crate::Sent<$message, $origin>> for $actor {
            type Result = ();

            fn handle(&mut self, sent: $crate::Sent<$message, $origin>, ctx: &mut Self::Context) {
                let message = stringify!($message);
                sent.handled(
                    |parent| {
                        $crate::__private::tracing::info_span!(
                            parent: parent,
                            <$actor as $crate::NamedActor>::NAME,
                            message
                        )
                    },
                    |message| {
                        <Self as $crate::__private::actix::Handler<$message>>::handle(self, message, ctx)
                            .into()
                    },
                );
            }
        }
    };
}

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

impl<T> From<T> for ActorReply<T> {
    fn from(reply: T) -> Self {
        Self::Now(reply)
    }
}

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
            Err(_) => {
                // No actor is restarted for it.
                drop(take_place());
                Poll::Ready(Err(Unanswered::Lost))
            }
        }
    }
}

#[cfg(test)]
mod tests;
