//! Opens sockets to Redis: TCP without Nagle's delay and with keepalive, or a Unix socket.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::store::url::RedisAddress;

/// Any kind of open socket.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// After this long without traffic the kernel asks whether the other end is still there. A second line of defence: the
/// link's own heartbeat notices much earlier.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Resolves `address` and connects. Not bounded in time.
pub(super) async fn open(address: &RedisAddress) -> io::Result<Box<dyn Socket>> {
    match address {
        RedisAddress::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
            Ok(Box::new(stream))
        }
        RedisAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
    }
}
