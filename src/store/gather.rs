//! Look-ups that are sent together: one question to the store for all that an actor takes out of its mailbox in one turn.
//!
//! A look-up joins the open batch when it is made. The batch is sent when the first of its look-ups is polled, which is after
//! the actor's turn, because the askers run after it. So no look-up waits for others to come.
//!
//! Each look-up keeps its own deadline. A batch is dropped when none of its askers is left.

use std::{
    cell::{OnceCell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};

use super::{BackendError, ReplyFuture, link::LiveConnection};

/// Maximum look-ups in a batch. It bounds the time that one question takes the store.
const MOST: usize = 64;

/// Gathers the look-ups of one link.
#[derive(Default)]
pub(super) struct Gather(RefCell<Option<Rc<Batch>>>);

/// Look-ups over one connection.
struct Batch {
    connection: LiveConnection,
    /// Taken when the batch is sent.
    keys: RefCell<Vec<String>>,
    /// Set when it was sent.
    reply: OnceCell<SharedReply>,
}

/// The reply to a batch, for each of its look-ups.
type SharedReply = Shared<LocalBoxFuture<'static, Result<Values, BackendError>>>;

/// The values of a batch. Each look-up takes its own.
type Values = Rc<RefCell<Vec<Option<Vec<u8>>>>>;

/// One look-up's reply.
enum LookUp {
    /// From a connection that cannot answer several look-ups at once.
    Alone(ReplyFuture<Option<Vec<u8>>>),
    /// As one of a batch. `reply` is set once it was polled.
    Joined { batch: Rc<Batch>, place: usize, reply: Option<SharedReply> },
}

// ===== impl Gather =====

impl Gather {
    /// Looks `key` up over `connection`, with all that are made before one of them is polled.
    pub(super) fn get(
        &self,
        connection: &LiveConnection,
        key: String,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BackendError>> + use<> {
        self.look_up(connection, key)
    }

    fn look_up(&self, connection: &LiveConnection, key: String) -> LookUp {
        if !connection.connection.gathers() {
            return LookUp::Alone(connection.connection.get(key));
        }
        let mut open = self.0.borrow_mut();
        let batch = match open.take().filter(|batch| batch.admits(connection)) {
            Some(batch) => batch,
            None => Rc::new(Batch {
                connection: connection.clone(),
                keys: RefCell::default(),
                reply: OnceCell::new(),
            }),
        };
        let place = batch.join(key);
        *open = Some(batch.clone());
        LookUp::Joined { batch, place, reply: None }
    }
}

impl fmt::Debug for Gather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gather")
    }
}

// ===== impl Batch =====

impl Batch {
    /// Whether a look-up over `connection` may join: the batch has not been sent, and there is room.
    fn admits(&self, connection: &LiveConnection) -> bool {
        self.reply.get().is_none()
            && self.connection.generation == connection.generation
            && self.keys.borrow().len() < MOST
    }

    /// The place of the key's value in the answer.
    fn join(&self, key: String) -> usize {
        let mut keys = self.keys.borrow_mut();
        keys.push(key);
        keys.len() - 1
    }

    /// The reply to all, for one of its look-ups. Sends the batch at the first call.
    fn reply(&self) -> SharedReply {
        let sent = self.reply.get_or_init(|| {
            let values = self.connection.connection.get_together(self.keys.take());
            let values: LocalBoxFuture<'static, _> =
                Box::pin(async { Ok(Rc::new(RefCell::new(values.await?))) });
            values.shared()
        });
        sent.clone()
    }
}

// ===== impl LookUp =====

impl Future for LookUp {
    type Output = Result<Option<Vec<u8>>, BackendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Alone(reply) => reply.as_mut().poll(cx),
            Self::Joined { batch, place, reply } => {
                let reply = reply.get_or_insert_with(|| batch.reply());
                let values = ready!(reply.poll_unpin(cx))?;
                // Each key has a value, or the server has not answered the question.
                let value = values.borrow_mut().get_mut(*place).map(Option::take);
                Poll::Ready(value.ok_or(BackendError::Protocol))
            }
        }
    }
}

#[cfg(test)]
mod tests;
