//! Connects to one Redis server: resolves its name, tries its addresses, logs in.
//!
//! A name may have several addresses, and the first may be dead in any way. So the attempts are staggered, under one
//! limit, and the log-in is part of an attempt: an address that accepts and never answers delays the next one no
//! longer than one that drops packets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    connection::RedisConnection,
    log_in::log_in,
    sentinel::Sentinels,
    socket::{Network, OpenFuture, SystemNetwork},
    tls::Tls,
};
use crate::{
    resolver::Resolver,
    secret_file,
    single_flight::SingleFlight,
    store::{
        BackendError, Connection, Connector, FailedAttempt, ReplyFuture, SentinelReport, Step,
        url::{Password, RedisAddress, RedisTarget},
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
}

// ===== impl RedisConnector =====

impl RedisConnector {
    /// A connector to `target`, whose name `resolver` looks up. `timeout` limits reading the password and the
    /// certificates, resolving, connecting, the TLS handshake and logging in together.
    pub fn new(target: RedisTarget, timeout: Duration, resolver: Resolver) -> Self {
        let passwords = SingleFlight::new("password");
        let tls = target.tls.clone().map(Tls::new);
        let sentinels = target.sentinels().map(|(name, targets)| {
            let connector = |target| Self::new(target, timeout, resolver.clone());
            let each = targets.into_iter().map(|(place, target)| (place, connector(target)));
            Sentinels::new(name, each.collect())
        });
        let network = Arc::new(SystemNetwork);
        Self { target: Arc::new(target), timeout, resolver, network, passwords, tls, sentinels }
    }

    /// The same connector, over another network than the system's.
    #[must_use]
    pub fn over(self, network: Arc<dyn Network>) -> Self {
        Self { network, ..self }
    }

    /// The same connector; if both have the same sentinels and the same primary, they ask together with those of `other`.
    #[must_use]
    pub fn sharing_sentinels_of(mut self, other: &Self) -> Self {
        if self.target.address == other.target.address && self.target.tls == other.target.tls {
            self.sentinels.clone_from(&other.sentinels);
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
        };
        let addresses = self.resolve(&place.host, place.port, deadline).await?;
        let stagger = stagger(deadline, addresses.len());
        let made = race(addresses, stagger, |address| {
            let socket = self.network.tcp(address);
            self.attempt(address.to_string(), socket, Some(&place.host), password, deadline)
        });
        let mut connection = made.await.map_err(BackendError::Connect)?;
        connection.named = named;
        Ok(connection)
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
        async move {
            let connection: Arc<dyn Connection> = Arc::new(connector.establish().await?);
            Ok(connection)
        }
        .boxed()
    }

    fn answers_in_order(&self) -> bool {
        true
    }

    fn sentinels(&self) -> Option<SentinelReport> {
        self.sentinels.as_ref().and_then(Sentinels::report)
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
