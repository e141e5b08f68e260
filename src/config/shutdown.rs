//! Settings of the service's stop.

use std::time::Duration;

use serde::Deserialize;

use crate::units::{self, MINUTE, SECOND};

/// Maximum time of one step of a stop, in milliseconds.
const LONGEST_STEP: u64 = 10 * MINUTE;

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
