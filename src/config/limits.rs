//! Settings of one process' limits, and of its shutdown.

use std::time::Duration;

use serde::Deserialize;

use crate::units::{self, KIB, MIB, MINUTE, Rate, SECOND};

/// The longest step of a stop, in milliseconds.
const LONGEST_STEP: u64 = 10 * MINUTE;

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

/// `[shutdown]`: how the service stops on SIGTERM.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShutdownSettings {
    /// How long the service is unready but still accepts calls, up to 10 min; 5 s by default.
    #[serde(deserialize_with = "units::duration::<_, 0, LONGEST_STEP>")]
    pub grace: Duration,
    /// The time that calls in flight then have to finish, 1 s to 10 min; 20 s by default.
    #[serde(deserialize_with = "units::duration::<_, SECOND, LONGEST_STEP>")]
    pub drain: Duration,
}
