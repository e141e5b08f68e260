//! The bytes of a connection, plain or in TLS, and the end of a connection.

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

/// Time that actix reads on from a client that was asked to disconnect. After that, [`Stream::linger`] takes over.
pub(in crate::http) const LINGER: Duration = Duration::from_secs(1);

/// Maximum time for such a client to finish sending and to read its response: the default time of a body. nginx and
/// HAProxy report a bad gateway when a reset overtakes the response.
const LINGER_FOR: Duration = Duration::from_secs(10);

/// Maximum time without a byte meanwhile.
const LINGER_SILENT: Duration = Duration::from_secs(2);

/// Maximum bytes meanwhile, which are discarded. A proxy forwards the whole of a body that it has accepted, and 100
/// MB is a common limit.
const LINGER_BYTES: u64 = 128 << 20;

/// Bytes that are read and discarded at once.
const LINGER_READ: usize = 16 << 10;

/// Maximum connections of the process in this state. The limit on connections does not include them; further ones are
/// closed at once.
pub(in crate::http) const LINGERING: usize = 64;

static LINGERERS: Semaphore = Semaphore::const_new(LINGERING);

/// A client's bytes.
pub(in crate::http) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// ===== impl Stream =====

impl Stream {
    /// Closes the sending side, and discards the client's bytes for a while. Closing a socket with unread bytes
    /// resets the connection, which may lose the last response.
    pub(in crate::http) fn linger(mut self) {
        let Ok(place) = LINGERERS.try_acquire() else { return };
        let leaving = async move {
            self.shutdown().await?;
            let mut io = match self {
                Self::Plain(io) => io,
                // Discarded bytes are not decrypted.
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

/// The methods of the inner stream.
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
