//! Opens sockets to Redis: TCP without Nagle's delay and with keepalive, or a Unix socket.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// Any kind of open socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// After this time without traffic, the kernel checks whether the other end still exists. A second line of defence:
/// the link's probes notice much earlier.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Connects over TCP. Without a time limit.
pub(super) async fn tcp(address: SocketAddr) -> io::Result<Box<dyn Socket>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(Box::new(stream))
}

/// Connects to the socket at `path`. Without a time limit.
pub(super) async fn unix(path: &Path) -> io::Result<Box<dyn Socket>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}
