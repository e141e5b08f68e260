//! Numbers, sizes and times as people read them. `page.js` writes them the same way.

use super::model::Time;

/// Stands for a value that there is not.
pub(super) const NOTHING: &str = "–";

/// A whole number, with commas between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number a second.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        _ if rate <= 0.0 => "0".to_owned(),
        _ if rate < 0.05 => "<0.1".to_owned(),
        _ if rate < 9.95 => format!("{rate:.1}"),
        // A rate that no machine reaches would be cut off here.
        _ => count(rate.round() as u64),
    }
}

/// Milliseconds.
pub(super) fn ms(ms: f64) -> String {
    match ms {
        _ if ms < 9.95 => format!("{ms:.1} ms"),
        _ if ms < 999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

/// Milliseconds, if there are any.
pub(super) fn ms_or_nothing(time: Option<f64>) -> String {
    time.map_or_else(|| NOTHING.to_owned(), ms)
}

/// A length of time.
pub(super) fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{minutes} min"),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A size.
pub(super) fn bytes(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        _ => format!("{} MiB", count(bytes / MIB)),
    }
}

/// The time of day in UTC; with the day, if that is not today.
pub(super) fn clock(time: Time, now: Time) -> String {
    let format = if time.0.date_naive() == now.0.date_naive() { "%H:%M:%S" } else { "%m-%d %H:%M:%S" };
    time.0.format(format).to_string()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::zero(0, "0")]
    #[case::hundreds(999, "999")]
    #[case::thousands(10_000, "10,000")]
    #[case::millions(1_234_567, "1,234,567")]
    fn thousands_are_separated(#[case] number: u64, #[case] text: &str) {
        assert_eq!(count(number), text);
    }

    #[rstest]
    #[case::none(0.0, "0")]
    #[case::hardly_any(0.02, "<0.1")]
    #[case::few(0.1, "0.1")]
    #[case::some(9.94, "9.9")]
    #[case::ten(9.96, "10")]
    #[case::many(12_345.6, "12,346")]
    fn a_rate_has_two_digits_or_is_whole(#[case] number: f64, #[case] text: &str) {
        assert_eq!(rate(number), text);
    }

    #[rstest]
    #[case::microseconds(0.04, "0.0 ms")]
    #[case::few(3.44, "3.4 ms")]
    #[case::ten(9.96, "10 ms")]
    #[case::hundreds(249.6, "250 ms")]
    #[case::seconds(1_250.0, "1.2 s")]
    fn a_latency_has_two_digits_or_is_whole(#[case] number: f64, #[case] text: &str) {
        assert_eq!(ms(number), text);
    }

    #[rstest]
    #[case::now(0, "0 s")]
    #[case::seconds(59, "59 s")]
    #[case::minutes(61, "1 min")]
    #[case::hours(3 * 3_600 + 12 * 60, "3 h 12 min")]
    #[case::days(50 * 3_600, "2 d 2 h")]
    fn a_time_has_its_two_greatest_units(#[case] seconds: u64, #[case] text: &str) {
        assert_eq!(span(seconds), text);
    }

    #[rstest]
    #[case::bytes(1_023, "1023 B")]
    #[case::kib(1_024, "1 KiB")]
    #[case::mib(64 << 20, "64 MiB")]
    #[case::gib(2 << 30, "2,048 MiB")]
    fn a_size_has_its_unit(#[case] number: u64, #[case] text: &str) {
        assert_eq!(bytes(number), text);
    }

    #[rstest]
    #[case::today("2026-11-29T01:02:03Z", "01:02:03")]
    #[case::yesterday("2026-11-28T23:59:59Z", "11-28 23:59:59")]
    fn a_time_of_another_day_has_its_day(#[case] time: &str, #[case] text: &str) {
        let [time, now] = [time, "2026-11-29T12:00:00Z"]
            .map(|time| Time(chrono::DateTime::parse_from_rfc3339(time).unwrap().to_utc()));
        assert_eq!(clock(time, now), text);
    }
}
