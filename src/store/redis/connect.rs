//! Connects to one Redis server: resolves its name, tries its addresses, logs in.
//!
//! A name may have several addresses, and the first may be dead in any way. So the attempts are staggered, under one
//! limit, and the log-in is part of an attempt: an address that accepts and never answers delays the next one no
//! longer than one that drops packets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use secrecy::SecretString;
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    connection::RedisConnection,
    log_in::log_in,
    sentinel::Sentinels,
    socket::{Network, OpenFuture, SystemNetwork},
    tls::Tls,
    topology::Topology,
};
use crate::{
    resolver::Resolver,
    secret_file,
    single_flight::SingleFlight,
    store::{
        BackendError, Cluster, ClusterView, Connection, Connector, FailedAttempt, ReplyFuture,
        SentinelReport, Step,
        url::{HostAndPort, Password, RedisAddress, RedisTarget},
    },
};

/// Maximum time before the next address is tried as well.
const STAGGER: Duration = Duration::from_millis(100);

/// Connects to one Redis server. Clones share their look-ups.
#[derive(Debug, Clone)]
pub struct RedisConnector {
    target: Arc<RedisTarget>,
    timeout: Duration,
    resolver: Resolver,
    network: Arc<dyn Network>,
    passwords: SingleFlight<SecretString, String>,
    tls: Option<Tls>,
    sentinels: Option<Sentinels>,
    topology: Option<Topology>,
    /// The cluster to which the server belongs.
    cluster: Option<Topology>,
}

// ===== impl RedisConnector =====

impl RedisConnector {
    /// A connector to `target`, whose name `resolver` looks up. `timeout` limits reading the password and the
    /// certificates, resolving, connecting, the TLS handshake and logging in together.
    pub fn new(target: RedisTarget, timeout: Duration, resolver: Resolver) -> Self {
        Self::over(target, timeout, resolver, Arc::new(SystemNetwork))
    }

    /// As [`new`](Self::new), over another network than the system's.
    pub fn over(
        target: RedisTarget,
        timeout: Duration,
        resolver: Resolver,
        network: Arc<dyn Network>,
    ) -> Self {
        let passwords = SingleFlight::new("password");
        let tls = target.tls.clone().map(Tls::new);
        let sentinels = target.sentinels().map(|(name, targets)| {
            let connector = |target| Self::over(target, timeout, resolver.clone(), network.clone());
            let each = targets.into_iter().map(|(place, target)| (place, connector(target)));
            Sentinels::new(name, each.collect(), network.clone())
        });
        let mut connector = Self {
            target: Arc::new(target),
            timeout,
            resolver,
            network,
            passwords,
            tls,
            sentinels,
            topology: None,
            cluster: None,
        };
        if let RedisAddress::Cluster(seeds) = &connector.target.address {
            connector.topology = Some(Topology::new(seeds.clone(), connector.clone()));
        }
        connector
    }

    /// A connector to the server at `place`, with the same log-in.
    pub(super) fn at(&self, place: HostAndPort) -> Self {
        Self { target: Arc::new(self.target.at(place)), topology: None, ..self.clone() }
    }

    pub(super) fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// The same connector; if `other` has the same sentinels or the same cluster, both ask them together.
    #[must_use]
    pub fn asking_together_with(mut self, other: &Self) -> Self {
        if self.target.address == other.target.address && self.target.tls == other.target.tls {
            self.sentinels.clone_from(&other.sentinels);
            if self.target.username == other.target.username {
                self.topology.clone_from(&other.topology);
            }
        }
        self
    }

    /// Connects and logs in.
    pub(super) async fn establish(&self) -> Result<RedisConnection, BackendError> {
        let deadline = Instant::now() + self.timeout;
        let password = self.password(deadline).await?;
        let password = password.as_ref();
        let (place, named) = match (&self.target.address, &self.sentinels) {
            (RedisAddress::Unix(path), _) => {
                let server = path.display().to_string();
                let made = self.attempt(server, self.network.unix(path), None, password, deadline).await;
                return made.map_err(|failed| BackendError::Connect(vec![failed]));
            }
            (RedisAddress::Tcp(place), _) => (place.clone(), None),
            (RedisAddress::Sentinel { .. }, Some(sentinels)) => {
                let (place, named) = sentinels.primary(deadline).await?;
                (place, Some(named))
            }
            (RedisAddress::Sentinel { .. }, None) => return Err(BackendError::NoPrimary(String::new())),
            (RedisAddress::Cluster(_), _) => return self.any_primary(deadline).await,
        };
        let addresses = self.resolve(&place.host, place.port, deadline).await?;
        let stagger = stagger(deadline, addresses.len());
        let made = race(addresses, stagger, |address| {
            let socket = self.network.tcp(address);
            self.attempt(address.to_string(), socket, Some(&place.host), password, deadline)
        });
        let mut connection = made.await.map_err(BackendError::Connect)?;
        connection.named = named;
        connection.is_shard = self.cluster.is_some();
        Ok(connection)
    }

