//! `memcached://` — the cache on memcached servers, over the meta protocol (1.6.10 and later).
//!
//! Each command has an opaque token, which the server repeats, so an answer is matched to its question. memcached may
//! forget any value at any time, so it is only ever a cache.

mod dialect;

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::dialect::{Answer, MetaDialect, write_get, write_set};
use super::{
    BackendError, Cluster, ClusterView, Connection, Connector, Network, ReplyFuture, SlotMap, Step,
    SystemNetwork,
    backend::connecting,
    url::{HostAndPort, list},
    wire::{Dialer, DriverHandle, Line, OWED_FOR, Socket},
};
use crate::resolver::Resolver;

/// The longest key that the server accepts, in bytes.
const LONGEST_KEY: usize = 250;

/// Seconds for which a value may be kept; the server takes a larger number for a date.
const LONGEST_TTL: u64 = 30 * 24 * 60 * 60;

/// The key that proves at a connect that values can be written.
const PROOF: &str = "uid:probe";

/// Connects to one memcached server, or to each of several.
#[derive(Debug, Clone)]
pub struct MemcachedConnector {
    server: HostAndPort,
    dialer: Dialer,
    /// All servers, if there are several.
    all: Option<Arc<Servers>>,
}

/// Several servers. Each key belongs to one of them for ever, so it is never in two places: while a server is lost, its
/// share of the keys is lost.
#[derive(Debug)]
struct Servers(watch::Sender<ClusterView>);

struct MemcachedConnection {
    line: Line<Answer>,
    _driver: DriverHandle,
}

// ===== impl MemcachedConnector =====

impl MemcachedConnector {
    /// A connector to `servers`, whose names `resolver` looks up. `timeout` limits a connect with its first write.
    pub fn new(servers: &[HostAndPort], timeout: Duration, resolver: Resolver) -> Self {
        Self::over(servers, timeout, resolver, Arc::new(SystemNetwork))
    }

    /// As [`new`](Self::new), over another network than the system's.
    pub fn over(
        servers: &[HostAndPort],
        timeout: Duration,
        resolver: Resolver,
        network: Arc<dyn Network>,
    ) -> Self {
        let dialer = Dialer::new(timeout, resolver, network);
        let nowhere = || HostAndPort { host: String::new(), port: 0 };
        let server = servers.first().cloned().unwrap_or_else(nowhere);
        let all = (servers.len() > 1).then(|| Arc::new(Servers::new(servers)));
        Self { server, dialer, all }
    }

    async fn establish(&self) -> Result<MemcachedConnection, BackendError> {
        let deadline = self.dialer.deadline();
        self.dialer.dial(&self.server, deadline, |socket| log_in(socket, deadline)).await
    }
}

impl Connector for MemcachedConnector {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connector = self.clone();
        connecting(async move { connector.establish().await })
    }

    fn is_one_stream(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "memcached"
    }

    fn address(&self) -> String {
        let map = self.all.as_ref().and_then(|all| all.0.borrow().map.clone());
        map.map_or_else(|| self.server.to_string(), |map| list(map.primaries()))
    }

    fn cluster(&self) -> Option<Arc<dyn Cluster>> {
        let servers = self.all.clone()?;
        Some(Arc::new(MemcachedCluster { connector: self.clone(), servers }))
    }
}

/// Proves that values can be written. A server before 1.6.10 rejects this command. One without memory rejects it too,
/// but it serves reads.
async fn log_in(
    socket: Box<dyn Socket>,
    deadline: Instant,
) -> Result<MemcachedConnection, (Step, BackendError)> {
    let (line, driver) = Line::over(socket, MetaDialect, OWED_FOR);
    let connection = MemcachedConnection { line, _driver: driver };
    let written = connection.line.ask(|tag, out| write_set(PROOF, b"", 1, tag, out));
    match timeout_at(deadline, written).await {
        Ok(Ok(Answer::Stored | Answer::ServerError)) => Ok(connection),
        Ok(Ok(Answer::Rejected { code })) => {
            Err((Step::Write, BackendError::Refused { code: code.to_owned() }))
        }
        Ok(Ok(Answer::Value(_) | Answer::Missing | Answer::NotStored)) => {
            Err((Step::Write, BackendError::Protocol))
        }
        Ok(Err(error @ BackendError::Refused { .. })) => Err((Step::Greeting, error)),
        Ok(Err(error)) => Err((Step::Write, error)),
        Err(_) => Err((Step::Write, BackendError::TimedOut)),
    }
}

