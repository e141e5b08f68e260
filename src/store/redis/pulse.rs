//! Watches the bytes of one connection: whether replies are owed and how long no byte came, and that no reply is huge.
//!
//! A connection is alive if bytes come back on it. Single timeouts do not tell: slow is not dead, and silent is. Both
//! directions are counted in whole values, so a reply that has begun goes on being owed until its last byte.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{
    frames::{Malformed, Scanner},
    inbound::Inbound,
};

/// Bytes that are read from the socket at once.
const READ_SIZE: usize = 64 << 10;

/// The state of a connection as its bytes show it. Shared between the socket and the link that judges it.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// Since when replies have been owed without a byte of them, in milliseconds after `start`, plus one; 0 = none is owed.
    waiting_since: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), waiting_since: AtomicU64::new(0) })
    }

    /// For how long a reply, or the rest of one, has been owed without a single byte of it.
    pub(super) fn silent_for(&self) -> Duration {
        match self.waiting_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// A command was sent. If others wait for their replies, they have waited longer.
    fn sent(&self) {
        let _ = self.waiting_since.compare_exchange(0, self.now(), Relaxed, Relaxed);
    }

    fn received(&self) {
        self.waiting_since.store(self.now(), Relaxed);
    }

    fn owes_nothing(&self) {
        self.waiting_since.store(0, Relaxed);
    }
}

/// A stream that keeps a [`Pulse`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
    commands: Scanner,
    replies: Inbound,
    /// Bytes that were read from the socket and not looked at yet: those in `unread`.
    buffer: Box<[u8]>,
    unread: std::ops::Range<usize>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self {
            stream,
            pulse,
            commands: Scanner::default(),
            replies: Inbound::default(),
            buffer: vec![0; READ_SIZE].into(),
            unread: 0..0,
        }
    }

    /// Moves bytes on to the client as far as there is room, and tells the pulse whether replies are still owed.
    fn pass(&mut self, to: &mut ReadBuf<'_>) -> io::Result<()> {
        let bytes = self.buffer.get(self.unread.clone()).unwrap_or_default();
        let (used, outcome) = self.replies.pass(bytes, self.commands.begun(), to);
        self.unread.start += used;
        if self.replies.complete() >= self.commands.begun() {
            self.pulse.owes_nothing();
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        loop {
            let passed = this.pass(buf);
            // An error comes back at the next call: the replies before it are good.
            if buf.filled().len() > before || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            passed?;
            let mut fresh = ReadBuf::new(&mut this.buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut fresh))?;
            this.unread = 0..fresh.filled().len();
            if this.unread.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.pulse.received();
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        // A command counts from its first byte: when the send buffer is full, it is the other end's turn, too.
        this.commands.take(bytes.get(..written).unwrap_or_default())?;
        if this.commands.begun() > this.replies.complete() {
            this.pulse.sent();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl From<Malformed> for io::Error {
    fn from(_: Malformed) -> Self {
        io::ErrorKind::InvalidData.into()
    }
}

#[cfg(test)]
mod tests;
