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

/// Time that the server reads on for a client that was told to leave. After that, [`Stream::linger`] takes over.
pub(in crate::http) const LINGER: Duration = Duration::from_secs(1);

/// Time that such a client then has to finish sending and read its answer: the time for a body by default. nginx and
/// HAProxy report a bad gateway for an answer that a reset overtakes.
const LINGER_FOR: Duration = Duration::from_secs(10);

/// Time that it may be silent meanwhile.
const LINGER_SILENT: Duration = Duration::from_secs(2);

/// Bytes that it may send meanwhile, which are discarded. A proxy forwards all of a body that it has accepted, and the limit of
/// 100 MB is a usual one.
const LINGER_BYTES: u64 = 128 << 20;

/// Bytes that are read and discarded at once.
const LINGER_READ: usize = 16 << 10;

/// Connections of the process that may be in that state. The limit on connections does not count them any more; what is
/// above this one is closed at once.
pub(in crate::http) const LINGERING: usize = 64;

static LINGERERS: Semaphore = Semaphore::const_new(LINGERING);

/// A client's bytes.
pub(in crate::http) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// ===== impl Stream =====

impl Stream {
    /// Says that nothing more will be said, and takes for a while what the client still says. To close on bytes that were
    /// not read is to reset the connection, and the last answer may be lost with it.
    pub(in crate::http) fn linger(mut self) {
        let Ok(place) = LINGERERS.try_acquire() else { return };
        let leaving = async move {
            self.shutdown().await?;
            let mut io = match self {
                Self::Plain(io) => io,
                // What is thrown away need not be decrypted.
                Self::Tls(io) => io.into_inner().0,
            }
            .take(LINGER_BYTES);
            let mut unread = vec![0; LINGER_READ];
            while timeout(LINGER_SILENT, io.read(&mut unread)).await?? > 0 {}
            io::Result::Ok(())
        };
        spawn(async move {
            _ = timeout(LINGER_FOR, leaving).await;
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
