//! Tarantool: one server.

use std::fmt;
use std::sync::Arc;

use super::StoreUrlError;
use super::parts::{HostAndPort, Password, log_in, log_in_and_hosts, shown_log_in};

const PORT: u16 = 3301;

/// The module of `deploy/tarantool/scoring.lua`, by its own name.
const MODULE: &str = "scoring";

/// A Tarantool server, and the log-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarantoolTarget {
    /// Its address.
    pub place: HostAndPort,
    /// The user, who may call the module's functions.
    pub username: String,
    /// The password, unless its file is not known yet.
    pub password: Option<Password>,
    /// The module whose functions are called; `scoring` by default.
    pub module: Arc<str>,
}

// ===== impl TarantoolTarget =====

impl TarantoolTarget {
    /// From the rest of a URL after `tarantool:`.
    pub(super) fn parse(rest: &str) -> Result<Self, StoreUrlError> {
        let refused = StoreUrlError::Tarantool;
        let rest = rest.strip_prefix("//").ok_or(refused)?;
        let (authority, module) = rest.split_once('/').unwrap_or((rest, ""));
        let (url, places) = log_in_and_hosts(authority, PORT, refused)?;
        let (username, password) = log_in(&url)?;
        let mut places = places.into_iter();
        let (Some(place), None) = (places.next(), places.next()) else { return Err(refused) };
        let module = if module.is_empty() { MODULE } else { module };
        let is_name = module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !module.starts_with(|c: char| c.is_ascii_digit());
        if !is_name {
            return Err(refused);
        }
        Ok(Self { place, username: username.ok_or(refused)?, password, module: module.into() })
    }
}

impl fmt::Display for TarantoolTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log_in = shown_log_in(Some(&self.username), self.password.is_some());
        write!(f, "tarantool://{log_in}{}/{}", self.place, self.module)
    }
}
