//! Watches the bytes of one connection: whether an answer is owed and how long nothing came, and that no reply is huge.
//!
//! Whether a connection is alive is judged by whether anything at all comes back on it. Single timeouts do not tell:
//! slow is not dead, and silent is.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The most bytes that may arrive before a reply is complete. 10,000 clients with 6 KiB of interests each stay below it.
const REPLY_LIMIT: u64 = 64 << 20;

/// What is known of a connection from its bytes alone. Shared between the socket and whoever judges it.
#[derive(Debug)]
pub(super) struct Pulse {
    start: Instant,
    /// When the first byte went out that nothing has come back for, in milliseconds after `start`, plus one; 0 = none.
    owed_since: AtomicU64,
    /// Bytes that arrived since a reply was last complete.
    unfinished: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), owed_since: AtomicU64::new(0), unfinished: AtomicU64::new(0) })
    }

    /// For how long an answer has been owed without a single byte coming back.
    pub(super) fn silent_for(&self) -> Duration {
        match self.owed_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.start.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    /// A reply has been read to its end.
    pub(super) fn reply_completed(&self) {
        self.unfinished.store(0, Relaxed);
    }

    fn sent(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        // Only the first of several writes counts; that one has been waiting the longest.
        let _ = self.owed_since.compare_exchange(0, now, Relaxed, Relaxed);
    }

    fn received(&self, bytes: u64) -> io::Result<()> {
        self.owed_since.store(0, Relaxed);
        if self.unfinished.fetch_add(bytes, Relaxed).saturating_add(bytes) > REPLY_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}

/// A stream that keeps a [`Pulse`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    pulse: Arc<Pulse>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            this.pulse.received(read as u64)?;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(cx, bytes);
        // A full send buffer counts as well: then, too, it is the other end's turn.
        this.pulse.sent();
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::advance,
    };

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_counts_from_the_first_unanswered_write_until_anything_comes_back() {
        let (near, mut far) = duplex(64);
        let pulse = Pulse::new();
        let mut near = Watched::new(near, pulse.clone());

        advance(SECOND).await;
        assert_eq!(pulse.silent_for(), Duration::ZERO, "nothing is owed yet");

        near.write_all(b"PING").await.unwrap();
        advance(SECOND).await;
        near.write_all(b"PING").await.unwrap();
        advance(SECOND).await;
        assert_eq!(pulse.silent_for(), 2 * SECOND);

        far.write_all(b"+").await.unwrap();
        near.read_u8().await.unwrap();
        assert_eq!(pulse.silent_for(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_reply_without_an_end_breaks_the_connection() {
        let (near, mut far) = duplex(1 << 20);
        let mut near = Watched::new(near, Pulse::new());
        let filler = tokio::spawn(async move { while far.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });

        let mut read = 0u64;
        let error = loop {
            match near.read(&mut [0; 1 << 16]).await {
                Ok(bytes) => read += bytes as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read <= REPLY_LIMIT);
        drop(near);
        filler.await.unwrap();
    }

    #[tokio::test]
    async fn any_number_of_complete_replies_may_arrive() {
        let (near, mut far) = duplex(1 << 20);
        let pulse = Pulse::new();
        let mut near = Watched::new(near, pulse.clone());
        tokio::spawn(async move { while far.write_all(&[b'x'; 1 << 16]).await.is_ok() {} });
        let mut read = 0;
        while read < 2 * REPLY_LIMIT {
            read += near.read(&mut [0; 1 << 16]).await.unwrap() as u64;
            pulse.reply_completed();
        }
    }
}
