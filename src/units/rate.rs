//! How often something may happen: `"100/s"`, `"100/s burst 200"`.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::de::Deserializer;

use super::{parsed_unless_empty, quoted};

/// A maximum number in a period, and in a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number allowed in each [`period`](Self::period), spread evenly.
    pub count: NonZeroU32,
    /// 1 s, 1 min or 1 h.
    pub period: Duration,
    /// The number allowed at once after a pause; by default the number allowed in a period.
    pub burst: NonZeroU32,
}

/// A rate such as `"100/s"`, `"6000/m"` or `"100/s burst 200"`; `""` means `None`.
pub fn rate<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Rate>, D::Error> {
    parsed_unless_empty(input, |text| {
        parse(text).ok_or_else(|| {
            let expected = "expected a rate such as \"100/s\" or \"100/s burst 200\"";
            format!("{expected}, with a burst that takes 30 days at most to build up, got {}", quoted(text))
        })
    })
}

/// 30 days.
const LONGEST_BURST_SECONDS: u64 = 30 * 24 * 3600;

fn parse(text: &str) -> Option<Rate> {
    let (rate, burst) = match text.split_once(" burst ") {
        Some((rate, burst)) => (rate, Some(burst.parse().ok()?)),
        None => (text, None),
    };
    let (count, unit) = rate.split_once('/')?;
    let count: NonZeroU32 = count.parse().ok()?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let rate = Rate { count, period: Duration::from_secs(seconds), burst: burst.unwrap_or(count) };
    // Longer bursts are of no use, and the longest would overflow the counting.
    let builds_up = u64::from(rate.burst.get()) * seconds / u64::from(count.get());
    (builds_up <= LONGEST_BURST_SECONDS).then_some(rate)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::a_second("100/s", Some((100, 1, 100)))]
    #[case::a_minute("5/m", Some((5, 60, 5)))]
    #[case::an_hour("5/h", Some((5, 3600, 5)))]
    #[case::burst("100/s burst 7", Some((100, 1, 7)))]
    #[case::thirty_days("1/h burst 720", Some((1, 3600, 720)))]
    #[case::longer("1/h burst 721", None)]
    #[case::longer_than_can_be_counted("1/h burst 4294967295", None)]
    #[case::none("0/s", None)]
    #[case::no_burst("1/s burst 0", None)]
    #[case::no_unit("100", None)]
    #[case::other_unit("100/d", None)]
    #[case::negative("-1/s", None)]
    #[case::fraction("0.5/s", None)]
    #[case::too_many("4294967296/s", None)]
    #[case::blanks("100 / s", None)]
    fn a_rate_is_a_count_a_unit_and_perhaps_a_burst(
        #[case] given: &str,
        #[case] expected: Option<(u32, u64, u32)>,
    ) {
        let rate = parse(given).map(|rate| (rate.count.get(), rate.period.as_secs(), rate.burst.get()));
        assert_eq!(rate, expected);
    }
}