    /// A connection to one of the cluster's primaries.
    async fn any_primary(&self, deadline: Instant) -> Result<RedisConnection, BackendError> {
        let no_topology = || BackendError::NoTopology(String::new());
        let topology = self.topology.as_ref().ok_or_else(no_topology)?;
        topology.poke();
        let mut view = topology.view()?;
        let known = timeout_at(deadline, view.wait_for(|view| view.map.is_some())).await;
        let place =
            known.ok().and_then(Result::ok).and_then(|view| view.map.as_ref()?.primaries().first().cloned());
        let Some(place) = place else {
            let view = view.borrow();
            let is_empty = view.map.is_some() && view.faults.is_empty();
            let cause = if is_empty { "no slot has a primary".to_owned() } else { view.faults.clone() };
            return Err(BackendError::NoTopology(cause));
        };
        Box::pin(self.of_cluster(topology, place).establish()).await
    }

    /// A connector to a primary of the cluster.
    fn of_cluster(&self, topology: &Topology, place: HostAndPort) -> Self {
        Self { cluster: Some(topology.clone()), ..self.at(place) }
    }

    /// The current password. A file on a disk that hangs costs one thread, but no worker's time.
    async fn password(&self, deadline: Instant) -> Result<Option<SecretString>, BackendError> {
        let file = match &self.target.password {
            None => return Ok(None),
            Some(Password::Given(password)) => return Ok(Some(password.clone())),
            Some(Password::File(file)) => file,
        };
        let path = file.clone();
        let read = self.passwords.result("", move || secret_file::read(&path));
        let late = |_| Err(format!("{}: cannot be read in time", file.display()));
        timeout_at(deadline, read).await.unwrap_or_else(late).map(Some).map_err(BackendError::NoPassword)
    }

    async fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, BackendError> {
        let unresolved = |cause: String| BackendError::Unresolved { host: host.to_owned(), cause };
        let addresses = timeout_at(deadline, self.resolver.addresses(host))
            .await
            .map_err(|_| unresolved("no answer in time".to_owned()))?
            .map_err(|error| unresolved(error.to_string()))?;
        Ok(addresses.iter().map(|address| with_port(*address, port)).collect())
    }

    /// Connects to one address and logs in.
    async fn attempt(
        &self,
        server: String,
        socket: OpenFuture,
        host: Option<&str>,
        password: Option<&SecretString>,
        deadline: Instant,
    ) -> Result<RedisConnection, FailedAttempt> {
        let made = async {
            let late = |_| BackendError::TimedOut;
            let opened = timeout_at(deadline, socket).await.map_err(late);
            let opened =
                opened.and_then(|socket| socket.map_err(|error| BackendError::Disconnected(error.kind())));
            let mut socket = opened.map_err(|error| (Step::Open, error))?;
            if let Some((tls, host)) = self.tls.as_ref().zip(host) {
                let made = timeout_at(deadline, tls.handshake(socket, host)).await;
                socket = made.map_err(late).flatten().map_err(|error| (Step::Tls, error))?;
            }
            let connection = RedisConnection::over(socket).await.map_err(|error| (Step::Open, error))?;
            log_in(&connection.commands, &self.target, password, deadline).await?;
            Ok(connection)
        };
        made.await.map_err(|(step, error)| FailedAttempt { server, step, error })
    }
}

impl Connector for RedisConnector {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connector = self.clone();
        if let Some(cluster) = &self.cluster {
            // The last connection was lost, or there never was one.
            cluster.poke();
        }
        async move {
            let connection: Arc<dyn Connection> = Arc::new(connector.establish().await?);
            Ok(connection)
        }
        .boxed()
    }

    fn answers_in_order(&self) -> bool {
        true
    }

    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        let topology = self.topology.clone()?;
        Some(Arc::new(RedisCluster { connector: self.clone(), topology }))
    }

    fn sentinels(&self) -> Option<SentinelReport> {
        self.sentinels.as_ref().and_then(Sentinels::report)
    }
}

/// The primaries of a cluster, for one role.
#[derive(Debug)]
struct RedisCluster {
    connector: RedisConnector,
    topology: Topology,
}

impl Cluster for RedisCluster {
    fn view(&self) -> Result<watch::Receiver<ClusterView>, BackendError> {
        self.topology.view()
    }

    fn last_view(&self) -> Option<ClusterView> {
        self.topology.last_view()
    }

    fn primary(&self, place: &HostAndPort) -> Arc<dyn Connector> {
        Arc::new(self.connector.of_cluster(&self.topology, place.clone()))
    }

    fn poke(&self) {
        self.topology.poke();
    }
}

// ===== addresses =====

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The last of many addresses also needs a part of the remaining time.
fn stagger(deadline: Instant, addresses: usize) -> Duration {
    let shares = u32::try_from(addresses).unwrap_or(u32::MAX).saturating_add(1);
    STAGGER.min(deadline.saturating_duration_since(Instant::now()) / shares)
}

/// Tries `addresses` in their order. The next one is tried when the one before has failed, or has had `stagger` for
/// itself. The first success wins, and the others are dropped.
///
/// # Errors
///
/// The failures of all, in the order in which they came.
async fn race<T, E, A: Future<Output = Result<T, E>>>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<T, Vec<E>> {
    let mut waiting = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        let is_last = match waiting.next() {
            Some(address) => {
                under_way.push(attempt(address));
                waiting.len() == 0
            }
            None => true,
        };
        let outcome = if is_last {
            under_way.next().await
        } else {
            match timeout(stagger, under_way.next()).await {
                Ok(outcome) => outcome,
                Err(_) => continue,
            }
        };
        match outcome {
            Some(Ok(won)) => return Ok(won),
            Some(Err(error)) => failed.push(error),
            None => return Err(failed),
        }
    }
}

#[cfg(test)]
mod tests;
