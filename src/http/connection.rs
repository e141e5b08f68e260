//! A client's connection: waits for a request's head so long and no longer, and gives the server's own refusals the
//! contract's shape.
//!
//! actix bounds the time of a connection's first head only: once a request has been answered, half a head would be held
//! for ever. And what it refuses before there is a request (a malformed head, one too large) has no body and no id. Both
//! can be put right only from below, where the bytes pass.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, SystemTime},
};

use actix_web::{body::MessageBody, http::header::HttpDate};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    envelope::{Refusal, refuse},
    request_id::{HEADER, RequestId},
    stream::{LINGER, Stream},
};
use crate::wall_clock;

/// What is read before the bytes are looked at. The server would take 128 KiB at once, and a body that is over the limit
/// by as much would all be in memory before it is refused.
const AT_ONCE: usize = 16 * 1024;

/// What is read of a request that has been refused. The server would read on for as long as the client sends chunks.
const PAST_THE_END: usize = 64 * 1024;

/// A connection, as the server sees it.
pub(super) struct Connection {
    /// There until it is dropped.
    io: Option<Stream>,
    turn: Turn,
    patience: Duration,
    /// May be due earlier than the turn that it watches over, since moving it for each request would cost more.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Read since the bytes were last looked at.
    unseen: usize,
    /// The last write did not go through, so bytes of an answer are still to come.
    owing: bool,
    /// Read since it was over.
    past_the_end: usize,
    /// Bytes may be left unread, and the last answer must not be lost for that.
    refused: bool,
}

/// Whose turn it is. Clones share it: the connection sees bytes, and only the middleware sees requests begin and end.
#[derive(Clone)]
pub(super) struct Turn(Rc<Shared>);

struct Shared {
    whose: Cell<Whose>,
    /// Who waits for bytes while it is our turn, when nothing bounds that in time.
    reader: Cell<Option<Waker>>,
}

#[derive(Clone, Copy)]
enum Whose {
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
pub(super) struct OurTurn {
    turn: Turn,
    then: Whose,
}

// ===== impl Turn =====

impl Turn {
    /// A head is complete.
    pub(super) fn begin(&self) -> OurTurn {
        self.0.whose.set(Whose::Ours);
        OurTurn { turn: self.clone(), then: Whose::Nobodys }
    }
}

// ===== impl OurTurn =====

impl OurTurn {
    /// The answer asks the client to leave. actix takes it at its word: with half of a body still to come, it would wait
    /// for ever.
    pub(super) fn was_the_last(&mut self) {
        self.then = Whose::Over { deadline: Instant::now() + LINGER };
    }
}

impl Drop for OurTurn {
    fn drop(&mut self) {
        self.turn.0.whose.set(self.then);
        // Whoever waits for bytes began to when nothing bounded that, and does not know that now something does.
        if let Whose::Over { .. } = self.then
            && let Some(reader) = self.turn.0.reader.take()
        {
            reader.wake();
        }
    }
}

// ===== impl Connection =====

impl Connection {
    /// A connection that was accepted at `accepted`: its first head has `patience` to arrive, each later one from its first
    /// byte.
    pub(super) fn new(io: Stream, accepted: Instant, patience: Duration) -> Self {
        let turn = Turn(Rc::new(Shared {
            whose: Cell::new(Whose::Clients { deadline: accepted + patience }),
            reader: Cell::new(None),
        }));
        Self {
            io: Some(io),
            turn,
            patience,
            alarm: None,
            unseen: 0,
            owing: false,
            past_the_end: 0,
            refused: false,
        }
    }

    /// To be told when requests begin and end.
    pub(super) fn turn(&self) -> Turn {
        self.turn.clone()
    }

    fn io(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads no more than may be read before the bytes are looked at.
    fn poll_read_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = AT_ONCE - self.unseen;
        if buf.remaining() <= most {
            return self.io()?.poll_read(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = self.io()?.poll_read(cx, &mut part);
        let count = part.filled().len();
        buf.advance(count);
        read
    }

    /// Ready once the client has taken too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Whose::Clients { deadline } | Whose::Over { deadline }) = self.turn.0.whose.get() else {
            return Poll::Pending;
        };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }

    /// Writes `refusal`, the last thing on this connection. It fits a socket's buffer that nothing is waiting in.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, refusal: &Refusal) -> Poll<io::Result<()>> {
        let written = self.io()?.poll_write(cx, &written_out(refusal));
        self.refused = true;
        written.map_ok(drop)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A client that sends without a pause never makes us wait, which is when patience is looked at.
        if let Whose::Over { deadline } = self.turn.0.whose.get()
            && (self.past_the_end >= PAST_THE_END || Instant::now() >= deadline)
        {
            self.refused = true;
            return Poll::Ready(Ok(()));
        }
        // The server reads on until there is nothing to read, and only then looks.
        if self.unseen >= AT_ONCE {
            self.unseen = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = self.poll_read_some(cx, buf) else {
            self.unseen = 0;
            if matches!(self.turn.0.whose.get(), Whose::Ours) {
                self.turn.0.reader.set(Some(cx.waker().clone()));
            }
            ready!(self.poll_patience(cx));
            // Too late to say so in the middle of another answer, or after the last one.
            let may_speak =
                matches!(self.turn.0.whose.get(), Whose::Clients { .. }) && !self.owing && !self.refused;
            if may_speak {
                _ = self.poll_refuse(cx, &Refusal::TooSlow)?;
            }
            // To the server, this is the end of what the client had to say.
            return Poll::Ready(Ok(()));
        };
        let count = buf.filled().len() - before;
        self.unseen += count;
        if matches!(self.turn.0.whose.get(), Whose::Over { .. }) {
            self.past_the_end += count;
        }
        if count > 0 && matches!(self.turn.0.whose.get(), Whose::Nobodys) {
            self.turn.0.whose.set(Whose::Clients { deadline: Instant::now() + self.patience });
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // While it is the client's turn, nobody but the server itself has anything to say.
        if !self.owing
            && matches!(self.turn.0.whose.get(), Whose::Clients { .. })
            && let Some(refusal) = bare_refusal(buf)
        {
            return self.poll_refuse(cx, &refusal).map_ok(|()| buf.len());
        }
        let written = self.io()?.poll_write(cx, buf);
        self.owing = written.is_pending();
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io()?.poll_shutdown(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(io) = self.io.take().filter(|_| self.refused) {
            io.linger();
        }
    }
}

/// What the server itself refuses, by the first line of its answer.
fn bare_refusal(answer: &[u8]) -> Option<Refusal> {
    match answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?.get(..3)? {
        b"400" => Some(Refusal::BadHead),
        b"408" => Some(Refusal::TooSlow),
        b"431" => Some(Refusal::HeadTooLarge),
        _ => None,
    }
}

/// A refusal as it goes over the wire.
fn written_out(refusal: &Refusal) -> Vec<u8> {
    let mut response = refuse(refusal);
    response.headers_mut().insert(HEADER, RequestId::random().to_header());
    let status = response.status();
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ndate: {}\r\n",
        HttpDate::from(SystemTime::from(wall_clock::now()))
    );
    for (name, value) in response.headers() {
        bytes += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
    }
    let body = response.into_body().try_into_bytes().unwrap_or_default();
    bytes += &format!("content-length: {}\r\n\r\n", body.len());
    [bytes.as_bytes(), &body].concat()
}

#[cfg(test)]
mod tests;
