//! The parts of the URL of a server: the log-in, hosts, and percent-encoding.

use std::fmt;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::StoreUrlError;

/// The password of a user of a server, or its place.
#[derive(Debug, Clone)]
pub enum Password {
    /// This one.
    Given(SecretString),
    /// The contents of this file, read again at each connect, so that a rotation needs no restart.
    File(PathBuf),
}

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAndPort {
    /// A name or an IP address, an IPv6 one without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

// ===== impl Password =====

impl PartialEq for Password {
    /// Not in constant time, which is fine: both sides belong to the operator.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Given(one), Self::Given(other)) => one.expose_secret() == other.expose_secret(),
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Given(_), Self::File(_)) | (Self::File(_), Self::Given(_)) => false,
        }
    }
}

impl Eq for Password {}

// ===== impl HostAndPort =====

impl HostAndPort {
    pub(super) fn of(url: &Url, usual_port: u16) -> Option<Self> {
        let host = match url.host()? {
            // The URL standard does not know this scheme, so it allows any character in a host.
            Host::Domain(name) if !name.is_empty() && name.chars().all(is_host_char) => name.to_owned(),
            Host::Domain(_) => return None,
            Host::Ipv6(address) => address.to_string(),
            Host::Ipv4(address) => address.to_string(),
        };
        Some(Self { host, port: url.port().unwrap_or(usual_port) }).filter(|place| place.port != 0)
    }
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The addresses, with commas.
pub(in crate::store) fn list(hosts: &[HostAndPort]) -> String {
    hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

// ===== log-in =====

/// The user and the password of a URL.
pub(super) fn log_in(url: &Url) -> Result<(Option<String>, Option<Password>), StoreUrlError> {
    let username = Some(url.username()).filter(|name| !name.is_empty()).map(decoded).transpose()?;
    let password = url.password().filter(|password| !password.is_empty()).map(decoded).transpose()?;
    Ok((username, password.map(|password| Password::Given(password.into()))))
}

/// The log-in as it is shown, with the password hidden.
pub(super) fn shown_log_in(username: Option<&str>, has_password: bool) -> String {
    let user = encoded(username.unwrap_or_default()).replace('/', "%2F");
    match (username, has_password) {
        (None, false) => user,
        (Some(_), false) => user + "@",
        (_, true) => user + ":***@",
    }
}

// ===== text =====

/// From `[[user]:password@]host[:port][,host[:port]…]` to a URL with the user and the password, and the hosts.
pub(super) fn log_in_and_hosts(
    authority: &str,
    usual_port: u16,
    refused: StoreUrlError,
) -> Result<(Url, Vec<HostAndPort>), StoreUrlError> {
    let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    // Each host with a log-in of its own is a misunderstanding.
    if login.contains('@') {
        return Err(refused);
    }
    let hosts = hosts.split(',').map(|host| {
        let url = parse(&format!("redis://{host}"), refused)?;
        let is_alone = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
        HostAndPort::of(&url, usual_port).filter(|_| is_alone && url.query().is_none()).ok_or(refused)
    });
    let hosts = hosts.collect::<Result<_, _>>()?;
    // The parser of URLs knows no list of hosts, so it gets one.
    Ok((parse(&format!("redis://{login}@localhost"), refused)?, hosts))
}

pub(super) fn parse(text: &str, refused: StoreUrlError) -> Result<Url, StoreUrlError> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(StoreUrlError::Blank);
    }
    let url = Url::parse(text).map_err(|_| refused)?;
    if url.fragment().is_some() { Err(refused) } else { Ok(url) }
}

pub(super) fn is_host_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

pub(super) fn database(number: &str) -> Result<i64, StoreUrlError> {
    // `parse` alone would accept a sign.
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(StoreUrlError::Database);
    }
    number.parse().map_err(|_| StoreUrlError::Database)
}

/// Percent-encodes every character that may not stand in a path.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Decodes percent-encoding, strictly: a password with a stray `%` is more likely a mistake than intended.
pub(super) fn decoded(text: &str) -> Result<String, StoreUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(StoreUrlError::Encoding);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (digit(rest.next())? * 16 + digit(rest.next())?) as u8,
            _ => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| StoreUrlError::Encoding)
}
