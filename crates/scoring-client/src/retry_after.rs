//! `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).

use std::time::{Duration, SystemTime};

/// The wait from `now` on. A past date is no wait; a value that is neither seconds nor a date is ignored.
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    // `parse` alone would accept a plus.
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::seconds("120", Some(120))]
    #[case::at_once("0", Some(0))]
    #[case::date("Sun, 06 Nov 1994 08:49:37 GMT", Some(7))]
    #[case::obsolete_date("Sunday, 06-Nov-94 08:49:37 GMT", Some(7))]
    #[case::date_that_has_passed("Sun, 06 Nov 1994 08:49:29 GMT", Some(0))]
    #[case::negative("-1", None)]
    #[case::plus("+1", None)]
    #[case::fraction("1.5", None)]
    #[case::beyond_numbers("99999999999999999999", None)]
    #[case::word("soon", None)]
    #[case::empty("", None)]
    fn seconds_and_dates_are_read(#[case] value: &str, #[case] seconds: Option<u64>) {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:30 GMT").unwrap();
        assert_eq!(parse(value, now), seconds.map(Duration::from_secs));
    }
}