// ===== several servers =====

impl Servers {
    fn new(servers: &[HostAndPort]) -> Self {
        let view = ClusterView { map: Some(Arc::new(rendezvous(servers))), faults: String::new() };
        Self(watch::Sender::new(view))
    }
}

/// The map in which each slot belongs to the server with the greatest weight for it. If a server is added or removed,
/// only that server's slots change hands.
fn rendezvous(servers: &[HostAndPort]) -> SlotMap {
    let names: Vec<_> = servers.iter().map(|server| (server.to_string(), server)).collect();
    SlotMap::of(|slot| {
        let weight = |name: &str| xxh3_64_with_seed(name.as_bytes(), u64::from(slot));
        // Equal weights are as good as impossible; the names decide then.
        names.iter().max_by_key(|(name, _)| (weight(name), name)).map(|(_, server)| *server)
    })
}

#[derive(Debug)]
struct MemcachedCluster {
    connector: MemcachedConnector,
    servers: Arc<Servers>,
}

impl Cluster for MemcachedCluster {
    fn view(&self) -> Result<watch::Receiver<ClusterView>, BackendError> {
        Ok(self.servers.0.subscribe())
    }

    fn last_view(&self) -> Option<ClusterView> {
        Some(self.servers.0.borrow().clone())
    }

    fn primary(&self, place: &HostAndPort) -> Arc<dyn Connector> {
        Arc::new(MemcachedConnector { server: place.clone(), all: None, ..self.connector.clone() })
    }

    /// The servers do not know each other, so there is nothing to ask.
    fn poke(&self) {}
}

// ===== impl MemcachedConnection =====

impl MemcachedConnection {
    /// Sends a command for `key`, unless the key would be read as several words.
    fn ask(
        &self,
        key: String,
        write: impl FnOnce(&str, u64, &mut BytesMut) + Send + 'static,
    ) -> BoxFuture<'static, Result<Answer, BackendError>> {
        if !is_valid(&key) {
            return ready(Err(BackendError::Refused { code: "KEY".to_owned() })).boxed();
        }
        let line = self.line.clone();
        async move { line.ask(|tag, out| write(&key, tag, out)).await }.boxed()
    }
}

impl Connection for MemcachedConnection {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        let answer = self.ask(key, write_get);
        async move {
            match answer.await? {
                Answer::Value(value) => Ok(Some(value)),
                Answer::Missing => Ok(None),
                Answer::ServerError => Err(BackendError::NotServing { code: "SERVER_ERROR".to_owned() }),
                Answer::Rejected { code } => Err(BackendError::Refused { code: code.to_owned() }),
                Answer::Stored | Answer::NotStored => Err(BackendError::Protocol),
            }
        }
        .boxed()
    }

    /// Never called: the settings accept memcached only as a cache.
    fn get_many(&self, _: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        ready(Err(BackendError::Refused { code: "CACHE".to_owned() })).boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        // 0 would be for ever.
        let ttl = ttl.as_secs().clamp(1, LONGEST_TTL);
        let answer = self.ask(key, move |key, tag, out| write_set(key, &value, ttl, tag, out));
        async move {
            match answer.await? {
                Answer::Stored => Ok(()),
                Answer::NotStored => Err(BackendError::WritesRefused { code: "NS".to_owned() }),
                Answer::ServerError => Err(BackendError::WritesRefused { code: "SERVER_ERROR".to_owned() }),
                Answer::Rejected { code } => Err(BackendError::Refused { code: code.to_owned() }),
                Answer::Value(_) | Answer::Missing => Err(BackendError::Protocol),
            }
        }
        .boxed()
    }

    fn silent_for(&self) -> Duration {
        self.line.silent_for()
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        self.line.clone().ended().boxed()
    }

    fn close(&self) {
        self.line.close();
    }
}

/// Whether the server reads `key` as one word.
fn is_valid(key: &str) -> bool {
    (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests;
