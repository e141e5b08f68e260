//! A client's connection: limits the time of each head, and gives actix's own rejections the shape of the contract.
//!
//! actix limits the time of a connection's first head only: after a response, half a head would be held for ever. Its
//! rejections of a head (malformed, too large) have no body and no id. Both can only be corrected below actix, where
//! the bytes pass.

mod inbound;
mod outbound;
mod state;

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
    time::{Instant, Sleep, sleep, sleep_until},
};

pub(in crate::http) use self::{inbound::BodyLength, state::ConnectionState};
use self::{outbound::Front, state::ConnectionPhase};
use super::{refused_heads::RefusedHeads, stream::Stream};
use crate::{
    http::{
        envelope::{Refusal, to_response},
        metrics::InFlight,
        request_id::{HEADER, RequestId},
    },
    wall_clock,
};

/// Maximum bytes that are read before they are examined. actix would read 128 KiB at once, and all of a body above
/// the limit would be in memory before it is rejected.
const AT_ONCE: usize = 16 * 1024;

/// Maximum bytes that are read of a rejected request. actix would read for as long as the client sends chunks.
const DISCARDED: usize = 64 * 1024;

/// Maximum time in which a client takes no byte of a response. Without a limit, clients that never read would hold the memory of
/// their responses for ever.
const WRITE_STALL: Duration = Duration::from_secs(30);

/// A connection between actix and the socket.
pub(in crate::http) struct ClientConnection {
    /// `Some` until it is dropped.
    io: Option<Stream>,
    state: ConnectionState,
    head_timeout: Duration,
    refused_heads: Arc<RefusedHeads>,
    /// May fire earlier than the current deadline, because moving it for each request would cost more.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Fires when a response has stalled for too long.
    write_alarm: Option<Pin<Box<Sleep>>>,
    /// Later bytes are held back, and actix has not examined the ones before them yet.
    has_cut: bool,
    /// Bytes that were read since they were last examined.
    unseen: usize,
    /// The last write was incomplete, so bytes of a response are still waiting.
    write_pending: bool,
    /// Bytes that were read since the phase became `Closing`.
    discarded: usize,
    /// The rest of the rejection that ends this connection.
    refusal: Option<Vec<u8>>,
    /// The client has closed its side.
    eof: bool,
    /// Counts it as open.
    _open: InFlight,
}

// ===== impl ClientConnection =====

impl ClientConnection {
    /// A connection that was accepted at `accepted`. Its first head must arrive within `head_timeout` of that, each later
    /// one within `head_timeout` of its first byte.
    pub(in crate::http) fn new(
        io: Stream,
        accepted: Instant,
        head_timeout: Duration,
        refused_heads: Arc<RefusedHeads>,
        open: InFlight,
    ) -> Self {
        Self {
            io: Some(io),
            state: ConnectionState::new(accepted + head_timeout),
            head_timeout,
            refused_heads,
            alarm: None,
            write_alarm: None,
            has_cut: false,
            unseen: 0,
            write_pending: false,
            discarded: 0,
            refusal: None,
            eof: false,
            _open: open,
        }
    }

    /// The state that the middleware updates when requests begin and end.
    pub(in crate::http) fn state(&self) -> ConnectionState {
        self.state.clone()
    }

