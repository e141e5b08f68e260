//! The clock on the wall, and the only place that reads it.
//!
//! It says what people mean by now: the hour of an admin's token, today's date, the time in a header or a report. It may
//! step at any moment, ahead or back, so nothing is timed by it: time limits, waits and whatever expires go by
//! [`Instant`](std::time::Instant)s. `clippy.toml` keeps everyone else from reading it by accident.

use chrono::{DateTime, Utc};

/// What it shows.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
