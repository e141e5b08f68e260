//! The URL of a store, parsed once, with its password hidden.
//!
//! The errors never repeat any part of the URL except a known scheme: after a typing mistake, a password can stand
//! anywhere.

mod parts;
mod tarantool;
mod target;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use parts::log_in_and_hosts;

pub(super) use parts::list;
pub use parts::{HostAndPort, Password};
pub use tarantool::TarantoolTarget;
pub use target::{RedisAddress, RedisTarget, SentinelLogIn, TlsTarget};

const MEMCACHED_PORT: u16 = 11211;

/// The place of a store. Equal URLs are the same place: both roles then share a store inside this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:PATH`: a database file of our own.
    Embedded(PathBuf),
    /// `memory:`: gone with the process.
    Memory,
    /// `redis://…`, `rediss://…`, `redis+unix://…`: one Redis server. `redis+sentinel://…`: the one that sentinels
    /// name. `redis+cluster://…`: all primaries of a cluster.
    Redis(RedisTarget),
    /// `memcached://…`: one memcached server or several, for the cache only.
    Memcached(Vec<HostAndPort>),
    /// `tarantool://…`: one Tarantool server.
    Tarantool(TarantoolTarget),
}

/// The reason why a text is not a store URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// The scheme is unknown.
    #[error(
        "expected a URL that starts with embedded:, memory:, redis://, rediss://, redis+unix://, redis+sentinel://, \
         redis+cluster://, memcached:// or tarantool://"
    )]
    UnknownScheme,
    /// `embedded:` without a path, or with one that was meant as a host.
    #[error("expected embedded:PATH with a path and no // before it")]
    EmbeddedPath,
    /// A text after `memory:`.
    #[error("memory: takes nothing after the colon")]
    MemoryArgument,
    /// Blanks or control characters, which a URL parser would drop silently.
    #[error("the URL of a server has no blanks; percent-encode those of a password")]
    Blank,
    /// `redis://` or `rediss://` that does not parse.
    #[error(
        "expected redis[s]://[[user]:password@]host[:port][/db]; percent-encode special characters in a password"
    )]
    Redis,
    /// `redis+unix://` that does not parse.
    #[error(
        "expected redis+unix://[[user]:password@]/path/to.sock[?db=N]; percent-encode special characters in a password"
    )]
    RedisUnix,
    /// `redis+sentinel://` or `rediss+sentinel://` that does not parse.
    #[error(
        "expected redis[s]+sentinel://[[user]:password@]host[:port][,host[:port]…]/NAME[/db]; the user and the password are \
         those of the servers; percent-encode special characters in a password"
    )]
    RedisSentinel,
    /// `redis+cluster://` or `rediss+cluster://` that does not parse.
    #[error(
        "expected redis[s]+cluster://[[user]:password@]host[:port][,host[:port]…]; name some nodes, the others are found; \
         percent-encode special characters in a password"
    )]
    RedisCluster,
    /// `memcached://` that does not parse.
    #[error(
        "expected memcached://host[:port][,host[:port]…], each server once; without a user, password or path"
    )]
    Memcached,
    /// `tarantool://` that does not parse.
    #[error(
        "expected tarantool://user[:password]@host[:port][/module]; percent-encode special characters in a password"
    )]
    Tarantool,
    /// A cluster has only one database.
    #[error("a cluster has no database but 0; leave the number out")]
    ClusterDatabase,
    /// The database is not a number of at least 0.
    #[error("the database must be a number such as 0")]
    Database,
    /// The user, the password or the socket's path is not UTF-8 after decoding, or a `%` does not start a code.
    #[error("bad percent-encoding")]
    Encoding,
    /// The password is given twice.
    #[error("has a password of its own")]
    PasswordTwice,
    /// Only Redis and Tarantool have a password.
    #[error("takes no password")]
    NoPasswordTaken,
    /// Only `redis+sentinel://` has sentinels.
    #[error("names no sentinels; use redis+sentinel://, or leave this out")]
    NoSentinels,
    /// Only `rediss://` has certificates and names.
    #[error("does not use TLS; use rediss://, or leave this out")]
    NoTls,
    /// A name that no certificate can have.
    #[error("expected a host name or an IP address, as a certificate has it")]
    TlsName,
}

// ===== impl StoreUrl =====

impl StoreUrl {
    /// The same place, with a password that is read from `file` at each connect.
    ///
    /// # Errors
    ///
    /// The URL already contains a password, or its scheme does not have one.
    pub fn with_password_file(self, file: PathBuf) -> Result<Self, StoreUrlError> {
        match self {
            Self::Redis(target) if target.password.is_none() => {
                Ok(Self::Redis(RedisTarget { password: Some(Password::File(file)), ..target }))
            }
            Self::Tarantool(target) if target.password.is_none() => {
                Ok(Self::Tarantool(TarantoolTarget { password: Some(Password::File(file)), ..target }))
            }
            Self::Redis(_) | Self::Tarantool(_) => Err(StoreUrlError::PasswordTwice),
            Self::Embedded(_) | Self::Memory | Self::Memcached(_) => Err(StoreUrlError::NoPasswordTaken),
        }
    }

