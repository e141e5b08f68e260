//! Redis: one server over TCP or a Unix socket, the one that sentinels name, or a cluster.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use super::StoreUrlError;
use super::parts::{
    HostAndPort, Password, database, decoded, encoded, list, log_in, log_in_and_hosts, parse,
};
use super::parts::{is_host_char, shown_log_in};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// One Redis server, or a cluster, and the log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisTarget {
    /// Its address.
    pub address: RedisAddress,
    /// The ACL user; `None` means Redis' own `default`.
    pub username: Option<String>,
    /// `None` for a server without a password.
    pub password: Option<Password>,
    /// The number of the database, 0 by default, never negative.
    pub database: i64,
    /// `None` for a server in the clear; always `None` over a Unix socket.
    pub tls: Option<TlsTarget>,
}

/// The certificates of TLS: the trusted issuers, and this service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsTarget {
    /// PEM file with the only issuers to trust; `None` means those of the system.
    pub ca: Option<PathBuf>,
    /// The name in the server's certificate; `None` means the host of the URL.
    pub name: Option<String>,
    /// PEM files with this service's certificate and its key, for servers that demand one.
    pub cert_and_key: Option<(PathBuf, PathBuf)>,
}

/// The address of a Redis server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisAddress {
    /// Over TCP.
    Tcp(HostAndPort),
    /// The server that sentinels name.
    Sentinel {
        /// The sentinels, at least one.
        sentinels: Vec<HostAndPort>,
        /// The name of the primary in the sentinels' configuration.
        name: String,
        /// The log-in of the sentinels themselves.
        log_in: SentinelLogIn,
    },
    /// All primaries of a cluster, which these nodes know. At least one.
    Cluster(Vec<HostAndPort>),
    /// Over a Unix socket, at this path.
    Unix(PathBuf),
}

/// The log-in of sentinels, which is apart from that of the servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentinelLogIn {
    /// The ACL user; `None` means Redis' own `default`.
    pub username: Option<String>,
    /// The file with the password; `None` for sentinels without one.
    pub password: Option<PathBuf>,
}

// ===== impl RedisTarget =====

impl RedisTarget {
    /// From `redis://…`, or with `tls` from `rediss://…`.
    pub(super) fn tcp(text: &str, tls: Option<TlsTarget>) -> Result<Self, StoreUrlError> {
        let url = parse(text, StoreUrlError::Redis)?;
        let place = HostAndPort::of(&url, REDIS_PORT).ok_or(StoreUrlError::Redis)?;
        if url.query().is_some() {
            return Err(StoreUrlError::Redis);
        }
        let database = match url.path().trim_start_matches('/') {
            "" if url.path().len() <= 1 => 0,
            number if url.path().len() == number.len() + 1 => database(number)?,
            _ => return Err(StoreUrlError::Redis),
        };
        Self::new(RedisAddress::Tcp(place), &url, database, tls)
    }

    /// From the rest of a URL after `redis+unix:`.
    pub(super) fn unix(rest: &str) -> Result<Self, StoreUrlError> {
        let refused = StoreUrlError::RedisUnix;
        // The URL standard allows no user without a host, so the parser gets one.
        let (login, path) = rest
            .strip_prefix("//")
            .and_then(|rest| rest.find('/').and_then(|at| rest.split_at_checked(at)))
            .filter(|(login, _)| login.is_empty() || login.ends_with('@'))
            .ok_or(refused)?;
        let url = parse(&format!("redis://{login}localhost{path}"), refused)?;
        let database = match url.query() {
            None => 0,
            Some(query) => database(query.strip_prefix("db=").ok_or(refused)?)?,
        };
        let path = decoded(url.path())?;
        if path.ends_with('/') || path.contains('\0') {
            return Err(refused);
        }
        Self::new(RedisAddress::Unix(path.into()), &url, database, None)
    }

