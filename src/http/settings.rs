//! Settings of the two listeners.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::units::{self, HOUR, KIB, MIB, MINUTE, SECOND, parsed, parsed_unless_empty, quoted};

/// The largest `http.body_limit`.
const LARGEST_BODY: usize = 64 * MIB;
/// Maximum time to receive a head or a body, in milliseconds.
const LONGEST_READ: u64 = 10 * MINUTE;
/// The shortest `admin.liveness_patience`, in milliseconds. Actors give a sign of life four times a second.
const SHORTEST_PATIENCE: u64 = 2 * SECOND;

/// `[http]`: the public listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// `127.0.0.1:8080` by default. Port 0 picks a free one.
    #[serde(deserialize_with = "address")]
    pub bind: SocketAddr,
    /// Worker threads, 1 to 1024; by default as many as the process may use cores.
    #[serde(deserialize_with = "workers")]
    pub workers: usize,
    /// Largest request body in bytes, 1 KiB to 64 MiB; 256 KiB by default.
    #[serde(deserialize_with = "units::size::<_, KIB, LARGEST_BODY>")]
    pub body_limit: usize,
    /// Time to receive a request's head, 1 ms to 10 min; 5 s by default.
    #[serde(deserialize_with = "units::duration::<_, 1, LONGEST_READ>")]
    pub head_timeout: Duration,
    /// Time to receive a request's body, 1 ms to 10 min; 10 s by default.
    #[serde(deserialize_with = "units::duration::<_, 1, LONGEST_READ>")]
    pub body_timeout: Duration,
    /// Time that an idle connection is kept, 1 s to 1 h; 75 s by default.
    #[serde(deserialize_with = "units::duration::<_, SECOND, HOUR>")]
    pub keep_alive: Duration,
    /// Maximum open connections, up to 1,000,000; 0, the default, is 10,000. A number that the limit on open files
    /// does not allow is lowered.
    #[serde(deserialize_with = "units::count::<_, 0, 1_000_000>")]
    pub max_connections: usize,
    /// Proxies whose `X-Forwarded-For` is trusted; an empty list by default.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// TLS, off by default.
    pub tls: TlsSettings,
}

/// `[http.tls]`: both files or neither.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file with the certificate chain.
    #[serde(deserialize_with = "units::path")]
    pub cert: Option<PathBuf>,
    /// PEM file with the private key.
    #[serde(deserialize_with = "units::path")]
    pub key: Option<PathBuf>,
}

/// `[admin]`: the operators' listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// `127.0.0.1:8081` by default; an empty value turns the listener off.
    #[serde(deserialize_with = "address_or_off")]
    pub bind: Option<SocketAddr>,
    /// How long a worker's thread may be blocked before the process counts as dead, 2 s to 1 h; 30 s by default.
    #[serde(deserialize_with = "units::duration::<_, SHORTEST_PATIENCE, HOUR>")]
    pub liveness_patience: Duration,
}

fn address<'de, D: Deserializer<'de>>(input: D) -> Result<SocketAddr, D::Error> {
    parsed(input, parse_address)
}

fn address_or_off<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SocketAddr>, D::Error> {
    parsed_unless_empty(input, parse_address)
}

/// Only `localhost` is looked up as a name, because the validity of a configuration must not depend on a DNS server.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let refused = || format!("expected an address such as \"127.0.0.1:8080\", got {}", quoted(text));
    match text.strip_prefix("localhost:") {
        Some(port) => port.parse().map(|port| (Ipv4Addr::LOCALHOST, port).into()).map_err(|_| refused()),
        None => text.parse().map_err(|_| refused()),
    }
}

/// A list with commas, because environment variables have no other lists. A single address is a network of one.
fn networks<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<IpNet>, D::Error> {
    parsed(input, |text| {
        let words = text.split(',').map(str::trim).filter(|_| !text.is_empty());
        words
            .map(|word| {
                let network = word.parse().or_else(|_| word.parse::<IpAddr>().map(IpNet::from));
                network.map_err(|_| {
                    format!("expected networks such as \"10.0.0.0/8, 127.0.0.1\", got {}", quoted(word))
                })
            })
            .collect::<Result<_, _>>()
    })
}

fn workers<'de, D: Deserializer<'de>>(input: D) -> Result<usize, D::Error> {
    match units::count::<_, 0, 1024>(input)? {
        // Honours CPU affinity and cgroup quotas, so a container gets as many workers as it has cores.
        0 => Ok(thread::available_parallelism().map_or(1, usize::from)),
        given => Ok(given),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::ipv4("127.0.0.1:8080", Some("127.0.0.1:8080"))]
    #[case::ipv6("[::1]:8080", Some("[::1]:8080"))]
    #[case::any_port("0.0.0.0:0", Some("0.0.0.0:0"))]
    #[case::localhost("localhost:80", Some("127.0.0.1:80"))]
    #[case::other_name("example.com:80", None)]
    #[case::no_port("127.0.0.1", None)]
    #[case::localhost_without_a_port("localhost", None)]
    #[case::port_too_large("localhost:65536", None)]
    #[case::bare_ipv6("::1:80:x", None)]
    fn an_address_is_a_literal_or_localhost(#[case] given: &str, #[case] expected: Option<&str>) {
        let address = parse_address(given).ok().map(|address| address.to_string());
        assert_eq!(address.as_deref(), expected);
    }
}
