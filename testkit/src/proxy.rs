//! A bad network between a client and a store.
//!
//! Each direction of each connection reads chunks, gets each one's arrival time from its [`Schedule`], and writes it
//! then. It keeps reading meanwhile, so that latency does not limit throughput.

mod schedule;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use self::schedule::Schedule;
pub use self::schedule::{Conditions, Loss};
use super::Door;

/// Maximum chunks in flight, each of at most [`CHUNK`] bytes; then reading waits.
const CHUNKS: usize = 1_024;
const CHUNK: usize = 16 * 1_024;

/// A proxy on a free port. Dropping it closes everything.
pub struct Proxy {
    /// Decides which connections are accepted, and the fate of existing ones.
    pub door: Door,
    network: Arc<Network>,
}

/// The target of a proxy: a TCP address or the path of a Unix socket.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// Such as `127.0.0.1:6379`.
    Tcp(SocketAddr),
    /// The socket's path.
    Unix(PathBuf),
}

struct Network {
    upstream: Upstream,
    seed: u64,
    to_store: watch::Sender<Conditions>,
    to_client: watch::Sender<Conditions>,
    /// Connections with a number below the first pass on this many bytes more to the client, and nothing after.
    last_bytes: watch::Sender<(usize, usize)>,
    healed: watch::Sender<usize>,
}

/// A chunk in flight.
struct Parcel {
    bytes: Vec<u8>,
    arrival: Instant,
    /// The value of `healed` when it was sent. Healing delivers it early.
    healed: usize,
    /// The connection is cut after it.
    is_last: bool,
}

// ===== impl Proxy =====

impl Proxy {
    /// A perfect network to `upstream`, which need not exist yet. If the store refuses, the client's connection is
    /// closed at once.
    pub fn to(upstream: impl Into<Upstream>) -> Self {
        Self::seeded(upstream, 0)
    }

    /// As [`Proxy::to`], with a seed for its randomness.
    pub fn seeded(upstream: impl Into<Upstream>, seed: u64) -> Self {
        let network = Arc::new(Network {
            upstream: upstream.into(),
            seed,
            to_store: watch::Sender::default(),
            to_client: watch::Sender::default(),
            last_bytes: watch::Sender::default(),
            healed: watch::Sender::default(),
        });
        let serving = Arc::clone(&network);
        let door = Door::new(move |number, client| {
            let network = Arc::clone(&serving);
            // Both ends have seen this error too.
            Box::pin(async move { _ = network.join(number, client).await })
        });
        Self { door, network }
    }

    /// The address to connect to instead of the store's.
    pub fn addr(&self) -> SocketAddr {
        self.door.addr()
    }

    /// Sets both directions.
    pub fn set(&self, conditions: Conditions) {
        self.set_to_store(conditions);
        self.set_to_client(conditions);
    }

    /// Sets the direction from the client to the store.
    pub fn set_to_store(&self, conditions: Conditions) {
        self.network.to_store.send_replace(conditions);
    }

    /// Sets the direction from the store to the client.
    pub fn set_to_client(&self, conditions: Conditions) {
        self.network.to_client.send_replace(conditions);
    }

    /// Lets existing connections pass `bytes` more to the client, and nothing after. New ones work.
    pub fn stop_existing_after(&self, bytes: usize) {
        self.network.last_bytes.send_replace((self.door.accepted(), bytes));
    }

    /// Makes the network perfect, delivers all chunks in flight at once, and opens the door.
    ///
    /// Connections stay silent if a black hole took bytes from them, or if they are frozen.
    pub fn heal(&self) {
        self.set(Conditions::default());
        self.network.healed.send_modify(|times| *times += 1);
        self.door.open();
    }
}

impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Self {
        Self::Tcp(addr)
    }
}

// ===== impl Network =====

impl Network {
    async fn join(&self, number: usize, client: &mut TcpStream) -> io::Result<()> {
        let client = client.split();
        match &self.upstream {
            Upstream::Tcp(addr) => {
                let mut store = TcpStream::connect(addr).await?;
                store.set_nodelay(true)?;
                self.pass_both_ways(number, client, store.split()).await
            }
            Upstream::Unix(path) => {
                let mut store = UnixStream::connect(path).await?;
                self.pass_both_ways(number, client, store.split()).await
            }
        }
    }

    /// Ends when both directions have ended, or as soon as one fails.
    async fn pass_both_ways(
        &self,
        number: usize,
        client: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
        store: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let seed = self.seed.wrapping_add(2 * number as u64);
        tokio::try_join!(
            self.pass(client.0, store.1, self.to_store.subscribe(), seed, None),
            self.pass(store.0, client.1, self.to_client.subscribe(), seed.wrapping_add(1), Some(number)),
        )?;
        Ok(())
    }

    async fn pass(
        &self,
        from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin,
        conditions: watch::Receiver<Conditions>,
        seed: u64,
        to_client_of: Option<usize>,
    ) -> io::Result<()> {
        let (sender, parcels) = mpsc::channel(CHUNKS);
        tokio::try_join!(self.send(from, sender, conditions, seed), self.deliver(parcels, to, to_client_of))?;
        Ok(())
    }

    async fn send(
        &self,
        mut from: impl AsyncRead + Unpin,
        parcels: mpsc::Sender<Parcel>,
        mut conditions: watch::Receiver<Conditions>,
        seed: u64,
    ) -> io::Result<()> {
        let mut schedule = Schedule::new(seed, Instant::now());
        let mut healed = *self.healed.borrow();
        let mut passed = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut length = from.read(&mut chunk).await?;
            if conditions.has_changed().is_ok_and(|changed| changed) {
                passed = 0;
            }
            let now_in_force = *conditions.borrow_and_update();
            if now_in_force.black_hole {
                // The end of a stream is treated like its bytes.
                return std::future::pending().await;
            }
            if length == 0 {
                return Ok(());
            }
            let left = now_in_force.cut_after.map_or(usize::MAX, |limit| limit.saturating_sub(passed));
            let is_last = length >= left;
            length = length.min(left);
            passed += length;

            if *self.healed.borrow() > healed {
                healed = *self.healed.borrow();
                schedule.catch_up(Instant::now());
            }
            let arrival = schedule.arrival(Instant::now(), length, &now_in_force);
            let bytes = chunk[..length].to_vec();
            if parcels.send(Parcel { bytes, arrival, healed, is_last }).await.is_err() || is_last {
                return std::future::pending().await;
            }
        }
    }

    async fn deliver(
        &self,
        mut parcels: mpsc::Receiver<Parcel>,
        mut to: impl AsyncWrite + Unpin,
        to_client_of: Option<usize>,
    ) -> io::Result<()> {
        let mut healed = self.healed.subscribe();
        let mut passed = 0;
        while let Some(mut parcel) = parcels.recv().await {
            _ = timeout_at(parcel.arrival, healed.wait_for(|times| *times > parcel.healed)).await;
            let (below, bytes) = *self.last_bytes.borrow();
            if to_client_of.is_some_and(|number| number < below) {
                parcel.bytes.truncate(bytes - passed);
                passed += parcel.bytes.len();
                to.write_all(&parcel.bytes).await?;
                if passed == bytes {
                    return std::future::pending().await;
                }
                continue;
            }
            to.write_all(&parcel.bytes).await?;
            if parcel.is_last {
                return Err(ErrorKind::ConnectionAborted.into());
            }
        }
        to.shutdown().await
    }
}

#[cfg(test)]
mod tests;
