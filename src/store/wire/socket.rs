//! Opens sockets to a server: TCP without Nagle's delay and with keepalive, or a Unix socket.

use std::{
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    runtime::Builder,
};

/// Any kind of open socket.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The result of opening a socket.
pub type OpenFuture = BoxFuture<'static, io::Result<Box<dyn Socket>>>;

/// Opens sockets, without a time limit: callers have their own.
pub trait Network: fmt::Debug + Send + Sync {
    /// Connects over TCP.
    fn tcp(&self, address: SocketAddr) -> OpenFuture;

    /// Connects to the Unix socket at `path`.
    fn unix(&self, path: &Path) -> OpenFuture;

    /// Runs `work`, which lasts as long as the process may need it, beside all workers.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    fn background(&self, name: &str, work: BoxFuture<'static, ()>) -> io::Result<()>;
}

/// The network of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemNetwork;

/// After this time without traffic, the kernel checks whether the other end still exists. A second line of defence:
/// the link's probes notice much earlier.
const KEEPALIVE: Duration = Duration::from_secs(15);

impl Network for SystemNetwork {
    fn tcp(&self, address: SocketAddr) -> OpenFuture {
        tcp(address).boxed()
    }

    fn unix(&self, path: &Path) -> OpenFuture {
        unix(path.to_owned()).boxed()
    }

    fn background(&self, name: &str, work: BoxFuture<'static, ()>) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work))?;
        Ok(())
    }
}

async fn tcp(address: SocketAddr) -> io::Result<Box<dyn Socket>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    Ok(Box::new(stream))
}

async fn unix(path: PathBuf) -> io::Result<Box<dyn Socket>> {
    Ok(Box::new(UnixStream::connect(path).await?))
}