    /// The same place, with other certificates or another name than the usual ones.
    ///
    /// # Errors
    ///
    /// The scheme is not that of TLS.
    pub fn with_tls(self, tls: TlsTarget) -> Result<Self, StoreUrlError> {
        match self {
            Self::Redis(target) if target.tls.is_some() => {
                Ok(Self::Redis(RedisTarget { tls: Some(tls), ..target }))
            }
            Self::Redis(_) | Self::Embedded(_) | Self::Memory | Self::Memcached(_) | Self::Tarantool(_) => {
                Err(StoreUrlError::NoTls)
            }
        }
    }

    /// The same place, with a log-in of the sentinels.
    ///
    /// # Errors
    ///
    /// The scheme is not that of sentinels.
    pub fn with_sentinel_log_in(mut self, given: SentinelLogIn) -> Result<Self, StoreUrlError> {
        match &mut self {
            Self::Redis(RedisTarget { address: RedisAddress::Sentinel { log_in, .. }, .. }) => {
                *log_in = given;
                Ok(self)
            }
            Self::Redis(_) | Self::Embedded(_) | Self::Memory | Self::Memcached(_) | Self::Tarantool(_) => {
                Err(StoreUrlError::NoSentinels)
            }
        }
    }

    /// The kind of the store, as its connector names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Memory => "memory",
            Self::Redis(_) => "redis",
            Self::Memcached(_) => "memcached",
            Self::Tarantool(_) => "tarantool",
        }
    }

    /// Whether the store is inside this process: two roles with the same URL then share it.
    pub fn is_in_process(&self) -> bool {
        match self {
            Self::Embedded(_) | Self::Memory => true,
            Self::Redis(_) | Self::Memcached(_) | Self::Tarantool(_) => false,
        }
    }

    /// Whether the store keeps values for good. Another one is only a cache.
    pub fn is_persistent(&self) -> bool {
        match self {
            Self::Embedded(_) | Self::Memory | Self::Redis(_) | Self::Tarantool(_) => true,
            Self::Memcached(_) => false,
        }
    }

    /// Whether the store has no transaction over all its keys.
    pub fn is_cluster(&self) -> bool {
        matches!(self, Self::Redis(RedisTarget { address: RedisAddress::Cluster(_), .. }))
    }

    /// The place according to the URL alone, without a password or certificates from files.
    pub fn without_files(&self) -> Self {
        match self {
            Self::Redis(target) => {
                let mut target = target.clone();
                target.password = target.password.filter(|password| matches!(password, Password::Given(_)));
                target.tls = target.tls.map(|_| TlsTarget::default());
                if let RedisAddress::Sentinel { log_in, .. } = &mut target.address {
                    *log_in = SentinelLogIn::default();
                }
                Self::Redis(target)
            }
            Self::Tarantool(target) => {
                let mut target = target.clone();
                target.password = target.password.filter(|password| matches!(password, Password::Given(_)));
                Self::Tarantool(target)
            }
            Self::Embedded(_) | Self::Memory | Self::Memcached(_) => self.clone(),
        }
    }

    /// Whether there is a user without a password, who cannot log in.
    pub fn lacks_password(&self) -> bool {
        match self {
            Self::Redis(target) => target.username.is_some() && target.password.is_none(),
            Self::Tarantool(target) => target.password.is_none(),
            Self::Embedded(_) | Self::Memory | Self::Memcached(_) => false,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let (scheme, rest) = text.split_once(':').ok_or(StoreUrlError::UnknownScheme)?;
        match scheme {
            "embedded" if rest.is_empty() || rest.starts_with("//") || rest.contains('\0') => {
                Err(StoreUrlError::EmbeddedPath)
            }
            "embedded" => Ok(Self::Embedded(rest.into())),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err(StoreUrlError::MemoryArgument),
            "memcached" => memcached(rest).map(Self::Memcached),
            "tarantool" => TarantoolTarget::parse(rest).map(Self::Tarantool),
            "redis" => RedisTarget::tcp(text, None).map(Self::Redis),
            "rediss" => RedisTarget::tcp(text, Some(TlsTarget::default())).map(Self::Redis),
            "redis+unix" => RedisTarget::unix(rest).map(Self::Redis),
            "redis+cluster" => RedisTarget::cluster(rest, None).map(Self::Redis),
            "rediss+cluster" => RedisTarget::cluster(rest, Some(TlsTarget::default())).map(Self::Redis),
            "redis+sentinel" => RedisTarget::sentinel(rest, None).map(Self::Redis),
            "rediss+sentinel" => RedisTarget::sentinel(rest, Some(TlsTarget::default())).map(Self::Redis),
            _ => Err(StoreUrlError::UnknownScheme),
        }
    }
}

/// The servers of a URL after `memcached:`.
fn memcached(rest: &str) -> Result<Vec<HostAndPort>, StoreUrlError> {
    let refused = StoreUrlError::Memcached;
    let hosts = rest.strip_prefix("//").filter(|hosts| !hosts.contains('@')).ok_or(refused)?;
    let hosts = hosts.strip_suffix('/').unwrap_or(hosts);
    let (_, servers) = log_in_and_hosts(hosts, MEMCACHED_PORT, refused)?;
    let is_twice =
        |(at, server): (usize, &HostAndPort)| servers.iter().skip(at + 1).any(|other| other == server);
    if servers.iter().enumerate().any(is_twice) { Err(refused) } else { Ok(servers) }
}

/// As it was written, but with the password hidden: `redis://user:***@host:6379/0`.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Redis(target) => target.fmt(f),
            Self::Memcached(servers) => write!(f, "memcached://{}", list(servers)),
            Self::Tarantool(target) => target.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
