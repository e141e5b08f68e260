//! The times of the report.

use std::{fmt, time::SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A time of the wall clock; in JSON with milliseconds, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub DateTime<Utc>);

// ===== impl Time =====

impl Time {
    /// The seconds from `earlier` to this time; 0 if the wall clock stepped back in between.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from((self.0 - earlier.0).num_seconds()).unwrap_or(0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(|_| D::Error::custom("expected a time"))?;
        Ok(Self(time.to_utc()))
    }
}

impl From<DateTime<Utc>> for Time {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time)
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Self {
        Self(time.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        let time: Time = serde_json::from_str(r#""2026-11-29T13:24:28.125Z""#).unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), r#""2026-11-29T13:24:28.125Z""#);
        assert!(serde_json::from_str::<Time>(r#""yesterday""#).is_err());
    }

    /// The wall clock may step back at any time.
    #[test]
    fn a_clock_that_stepped_back_gives_no_negative_time() {
        let [early, late] = ["2026-11-29T13:24:28Z", "2026-11-29T13:25:30Z"]
            .map(|text| Time(DateTime::parse_from_rfc3339(text).unwrap().to_utc()));
        assert_eq!((late.seconds_since(early), early.seconds_since(late)), (62, 0));
    }
}
