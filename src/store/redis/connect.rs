//! Connects to one Redis server, or to a primary that sentinels or the nodes of a cluster name, and logs in.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{connection::RedisConnection, log_in::log_in, sentinel::Sentinels, tls::Tls, topology::Topology};
use crate::{
    resolver::Resolver,
    store::{
        BackendError, Cluster, ClusterView, Connection, Connector, ReplyFuture, SentinelReport, Step,
        backend::connecting,
        url::{HostAndPort, RedisAddress, RedisTarget},
        wire::{Dialer, Network, PasswordSource, Socket, SystemNetwork},
    },
};

/// Connects to one Redis server. Clones share their look-ups.
#[derive(Debug, Clone)]
pub struct RedisConnector {
    target: Arc<RedisTarget>,
    dialer: Dialer,
    password: PasswordSource,
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
        let password = PasswordSource::new(target.password.clone());
        let tls = target.tls.clone().map(Tls::new);
        let sentinels = target.sentinels().map(|(name, targets)| {
            let connector = |target| Self::over(target, timeout, resolver.clone(), network.clone());
            let each = targets.into_iter().map(|(place, target)| (place, connector(target)));
            Sentinels::new(name, each.collect(), network.clone())
        });
        let mut connector = Self {
            target: Arc::new(target),
            dialer: Dialer::new(timeout, resolver, network),
            password,
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
        self.dialer.network()
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
        let deadline = self.dialer.deadline();
        let password = self.password.read(deadline).await?;
        let password = password.as_ref();
        let (place, named) = match (&self.target.address, &self.sentinels) {
            (RedisAddress::Unix(path), _) => {
                let log_in = |socket| self.log_in(socket, None, password, deadline);
                return self.dialer.dial_unix(path, deadline, log_in).await;
            }
            (RedisAddress::Tcp(place), _) => (place.clone(), None),
            (RedisAddress::Sentinel { .. }, Some(sentinels)) => {
                let (place, named) = sentinels.primary(deadline).await?;
                (place, Some(named))
            }
            (RedisAddress::Sentinel { .. }, None) => return Err(BackendError::NoPrimary(String::new())),
            (RedisAddress::Cluster(_), _) => return self.any_primary(deadline).await,
        };
        let log_in = |socket| self.log_in(socket, Some(&place.host), password, deadline);
        let mut connection = self.dialer.dial(&place, deadline, log_in).await?;
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

    /// Logs in on a new socket to a server of the name `host`.
    async fn log_in(
        &self,
        mut socket: Box<dyn Socket>,
        host: Option<&str>,
        password: Option<&SecretString>,
        deadline: Instant,
    ) -> Result<RedisConnection, (Step, BackendError)> {
        if let Some((tls, host)) = self.tls.as_ref().zip(host) {
            let made = timeout_at(deadline, tls.handshake(socket, host)).await;
            let made = made.map_err(|_| BackendError::TimedOut).flatten();
            socket = made.map_err(|error| (Step::Tls, error))?;
        }
        let connection = RedisConnection::over(socket).await.map_err(|error| (Step::Open, error))?;
        log_in(&connection.commands, &self.target, password, deadline).await?;
        Ok(connection)
    }
}

impl Connector for RedisConnector {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connector = self.clone();
        if let Some(cluster) = &self.cluster {
            // The last connection was lost, or there never was one.
            cluster.poke();
        }
        connecting(async move { connector.establish().await })
    }

    fn is_one_stream(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "redis"
    }

    fn address(&self) -> String {
        self.target.address.to_string()
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

#[cfg(test)]
mod tests;
