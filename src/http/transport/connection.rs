//! A client's connection: waits for a request's head so long and no longer, and gives the server's own refusals the
//! contract's shape.
//!
//! actix bounds the time of a connection's first head only: once a request has been answered, half a head would be held
//! for ever. And what it refuses before there is a request (a malformed head, one too large) has no body and no id. Both
//! can be put right only from below, where the bytes pass.

mod inbound;
mod outbound;
mod turn;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use actix_web::{body::MessageBody, http::header::HttpDate};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

pub(in crate::http) use self::{inbound::BodyLength, turn::Turn};
use self::{outbound::Front, turn::Whose};
use super::{refused_heads::RefusedHeads, stream::Stream};
use crate::{
    http::{
        envelope::{Refusal, refuse},
        request_id::{HEADER, RequestId},
    },
    wall_clock,
};

/// What is read before the bytes are looked at. The server would take 128 KiB at once, and a body that is over the limit
/// by as much would all be in memory before it is refused.
const AT_ONCE: usize = 16 * 1024;

/// What is read of a request that has been refused. The server would read on for as long as the client sends chunks.
const PAST_THE_END: usize = 64 * 1024;

/// A connection, as the server sees it.
pub(in crate::http) struct Connection {
    /// There until it is dropped.
    io: Option<Stream>,
    turn: Turn,
    patience: Duration,
    refused_heads: Arc<RefusedHeads>,
    /// May be due earlier than the turn that it watches over, since moving it for each request would cost more.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Read since the bytes were last looked at.
    unseen: usize,
    /// The last write did not go through, so bytes of an answer are still to come.
    owing: bool,
    /// Read since it was over.
    past_the_end: usize,
    /// The rest of the refusal that ends this connection.
    refusal: Option<Vec<u8>>,
    /// The client has nothing more to say.
    ended: bool,
}

// ===== impl Connection =====

impl Connection {
    /// A connection that was accepted at `accepted`: its first head has `patience` to arrive, each later one from its first
    /// byte.
    pub(in crate::http) fn new(
        io: Stream,
        accepted: Instant,
        patience: Duration,
        refused_heads: Arc<RefusedHeads>,
    ) -> Self {
        Self {
            io: Some(io),
            turn: Turn::new(accepted + patience),
            patience,
            refused_heads,
            alarm: None,
            unseen: 0,
            owing: false,
            past_the_end: 0,
            refusal: None,
            ended: false,
        }
    }

    /// To be told when requests begin and end.
    pub(in crate::http) fn turn(&self) -> Turn {
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

    /// Writes `refusal`, or the rest of the one that was begun: the last thing on this connection.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, refusal: &Refusal) -> Poll<io::Result<()>> {
        let mut rest = match self.refusal.take() {
            Some(rest) => rest,
            None => {
                let id = RequestId::random();
                self.refused_heads.add(&id, refusal.status().as_u16());
                written_out(refusal, &id)
            }
        };
        while !rest.is_empty() {
            match self.io()?.poll_write(cx, &rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => drop(rest.drain(..count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.refusal = Some(rest);
                    return Poll::Pending;
                }
            }
        }
        self.refusal = Some(rest);
        Poll::Ready(Ok(()))
    }

    /// A head that has begun while no other request is under way has a time limit from now on.
    fn bound_head(&mut self) {
        if matches!(self.turn.0.whose.get(), Whose::Nobodys)
            && !self.owing
            && self.turn.0.inbound.borrow().has_begun()
        {
            self.turn.0.whose.set(Whose::Clients { deadline: Instant::now() + self.patience });
        }
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
            self.turn.0.reader.set(Some(cx.waker().clone()));
            self.bound_head();
            ready!(self.poll_patience(cx));
            // Too late to say so in the middle of another answer, or after the last one.
            let may_speak = matches!(self.turn.0.whose.get(), Whose::Clients { .. })
                && !self.owing
                && self.refusal.is_none();
            if may_speak {
                // What does not go through at once is not waited for: that would need a time limit of its own.
                _ = self.poll_refuse(cx, &Refusal::TooSlow)?;
            }
            // To the server, this is the end of what the client had to say.
            return Poll::Ready(Ok(()));
        };
        let new = buf.filled().get(before..).unwrap_or_default();
        self.unseen += new.len();
        self.ended |= new.is_empty();
        match self.turn.0.whose.get() {
            Whose::Over { .. } => self.past_the_end += new.len(),
            Whose::Nobodys | Whose::Clients { .. } | Whose::Ours => {
                self.turn.0.inbound.borrow_mut().arrived(new);
            }
        }
        // Also by an empty line: the server holds it, and would hold any number of them.
        if !new.is_empty() && matches!(self.turn.0.whose.get(), Whose::Nobodys) {
            self.turn.0.whose.set(Whose::Clients { deadline: Instant::now() + self.patience });
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let front = self.turn.0.outbound.borrow_mut().front(buf);
        let part = match front {
            Front::Answers(count) => buf.get(..count).unwrap_or(buf),
            Front::Interim(count) => return Poll::Ready(Ok(count)),
            Front::Server => match (self.turn.0.whose.get(), bare_refusal(buf)) {
                // The handler has refused this request already.
                (Whose::Over { .. }, _) => return Poll::Ready(Ok(buf.len())),
                (_, Some(refusal)) => return self.poll_refuse(cx, &refusal).map_ok(|()| buf.len()),
                (_, None) => buf,
            },
        };
        let written = self.io()?.poll_write(cx, part);
        if let Poll::Ready(Ok(count)) = written {
            self.turn.0.outbound.borrow_mut().written(count);
            // The time for half a head behind the answer begins now.
            if self.owing {
                self.turn.wake_reader();
            }
        }
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
    /// Bytes may be left unread, and the last answer must not be lost for that.
    fn drop(&mut self) {
        let may_be_sending =
            !self.ended && (self.refusal.is_some() || matches!(self.turn.0.whose.get(), Whose::Over { .. }));
        if let Some(io) = self.io.take().filter(|_| may_be_sending) {
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
fn written_out(refusal: &Refusal, id: &RequestId) -> Vec<u8> {
    let mut response = refuse(refusal);
    response.headers_mut().insert(HEADER, id.to_header());
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