    /// From the rest of a URL after `redis+sentinel:`, or with `tls` after `rediss+sentinel:`.
    pub(super) fn sentinel(rest: &str, tls: Option<TlsTarget>) -> Result<Self, StoreUrlError> {
        let refused = StoreUrlError::RedisSentinel;
        let (authority, path) =
            rest.strip_prefix("//").and_then(|rest| rest.split_once('/')).ok_or(refused)?;
        let (login, sentinels) = log_in_and_hosts(authority, SENTINEL_PORT, refused)?;
        let (name, number) = path.split_once('/').unwrap_or((path, "0"));
        if name.is_empty() || !name.chars().all(is_host_char) {
            return Err(refused);
        }
        let log_in = SentinelLogIn::default();
        let address = RedisAddress::Sentinel { sentinels, name: name.to_owned(), log_in };
        Self::new(address, &login, database(number)?, tls)
    }

    /// From the rest of a URL after `redis+cluster:`, or with `tls` after `rediss+cluster:`.
    pub(super) fn cluster(rest: &str, tls: Option<TlsTarget>) -> Result<Self, StoreUrlError> {
        let refused = StoreUrlError::RedisCluster;
        let rest = rest.strip_prefix("//").ok_or(refused)?;
        let (authority, number) = rest.split_once('/').unwrap_or((rest, ""));
        if !number.is_empty() && database(number)? != 0 {
            return Err(StoreUrlError::ClusterDatabase);
        }
        let (login, nodes) = log_in_and_hosts(authority, REDIS_PORT, refused)?;
        Self::new(RedisAddress::Cluster(nodes), &login, 0, tls)
    }

    /// The server at `place` in this one's stead, with the same log-in.
    pub(in crate::store) fn at(&self, place: HostAndPort) -> Self {
        Self { address: RedisAddress::Tcp(place), ..self.clone() }
    }

    /// The name of the primary, and each sentinel as a server of its own.
    pub(in crate::store) fn sentinels(&self) -> Option<(&str, Vec<(HostAndPort, Self)>)> {
        let RedisAddress::Sentinel { sentinels, name, log_in } = &self.address else { return None };
        let target = |place: &HostAndPort| Self {
            address: RedisAddress::Tcp(place.clone()),
            username: log_in.username.clone(),
            password: log_in.password.clone().map(Password::File),
            database: 0,
            tls: self.tls.clone(),
        };
        Some((name, sentinels.iter().map(|place| (place.clone(), target(place))).collect()))
    }

    fn new(
        address: RedisAddress,
        url: &Url,
        database: i64,
        tls: Option<TlsTarget>,
    ) -> Result<Self, StoreUrlError> {
        let (username, password) = log_in(url)?;
        Ok(Self { address, username, password, database, tls })
    }
}

/// Without the log-in.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(place) => place.fmt(f),
            Self::Sentinel { sentinels, name, .. } => write!(f, "{name} of {}", list(sentinels)),
            Self::Cluster(nodes) => f.write_str(&list(nodes)),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for RedisTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.address, &self.tls) {
            (RedisAddress::Tcp(_), None) => "redis://",
            (RedisAddress::Tcp(_), Some(_)) => "rediss://",
            (RedisAddress::Sentinel { .. }, None) => "redis+sentinel://",
            (RedisAddress::Sentinel { .. }, Some(_)) => "rediss+sentinel://",
            (RedisAddress::Cluster(_), None) => "redis+cluster://",
            (RedisAddress::Cluster(_), Some(_)) => "rediss+cluster://",
            (RedisAddress::Unix(_), _) => "redis+unix://",
        })?;
        f.write_str(&shown_log_in(self.username.as_deref(), self.password.is_some()))?;
        match &self.address {
            RedisAddress::Tcp(place) => write!(f, "{place}/{}", self.database),
            RedisAddress::Sentinel { sentinels, name, .. } => {
                write!(f, "{}/{name}/{}", list(sentinels), self.database)
            }
            RedisAddress::Cluster(nodes) => f.write_str(&list(nodes)),
            RedisAddress::Unix(path) => {
                write!(f, "{}?db={}", encoded(&path.to_string_lossy()), self.database)
            }
        }
    }
}
