//! Settings of the store's two roles: persistent data, and the cache.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde::{Deserialize, Deserializer};

use crate::store::url::{SentinelLogIn, StoreUrl, StoreUrlError, TlsTarget};
use crate::units::{self, DAY, MINUTE, SECOND, parsed, parsed_unless_empty};

/// The longest `store.deadline`, in milliseconds.
const LONGEST_DEADLINE: u64 = 5 * MINUTE;
/// The longest `cache.ttl`, in milliseconds.
const LONGEST_TTL: u64 = 30 * DAY;

/// `[store]`: the persistent store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The URL of the store, and its password; `embedded:data/scoring.redb` by default.
    #[serde(deserialize_with = "url")]
    pub url: StoreUrl,
    /// The file with the password, unless the URL contains it; read again at each connect.
    #[serde(deserialize_with = "units::path")]
    pub password_file: Option<PathBuf>,
    /// The user of the sentinels of `redis+sentinel://`; Redis' own `default` by default.
    #[serde(deserialize_with = "text_or_none")]
    pub sentinel_user: Option<String>,
    /// The file with the sentinels' password; read again at each connect.
    #[serde(deserialize_with = "units::path")]
    pub sentinel_password_file: Option<PathBuf>,
    /// PEM file with the only issuers to trust for `rediss://`; the system's by default. Read again at each connect, as
    /// are the other two.
    #[serde(deserialize_with = "units::path")]
    pub tls_ca: Option<PathBuf>,
    /// The name in the servers' certificates; the host of the URL by default.
    #[serde(deserialize_with = "name_or_none")]
    pub tls_name: Option<String>,
    /// PEM file with this service's certificate, if the server demands one.
    #[serde(deserialize_with = "units::path")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[serde(deserialize_with = "units::path")]
    pub tls_key: Option<PathBuf>,
    /// Time for one try, 1 ms to 1 min; 150 ms by default.
    #[serde(deserialize_with = "units::duration::<_, 1, MINUTE>")]
    pub timeout: Duration,
    /// Tries for one read, 1 to 10; 3 by default.
    #[serde(deserialize_with = "units::count::<_, 1, 10>")]
    pub attempts: usize,
    /// Time for all tries, 1 ms to 5 min and at least `timeout`; 600 ms by default.
    #[serde(deserialize_with = "units::duration::<_, 1, LONGEST_DEADLINE>")]
    pub deadline: Duration,
    /// Time to connect, 1 ms to 1 min; 300 ms by default.
    #[serde(deserialize_with = "units::duration::<_, 1, MINUTE>")]
    pub connect_timeout: Duration,
}

/// `[cache]`: scores that were computed before.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    /// The URL of the cache, and its password; empty by default, which means the same place as the store.
    #[serde(deserialize_with = "url_or_none")]
    pub url: Option<StoreUrl>,
    /// The file with the password, unless the URL contains it; read again at each connect.
    #[serde(deserialize_with = "units::path")]
    pub password_file: Option<PathBuf>,
    /// The user of the sentinels of `redis+sentinel://`; Redis' own `default` by default.
    #[serde(deserialize_with = "text_or_none")]
    pub sentinel_user: Option<String>,
    /// The file with the sentinels' password; read again at each connect.
    #[serde(deserialize_with = "units::path")]
    pub sentinel_password_file: Option<PathBuf>,
    /// PEM file with the only issuers to trust for `rediss://`; the system's by default. Read again at each connect, as
    /// are the other two.
    #[serde(deserialize_with = "units::path")]
    pub tls_ca: Option<PathBuf>,
    /// The name in the servers' certificates; the host of the URL by default.
    #[serde(deserialize_with = "name_or_none")]
    pub tls_name: Option<String>,
    /// PEM file with this service's certificate, if the server demands one.
    #[serde(deserialize_with = "units::path")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    #[serde(deserialize_with = "units::path")]
    pub tls_key: Option<PathBuf>,
    /// Time for the one try, 1 ms to 1 min; 100 ms by default.
    #[serde(deserialize_with = "units::duration::<_, 1, MINUTE>")]
    pub timeout: Duration,
    /// How long a score is kept, 1 s to 30 d; 1 h by default.
    #[serde(deserialize_with = "units::duration::<_, SECOND, LONGEST_TTL>")]
    pub ttl: Duration,
    /// Maximum entries of a cache inside this process, 1 to 10,000,000; 100,000 by default.
    #[serde(deserialize_with = "units::count::<_, 1, 10_000_000>")]
    pub capacity: usize,
    /// Maximum scores in the near cache, up to 10,000,000; 0, the default, turns it off.
    #[serde(deserialize_with = "units::count::<_, 0, 10_000_000>")]
    pub near_capacity: usize,
    /// Time to connect, 1 ms to 1 min; 300 ms by default.
    #[serde(deserialize_with = "units::duration::<_, 1, MINUTE>")]
    pub connect_timeout: Duration,
}

// ===== impls =====

impl StoreSettings {
    /// The settings of TLS; `None` if none is set.
    pub fn tls(&self) -> Option<TlsTarget> {
        tls(&self.tls_ca, &self.tls_name, &self.tls_cert, &self.tls_key)
    }

    /// The log-in of sentinels; `None` if it is not set.
    pub fn sentinel_log_in(&self) -> Option<SentinelLogIn> {
        sentinel_log_in(&self.sentinel_user, &self.sentinel_password_file)
    }
}

impl CacheSettings {
    /// As [`StoreSettings::tls`].
    pub fn tls(&self) -> Option<TlsTarget> {
        tls(&self.tls_ca, &self.tls_name, &self.tls_cert, &self.tls_key)
    }

    /// The log-in of sentinels; `None` if it is not set.
    pub fn sentinel_log_in(&self) -> Option<SentinelLogIn> {
        sentinel_log_in(&self.sentinel_user, &self.sentinel_password_file)
    }
}

fn sentinel_log_in(username: &Option<String>, password: &Option<PathBuf>) -> Option<SentinelLogIn> {
    let log_in = SentinelLogIn { username: username.clone(), password: password.clone() };
    Some(log_in).filter(|log_in| *log_in != SentinelLogIn::default())
}

fn tls(
    ca: &Option<PathBuf>,
    name: &Option<String>,
    cert: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Option<TlsTarget> {
    let tls = TlsTarget { ca: ca.clone(), name: name.clone(), cert_and_key: cert.clone().zip(key.clone()) };
    Some(tls).filter(|tls| *tls != TlsTarget::default())
}

fn url<'de, D: Deserializer<'de>>(input: D) -> Result<StoreUrl, D::Error> {
    parsed(input, str::parse)
}

fn url_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<StoreUrl>, D::Error> {
    parsed_unless_empty(input, str::parse)
}

fn name_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    parsed_unless_empty(input, |name| match ServerName::try_from(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => Err(StoreUrlError::TlsName),
    })
}

fn text_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    parsed_unless_empty(input, |text| Ok::<_, StoreUrlError>(text.to_owned()))
}
