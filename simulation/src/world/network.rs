//! The network between the service and its servers: addresses, and the names that lead to them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, pending},
};
use scoring_api::{
    resolver::Resolver,
    store::{Network, OpenFuture, Socket},
};
use tokio::time::sleep;

use super::server::Server;

/// The time of a look-up.
const LOOK_UP: Duration = Duration::from_millis(1);

/// The reaction of an address without a server to a connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadAddress {
    /// Packets get lost.
    Drops,
    /// It refuses.
    Refuses,
    /// There is no route to it.
    NoRoute,
}

/// How a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LookUp {
    /// As it should be.
    #[default]
    Answers,
    /// There is no such name.
    Unknown,
    /// There is no answer.
    Hangs,
}

/// The network. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct SimulatedNetwork(Arc<Mutex<Vec<Host>>>);

/// A server's place on the network.
#[derive(Debug)]
struct Host {
    name: String,
    server: Server,
    /// Its address. An address that it has left is dead.
    address: Ipv4Addr,
    look_up: LookUp,
    /// An address that its name leads to first.
    dead: Option<DeadAddress>,
}

// ===== impl SimulatedNetwork =====

impl SimulatedNetwork {
    /// Puts `server` on the network, under `name`.
    pub(super) fn add(&self, name: String, server: Server) {
        let mut hosts = self.lock();
        let address = Ipv4Addr::new(10, 0, 0, u8::try_from(hosts.len() + 1).unwrap_or(u8::MAX));
        hosts.push(Host { name, server, address, look_up: LookUp::Answers, dead: None });
    }

    /// Moves the host at `index` to a new address.
    pub(super) fn move_host(&self, index: usize) {
        let host = &mut self.lock()[index];
        let [a, b, c, d] = host.address.octets();
        host.address = Ipv4Addr::new(a, b, c.wrapping_add(1), d);
    }

    /// From now on the name of the host at `index` is looked up this way.
    pub(super) fn look_up(&self, index: usize, look_up: LookUp) {
        self.lock()[index].look_up = look_up;
    }

    /// From now on the name of the host at `index` leads to this address first.
    pub(super) fn lead_to(&self, index: usize, dead: Option<DeadAddress>) {
        self.lock()[index].dead = dead;
    }

    /// Looks names up on this network.
    pub fn resolver(&self) -> Resolver {
        let network = self.clone();
        Resolver::of_async(move |name| {
            let (network, name) = (network.clone(), name.to_owned());
            async move {
                sleep(LOOK_UP).await;
                let found = {
                    let hosts = network.lock();
                    let host = hosts.iter().find(|host| host.name == name);
                    host.map(|host| (host.look_up, host.dead, host.address))
                };
                let gone = io::Error::other("Name or service not known");
                match found {
                    None | Some((LookUp::Unknown, ..)) => Err((&gone).into()),
                    Some((LookUp::Hangs, ..)) => pending().await,
                    Some((LookUp::Answers, dead, address)) => {
                        let all = dead.map(DeadAddress::address).into_iter().chain([address]);
                        Ok(all.map(|address| SocketAddr::from((address, 0))).collect())
                    }
                }
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Host>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(self, address: IpAddr) -> io::Result<Box<dyn Socket>> {
        let server = self.lock().iter().find(|host| host.address == address).map(|host| host.server.clone());
        match (server, DeadAddress::at(address)) {
            (Some(server), _) => Ok(Box::new(server.accept().await?)),
            (None, Some(DeadAddress::Refuses)) => Err(io::ErrorKind::ConnectionRefused.into()),
            (None, Some(DeadAddress::NoRoute)) => Err(io::ErrorKind::HostUnreachable.into()),
            (None, Some(DeadAddress::Drops) | None) => pending().await,
        }
    }
}

impl Network for SimulatedNetwork {
    fn tcp(&self, address: SocketAddr) -> OpenFuture {
        self.clone().connect(address.ip()).boxed()
    }

    fn background(&self, _: &str, work: BoxFuture<'static, ()>) -> io::Result<()> {
        tokio::spawn(work);
        Ok(())
    }

    fn unix(&self, _: &Path) -> OpenFuture {
        async { Err(io::ErrorKind::Unsupported.into()) }.boxed()
    }
}

// ===== impl DeadAddress =====

impl DeadAddress {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Drops, Self::Refuses, Self::NoRoute];

    fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 255, 0, self as u8)
    }

    fn at(address: IpAddr) -> Option<Self> {
        Self::ALL.into_iter().find(|dead| dead.address() == address)
    }
}
