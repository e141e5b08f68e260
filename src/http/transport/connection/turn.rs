//! Whose turn it is on a connection: the connection sees bytes, and only the middleware sees requests begin and end.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

use actix_web::body::BodySize;
use tokio::time::Instant;

use super::{
    super::stream::LINGER,
    inbound::{BodyLength, Inbound},
    outbound::Outbound,
};

/// Clones share it.
#[derive(Clone)]
pub(in crate::http) struct Turn(pub(in crate::http) Rc<Shared>);

pub(in crate::http) struct Shared {
    pub(in crate::http) whose: Cell<Whose>,
    /// Wakes the server, which waits for bytes. Its wait may have started without a time limit.
    pub(in crate::http) reader: Cell<Option<Waker>>,
    pub(super) inbound: RefCell<Inbound>,
    pub(super) outbound: RefCell<Outbound>,
    /// The request that has begun last has a body, and its handler has not read it to the end.
    body_is_unread: Cell<bool>,
}

#[derive(Clone, Copy)]
pub(in crate::http) enum Whose {
    /// Nobody's: the last request is done with, and the next one has not begun. The keep-alive time bounds this.
    Nobodys,
    /// The client's, who is sending a head and has to be done by then.
    Clients { deadline: Instant },
    /// Ours: a request is being answered. Whoever reads its body bounds that.
    Ours,
    /// Nobody's, ever again: the client has been told to leave, and does so by then or is made to.
    Over { deadline: Instant },
}

/// Our turn, until it is dropped.
pub(in crate::http) struct OurTurn {
    turn: Turn,
    then: Whose,
}

// ===== impl Turn =====

impl Turn {
    /// The first head has to be complete by `deadline`.
    pub(in crate::http) fn new(deadline: Instant) -> Self {
        Self(Rc::new(Shared {
            whose: Cell::new(Whose::Clients { deadline }),
            reader: Cell::new(None),
            inbound: RefCell::new(Inbound::new()),
            outbound: RefCell::new(Outbound::default()),
            body_is_unread: Cell::new(false),
        }))
    }

    /// A head is complete, and `body` follows it.
    pub(in crate::http) fn begin(&self, body: BodyLength) -> OurTurn {
        self.0.whose.set(Whose::Ours);
        self.0.inbound.borrow_mut().begun(body);
        self.0.body_is_unread.set(body != BodyLength::Bytes(0));
        OurTurn { turn: self.clone(), then: Whose::Nobodys }
    }

    /// The handler has read the body to its end.
    pub(in crate::http) fn body_was_read(&self) {
        self.0.body_is_unread.set(false);
    }

    /// Has the connection look at the bytes that came, and at the clock.
    pub(in crate::http) fn wake_reader(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

// ===== impl OurTurn =====

impl OurTurn {
    /// Some of the body is unread, so no other request can follow on this connection.
    pub(in crate::http) fn leaves_body_unread(&self) -> bool {
        self.turn.0.body_is_unread.get()
    }

    /// The answer's body is this long. Nothing but a head is sent in answer to `HEAD`.
    pub(in crate::http) fn answers(&self, body: BodySize, head_alone: bool) {
        let length = match body {
            _ if head_alone => 0,
            BodySize::None => 0,
            BodySize::Sized(length) => length,
            BodySize::Stream => u64::MAX,
        };
        self.turn.0.outbound.borrow_mut().answers(length);
    }

    /// The answer asks the client to leave. actix takes it at its word: with half of a body still to come, it would wait
    /// for ever.
    pub(in crate::http) fn was_the_last(&mut self) {
        self.then = Whose::Over { deadline: Instant::now() + LINGER };
    }
}

impl Drop for OurTurn {
    fn drop(&mut self) {
        let shared = &self.turn.0;
        shared.whose.set(self.then);
        shared.inbound.borrow_mut().answered();
        let is_over = matches!(self.then, Whose::Over { .. });
        if is_over || shared.inbound.borrow().has_begun() {
            self.turn.wake_reader();
        }
    }
}
