//! A peer that answers as a test says.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use actix::prelude::*;

type Answer<M> = Box<dyn Fn(&M) -> <M as Message>::Result>;

/// What a peer does with a message.
pub(crate) enum Act<M: Message> {
    Answer(Answer<M>),
    /// Panics while it handles the message.
    Panic,
    /// Keeps the message and never answers.
    Hang,
}

/// An actor that plays one message's part of another, and keeps what it was sent.
pub(crate) struct Peer<M: Message> {
    act: Rc<RefCell<Act<M>>>,
    pub(crate) received: Rc<Cell<usize>>,
    last: Rc<RefCell<Option<M>>>,
}

impl<M: Message> Act<M> {
    pub(crate) fn answer(answer: impl Fn(&M) -> M::Result + 'static) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl<M: Message> Clone for Peer<M> {
    fn clone(&self) -> Self {
        Self { act: self.act.clone(), received: self.received.clone(), last: self.last.clone() }
    }
}

impl<M> Peer<M>
where
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    pub(crate) fn new(act: Act<M>) -> Self {
        Self { act: Rc::new(RefCell::new(act)), received: Rc::default(), last: Rc::default() }
    }

    pub(crate) fn recipient(&self) -> Recipient<M> {
        self.clone().start().recipient()
    }

    pub(crate) fn act(&self, act: Act<M>) {
        self.act.replace(act);
    }

    /// The last message that it was sent.
    pub(crate) fn last(&self) -> Option<M> {
        self.last.take()
    }
}

impl<M: Message + Unpin + 'static> Actor for Peer<M> {
    type Context = Context<Self>;
}

impl<M> Handler<M> for Peer<M>
where
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    type Result = ResponseFuture<M::Result>;

    fn handle(&mut self, msg: M, _: &mut Self::Context) -> Self::Result {
        self.received.set(self.received.get() + 1);
        let answer = match &*self.act.borrow() {
            Act::Answer(answer) => Some(answer(&msg)),
            Act::Panic => panic!("as told"),
            Act::Hang => None,
        };
        self.last.replace(Some(msg));
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}
