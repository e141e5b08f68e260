//! The state of a connection, updated from two sides: the connection sees bytes, and only the middleware sees
//! requests begin and end.

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
pub(in crate::http) struct ConnectionState(pub(in crate::http) Rc<Shared>);

pub(in crate::http) struct Shared {
    pub(in crate::http) phase: Cell<ConnectionPhase>,
    /// Wakes actix, which waits for bytes. Its wait may have started without a time limit.
    pub(in crate::http) reader: Cell<Option<Waker>>,
    pub(super) inbound: RefCell<Inbound>,
    pub(super) outbound: RefCell<Outbound>,
    /// The last request that has begun has a body, and its handler has not read it to the end.
    body_is_unread: Cell<bool>,
}

#[derive(Clone, Copy)]
pub(in crate::http) enum ConnectionPhase {
    /// No request is in flight, and the next one has not begun. The keep-alive time limits this phase.
    Idle,
    /// The client is sending a head, which must be complete by `deadline`.
    ReadingHead { deadline: Instant },
    /// A request is being answered. The handler limits the time of its body.
    Answering,
    /// The client was asked to disconnect, and must do so by `deadline`.
    Closing { deadline: Instant },
}

/// A request that is being answered, until it is dropped.
pub(in crate::http) struct Exchange {
    state: ConnectionState,
    then: ConnectionPhase,
}

// ===== impl ConnectionState =====

impl ConnectionState {
    /// The first head must be complete by `deadline`.
    pub(in crate::http) fn new(deadline: Instant) -> Self {
        Self(Rc::new(Shared {
            phase: Cell::new(ConnectionPhase::ReadingHead { deadline }),
            reader: Cell::new(None),
            inbound: RefCell::new(Inbound::new()),
            outbound: RefCell::new(Outbound::default()),
            body_is_unread: Cell::new(false),
        }))
    }

    /// A head is complete, and a body of the length `body` follows it.
    pub(in crate::http) fn begin(&self, body: BodyLength) -> Exchange {
        self.0.phase.set(ConnectionPhase::Answering);
        self.0.inbound.borrow_mut().begun(body);
        self.0.body_is_unread.set(body != BodyLength::Bytes(0));
        Exchange { state: self.clone(), then: ConnectionPhase::Idle }
    }

    /// The handler has read the body to its end.
    pub(in crate::http) fn body_was_read(&self) {
        self.0.body_is_unread.set(false);
    }

    /// Makes the connection examine the received bytes and the time.
    pub(in crate::http) fn wake_reader(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

// ===== impl Exchange =====

impl Exchange {
    /// Part of the body is unread, so no other request can follow on this connection.
    pub(in crate::http) fn leaves_body_unread(&self) -> bool {
        self.state.0.body_is_unread.get()
    }

    /// The response has a body of this length. The response to `HEAD` is only a head.
    pub(in crate::http) fn respond_with(&self, body: BodySize, head_only: bool) {
        let length = match body {
            _ if head_only => 0,
            BodySize::None => 0,
            BodySize::Sized(length) => length,
            BodySize::Stream => u64::MAX,
        };
        self.state.0.outbound.borrow_mut().respond_with(length);
    }

    /// The response asks the client to disconnect. actix then waits for the end of an incomplete body for ever.
    pub(in crate::http) fn close_after(&mut self) {
        self.then = ConnectionPhase::Closing { deadline: Instant::now() + LINGER };
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let shared = &self.state.0;
        shared.phase.set(self.then);
        shared.inbound.borrow_mut().answered();
        let is_over = matches!(self.then, ConnectionPhase::Closing { .. });
        let inbound = shared.inbound.borrow();
        if is_over || inbound.has_begun() || inbound.held() > 0 {
            self.state.wake_reader();
        }
    }
}
