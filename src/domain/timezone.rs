//! The time zone of hours and days (`auth.timezone`).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Local, NaiveDateTime, Utc};
use chrono_tz::Tz;

/// `local`, or an IANA name such as `UTC` or `Europe/Berlin`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeZoneChoice {
    /// The machine's time zone.
    #[default]
    Local,
    /// A zone by its IANA name. The rules are compiled in, so the machine does not need them.
    Named(Tz),
}

/// No such time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone {0:?}: must be \"local\", \"UTC\" or an IANA name such as \"Europe/Berlin\"")]
pub struct UnknownTimeZone(String);

impl TimeZoneChoice {
    /// The wall-clock time at `instant`.
    #[must_use]
    pub fn wall_clock(self, instant: DateTime<Utc>) -> NaiveDateTime {
        match self {
            Self::Local => instant.with_timezone(&Local).naive_local(),
            Self::Named(zone) => instant.with_timezone(&zone).naive_local(),
        }
    }
}

impl FromStr for TimeZoneChoice {
    type Err = UnknownTimeZone;

    fn from_str(name: &str) -> Result<Self, UnknownTimeZone> {
        match name {
            "local" => Ok(Self::Local),
            _ => name.parse().map(Self::Named).map_err(|_| UnknownTimeZone(name.to_owned())),
        }
    }
}

impl fmt::Display for TimeZoneChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Named(zone) => f.write_str(zone.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use rstest::rstest;

    #[rstest]
    #[case::local("local")]
    #[case::utc("UTC")]
    #[case::iana("Europe/Berlin")]
    fn is_written_as_it_was_read(#[case] name: &str) {
        assert_eq!(name.parse::<TimeZoneChoice>().unwrap().to_string(), name);
    }

    #[rstest]
    #[case::empty("")]
    #[case::nowhere("Europe/Atlantis")]
    #[case::offset("+03:00")]
    #[case::local_in_capitals("Local")]
    #[case::blank_after("UTC ")]
    fn an_unknown_zone_is_refused_by_name(#[case] name: &str) {
        assert_eq!(name.parse::<TimeZoneChoice>(), Err(UnknownTimeZone(name.to_owned())));
    }

    #[test]
    fn the_wall_clock_follows_summer_time() {
        let berlin: TimeZoneChoice = "Europe/Berlin".parse().unwrap();
        let hour_at = |month| {
            let noon = Utc.with_ymd_and_hms(2024, month, 1, 12, 0, 0).unwrap();
            berlin.wall_clock(noon).format("%H").to_string()
        };
        assert_eq!((hour_at(1), hour_at(7)), ("13".to_owned(), "14".to_owned()));
    }

    #[test]
    fn local_is_the_machines_own_zone() {
        let now = Utc.with_ymd_and_hms(2024, 7, 1, 12, 0, 0).unwrap();
        assert_eq!(TimeZoneChoice::Local.wall_clock(now), now.with_timezone(&Local).naive_local());
    }
}
