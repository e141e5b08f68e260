//! Settings of one process' limits.

use serde::Deserialize;

use crate::units::{self, KIB, MIB, Rate};

/// The largest `limits.body_memory`.
const MOST_BODIES: usize = 65_536 * MIB;

/// `[limits]`: the limits of one process.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Maximum calls in flight, 1 to 1,000,000; 1024 by default.
    #[serde(deserialize_with = "units::count::<_, 1, 1_000_000>")]
    pub max_in_flight: usize,
    /// Maximum ids in one `clients_interests` call, 1 to 1,000,000; 10,000 by default.
    #[serde(deserialize_with = "units::count::<_, 1, 1_000_000>")]
    pub client_ids: usize,
    /// Maximum bytes of all bodies together, 1 KiB to 64 GiB and at least `http.body_limit`; 256 MiB by default.
    #[serde(deserialize_with = "units::size::<_, KIB, MOST_BODIES>")]
    pub body_memory: usize,
    /// How often one account may call; not limited by default.
    #[serde(deserialize_with = "units::rate")]
    pub account_rate: Option<Rate>,
    /// How often one client address may call; not limited by default.
    #[serde(deserialize_with = "units::rate")]
    pub address_rate: Option<Rate>,
}

#[cfg(test)]
impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            max_in_flight: 10,
            client_ids: 10,
            body_memory: 64 * KIB,
            account_rate: None,
            address_rate: None,
        }
    }
}
