//! Requests that are sent together: an actor takes several out of its mailbox in one turn, and they are one question to the
//! store.
//!
//! A request joins the open batch when it is made. The batch is sent when the first of its requests is polled, which is after
//! the actor's turn, because the askers run after it. So no request waits for others to come.
//!
//! Each request keeps its own time limit. A batch is dropped with the last of its askers.

use std::{
    cell::{OnceCell, RefCell},
    fmt,
    panic::AssertUnwindSafe,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};

use super::{BackendError, Connection, ReplyFuture, link::LiveConnection};

/// Maximum requests in a batch. It bounds the time that one question takes the store.
const MOST: usize = 64;

/// A request to the cache.
pub(super) trait Request: Sized + 'static {
    /// The reply to it.
    type Reply: 'static;

    /// Sends it alone.
    fn alone(self, connection: &dyn Connection) -> ReplyFuture<Self::Reply>;

    /// Sends some in one question. The replies come in their order.
    fn together(requests: Vec<Self>, connection: &dyn Connection) -> ReplyFuture<Replies<Self::Reply>>;
}

/// The replies to a batch.
type Replies<T> = Vec<Result<T, BackendError>>;

/// A read of a key.
pub(super) struct Get(pub(super) String);

/// A write of a key and a value, and for how long.
pub(super) struct Set(pub(super) String, pub(super) Vec<u8>, pub(super) Duration);

/// Gathers the requests of one kind on one link.
pub(super) struct Gather<R: Request>(RefCell<Weak<Batch<R>>>);

/// Requests over one connection.
struct Batch<R: Request> {
    connection: LiveConnection,
    /// Taken when the batch is sent.
    requests: RefCell<Vec<R>>,
    /// Set when it was sent.
    reply: OnceCell<SharedReply<R::Reply>>,
}

/// The reply to a batch, for each of its requests.
type SharedReply<T> = Shared<LocalBoxFuture<'static, Result<Parts<T>, BackendError>>>;

/// The parts of a reply. Each request takes its own.
type Parts<T> = Rc<RefCell<Vec<Option<Result<T, BackendError>>>>>;

/// A request that waits for its reply.
enum PendingRequest<R: Request> {
    /// From a connection that cannot answer several at once.
    Alone(ReplyFuture<R::Reply>),
    /// As one of a batch. `reply` is set once it was polled.
    Joined { batch: Rc<Batch<R>>, place: usize, reply: Option<SharedReply<R::Reply>> },
}

// ===== impl Request =====

impl Request for Get {
    type Reply = Option<Vec<u8>>;

    fn alone(self, connection: &dyn Connection) -> ReplyFuture<Self::Reply> {
        connection.get(self.0)
    }

    fn together(requests: Vec<Self>, connection: &dyn Connection) -> ReplyFuture<Replies<Self::Reply>> {
        let found = connection.get_together(requests.into_iter().map(|Self(key)| key).collect());
        found.map(|found| Ok(found?.into_iter().map(Ok).collect())).boxed()
    }
}

impl Request for Set {
    type Reply = ();

    fn alone(self, connection: &dyn Connection) -> ReplyFuture<()> {
        let Self(key, value, ttl) = self;
        connection.set(key, value, ttl)
    }

    fn together(requests: Vec<Self>, connection: &dyn Connection) -> ReplyFuture<Replies<()>> {
        connection.set_together(requests.into_iter().map(|Self(key, value, ttl)| (key, value, ttl)).collect())
    }
}

// ===== impl Gather =====

impl<R: Request> Gather<R> {
    /// Sends `request` over `connection`, with the others that are made before one of them is polled.
    pub(super) fn ask(
        &self,
        connection: &LiveConnection,
        request: R,
    ) -> impl Future<Output = Result<R::Reply, BackendError>> + use<R> {
        if !connection.connection.gathers() {
            return PendingRequest::Alone(request.alone(connection.connection.as_ref()));
        }
        let mut open = self.0.borrow_mut();
        let batch = open.upgrade().filter(|batch| batch.admits(connection)).unwrap_or_else(|| {
            let batch = Rc::new(Batch {
                connection: connection.clone(),
                requests: RefCell::default(),
                reply: OnceCell::new(),
            });
            *open = Rc::downgrade(&batch);
            batch
        });
        let place = batch.join(request);
        PendingRequest::Joined { batch, place, reply: None }
    }
}

impl<R: Request> Default for Gather<R> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<R: Request> fmt::Debug for Gather<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather")
    }
}

// ===== impl Batch =====

impl<R: Request> Batch<R> {
    /// Whether a request over `connection` may join: the batch has not been sent, and there is room.
    fn admits(&self, connection: &LiveConnection) -> bool {
        self.reply.get().is_none()
            && self.connection.generation == connection.generation
            && self.requests.borrow().len() < MOST
    }

    /// The place of the request's reply.
    fn join(&self, request: R) -> usize {
        let mut requests = self.requests.borrow_mut();
        requests.push(request);
        requests.len() - 1
    }

    /// The reply to all, for one of its requests. Nothing joins the batch after the first call. A panic is an error of each request.
    fn reply(&self) -> SharedReply<R::Reply> {
        let reply = self.reply.get_or_init(|| {
            let (requests, connection) = (self.requests.take(), self.connection.connection.clone());
            let replies = async move {
                let replies = R::together(requests, connection.as_ref()).await?;
                Ok(Rc::new(RefCell::new(replies.into_iter().map(Some).collect())))
            };
            let caught = AssertUnwindSafe(replies).catch_unwind();
            caught.map(|reply| reply.unwrap_or(Err(BackendError::Protocol))).boxed_local().shared()
        });
        reply.clone()
    }
}

// ===== impl PendingRequest =====

impl<R: Request> Future for PendingRequest<R> {
    type Output = Result<R::Reply, BackendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Alone(reply) => reply.as_mut().poll(cx),
            Self::Joined { batch, place, reply } => {
                let reply = reply.get_or_insert_with(|| batch.reply());
                let replies = ready!(reply.poll_unpin(cx))?;
                // Each request has a reply, or the server has not answered the question.
                let own = replies.borrow_mut().get_mut(*place).and_then(Option::take);
                Poll::Ready(own.unwrap_or(Err(BackendError::Protocol)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