    fn io(&mut self) -> io::Result<Pin<&mut Stream>> {
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads at most as many bytes as may be read before they are examined.
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

    /// Reads bytes before the next request. While a request that has arrived as a whole is being answered, later bytes are
    /// read and held back, up to a limit.
    fn poll_next_request(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let state = self.state.clone();
        let is_answering = || {
            matches!(state.0.phase.get(), ConnectionPhase::Answering) && state.0.inbound.borrow().is_whole()
        };
        let before = buf.filled().len();
        while is_answering() && state.0.inbound.borrow().held() < AT_ONCE {
            ready!(self.poll_read_some(cx, buf))?;
            let new = buf.filled().get(before..).unwrap_or_default();
            let mut inbound = state.0.inbound.borrow_mut();
            if new.is_empty() {
                // The end, which comes after the requests that are held back.
                return if inbound.held() == 0 { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            inbound.hold(new);
            buf.set_filled(before);
        }
        if is_answering() {
            return Poll::Pending;
        }
        if matches!(state.0.phase.get(), ConnectionPhase::Closing { .. }) {
            return self.poll_read_some(cx, buf);
        }
        // No room would look like the end of the client's bytes.
        if state.0.inbound.borrow().held() > 0 && buf.remaining() > 0 {
            let mut inbound = state.0.inbound.borrow_mut();
            buf.put_slice(&inbound.release(buf.remaining().min(AT_ONCE - self.unseen)));
            self.has_cut = inbound.held() > 0;
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_read_some(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        let mut inbound = state.0.inbound.borrow_mut();
        let count = inbound.before_next(new);
        if count < new.len() {
            inbound.hold(new.get(count..).unwrap_or_default());
            buf.set_filled(before + count);
            self.has_cut = inbound.held() > 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Makes `outcome` an error once the client has taken no byte for [`WRITE_STALL`].
    fn limit_stall<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_alarm = None;
            return outcome;
        }
        let alarm = self.write_alarm.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready once the client has exceeded its time.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (ConnectionPhase::ReadingHead { deadline } | ConnectionPhase::Closing { deadline }) =
            self.state.0.phase.get()
        else {
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

    /// Writes `refusal`, or the rest of it: the last bytes of this connection.
    fn poll_reject(&mut self, cx: &mut Context<'_>, refusal: &Refusal) -> Poll<io::Result<()>> {
        let mut rest = match self.refusal.take() {
            Some(rest) => rest,
            None => {
                let id = RequestId::random();
                self.refused_heads.add(&id, refusal);
                to_bytes(refusal, &id)
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

    /// Starts the time limit of a head that has begun while no other request is in flight.
    fn start_head_timer(&mut self) {
        if matches!(self.state.0.phase.get(), ConnectionPhase::Idle)
            && !self.write_pending
            && self.state.0.inbound.borrow().has_begun()
        {
            self.state
                .0
                .phase
                .set(ConnectionPhase::ReadingHead { deadline: Instant::now() + self.head_timeout });
        }
    }
}

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // With a client that sends without a pause, the read never waits, and only a waiting read checks the time.
        if let ConnectionPhase::Closing { deadline } = self.state.0.phase.get()
            && (self.discarded >= DISCARDED || Instant::now() >= deadline)
        {
            return Poll::Ready(Ok(()));
        }
        // actix reads until nothing is left, and only then examines the bytes.
        if self.unseen >= AT_ONCE {
            self.unseen = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // It gets a part of a request's bytes first, to see where the request ends.
        if std::mem::take(&mut self.has_cut) {
            self.unseen = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = self.poll_next_request(cx, buf) else {
            self.unseen = 0;
            self.state.0.reader.set(Some(cx.waker().clone()));
            self.start_head_timer();
            ready!(self.poll_timeout(cx));
            // A rejection is too late in the middle of another response, or after the last one.
            let may_reject = matches!(self.state.0.phase.get(), ConnectionPhase::ReadingHead { .. })
                && !self.write_pending
                && self.refusal.is_none();
            if may_reject {
                // Bytes that cannot be written at once are not waited for, because that would need another time
                // limit.
                _ = self.poll_reject(cx, &Refusal::TooSlow)?;
            }
            // For actix, this is the end of the client's bytes.
            return Poll::Ready(Ok(()));
        };
        let new = buf.filled().get(before..).unwrap_or_default();
        self.unseen += new.len();
        self.eof |= new.is_empty();
        match self.state.0.phase.get() {
            ConnectionPhase::Closing { .. } => self.discarded += new.len(),
            ConnectionPhase::Idle | ConnectionPhase::ReadingHead { .. } | ConnectionPhase::Answering => {
                self.state.0.inbound.borrow_mut().arrived(new);
            }
        }
        // An empty line counts too: actix would hold any number of them.
        if !new.is_empty() && matches!(self.state.0.phase.get(), ConnectionPhase::Idle) {
            self.state
                .0
                .phase
                .set(ConnectionPhase::ReadingHead { deadline: Instant::now() + self.head_timeout });
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let front = self.state.0.outbound.borrow_mut().front(buf);
        let part = match front {
            Front::Answers(count) => buf.get(..count).unwrap_or(buf),
            Front::Interim(count) => return Poll::Ready(Ok(count)),
            Front::Server => match (self.state.0.phase.get(), actix_rejection(buf)) {
                // The handler has already rejected this request.
                (ConnectionPhase::Closing { .. }, _) => return Poll::Ready(Ok(buf.len())),
                (_, Some(refusal)) => return self.poll_reject(cx, &refusal).map_ok(|()| buf.len()),
                (_, None) => buf,
            },
        };
        let written = self.io()?.poll_write(cx, part);
        if let Poll::Ready(Ok(count)) = written {
            self.state.0.outbound.borrow_mut().written(count);
            // The time limit of half a head behind the response starts now.
            if self.write_pending {
                self.state.wake_reader();
            }
        }
        self.write_pending = written.is_pending();
        self.limit_stall(cx, written)
    }

    /// In TLS, the last bytes of a response may still be waiting here.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.io()?.poll_flush(cx);
        self.limit_stall(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut_down = self.io()?.poll_shutdown(cx);
        self.limit_stall(cx, shut_down)
    }
}

impl Drop for ClientConnection {
    /// Bytes may be left unread, and a reset because of them would lose the last response.
    fn drop(&mut self) {
        let may_be_sending = !self.eof
            && (self.refusal.is_some()
                || matches!(self.state.0.phase.get(), ConnectionPhase::Closing { .. }));
        if let Some(io) = self.io.take().filter(|_| may_be_sending) {
            io.linger();
        }
    }
}

/// actix's own rejection, by the first line of its response.
fn actix_rejection(answer: &[u8]) -> Option<Refusal> {
    match answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?.get(..3)? {
        b"400" => Some(Refusal::BadHead),
        b"408" => Some(Refusal::TooSlow),
        b"431" => Some(Refusal::HeadTooLarge),
        _ => None,
    }
}

/// The bytes of a rejection.
fn to_bytes(refusal: &Refusal, id: &RequestId) -> Vec<u8> {
    let mut response = to_response(refusal);
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
