//! The wall clock, and the only code that reads it.
//!
//! It is for times that people read or write: the hour of an admin's token, the end of a partner's token, today's
//! date, the time in a header or a report. It may step at any moment, forward or back, so no time is measured with it: time limits, waits and expiry
//! use [`Instant`](std::time::Instant)s. `clippy.toml` keeps other code from reading it by accident.

use chrono::{DateTime, Utc};

/// The current time.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
