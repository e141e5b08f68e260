//! The bytes of a connection, in the clear or inside TLS, and how it is left.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use actix_web::rt::{net::TcpStream, spawn};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

/// How long a client that was told to leave may go on sending, so that it comes to read why.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// How much it may send in that time, in bytes.
const LINGER_BYTES: u64 = 512 * 1024;

/// Connections of the process that may be in that state. The limit on connections does not count them any more; what is
/// above this one is closed at once.
pub(super) const LINGERING: usize = 64;

static LINGERERS: Semaphore = Semaphore::const_new(LINGERING);

/// A client's bytes.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// ===== impl Stream =====

impl Stream {
    /// Says that nothing more will be said, and takes for a while what the client still says. To close on bytes that were
    /// not read is to reset the connection, and the last answer may be lost with it.
    pub(super) fn linger(mut self) {
        let Ok(place) = LINGERERS.try_acquire() else { return };
        let leaving = async move {
            self.shutdown().await?;
            let mut io = match self {
                Self::Plain(io) => io,
                // What is thrown away need not be decrypted.
                Self::Tls(io) => io.into_inner().0,
            }
            .take(LINGER_BYTES);
            let mut unread = [0; 4096];
            while io.read(&mut unread).await? > 0 {}
            io::Result::Ok(())
        };
        spawn(async move {
            _ = timeout(LINGER, leaving).await;
            drop(place);
        });
    }
}

/// As each of them is a stream by itself.
macro_rules! delegate {
    ($self:ident.$poll:ident($($argument:ident),+)) => {
        match $self.get_mut() {
            Self::Plain(io) => Pin::new(io).$poll($($argument),+),
            Self::Tls(io) => Pin::new(io).$poll($($argument),+),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self.poll_shutdown(cx))
    }
}
