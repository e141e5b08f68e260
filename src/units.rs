//! The notation of values in settings, and the range of each: durations as `"250ms"`, sizes as `"64KiB"`.
//!
//! Every part owns its settings struct. It names one of these functions in `#[serde(deserialize_with = "…")]`, with the
//! range that it supports. The fields are then plain `Duration`s and `usize`s within that range. This module imports no
//! other part, so every part can use it.

mod rate;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::de::{Deserialize, Deserializer, Error};

pub use rate::{Rate, rate};

/// Sizes in bytes, for ranges.
pub const KIB: usize = 1 << 10;
/// See [`KIB`].
pub const MIB: usize = 1 << 20;

/// Durations in milliseconds, for ranges.
pub const SECOND: u64 = 1_000;
/// See [`SECOND`].
pub const MINUTE: u64 = 60 * SECOND;
/// See [`SECOND`].
pub const HOUR: u64 = 60 * MINUTE;
/// See [`SECOND`].
pub const DAY: u64 = 24 * HOUR;

/// Buckets of every duration histogram, in seconds: from the fastest call to the longest wait. The promised times are among
/// them, so that an answer just within its promise is not taken for one beyond it.
pub const LATENCY_BUCKETS: [f64; 18] = [
    50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 600e-3,
    1.0, 2.5, 5.0, 10.0,
];

/// The whole milliseconds of a duration.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number as 64 bits, which no `usize` exceeds on any platform of Rust.
pub fn as_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A duration such as `"250ms"` or `"1h 30m"`, from `MIN` to `MAX` milliseconds.
pub fn duration<'de, D, const MIN: u64, const MAX: u64>(input: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    parsed(input, |text| {
        let value = humantime::parse_duration(text)
            .map_err(|_| format!("expected a duration such as \"250ms\", got {}", quoted(text)))?;
        let (min, max) = (Duration::from_millis(MIN), Duration::from_millis(MAX));
        if (min..=max).contains(&value) {
            return Ok(value);
        }
        let (min, max) = (written(min), written(max));
        Err(format!("must be from \"{min}\" to \"{max}\", got {}", quoted(text)))
    })
}

/// A size such as `"64KiB"`, from `MIN` to `MAX` bytes.
pub fn size<'de, D, const MIN: usize, const MAX: usize>(input: D) -> Result<usize, D::Error>
where
    D: Deserializer<'de>,
{
    parsed(input, |text| {
        let bytes: ByteSize =
            text.parse().map_err(|_| format!("expected a size such as \"64KiB\", got {}", quoted(text)))?;
        match usize::try_from(bytes.as_u64()) {
            Ok(value) if (MIN..=MAX).contains(&value) => Ok(value),
            Ok(_) | Err(_) => {
                let (min, max) = (ByteSize(MIN as u64), ByteSize(MAX as u64));
                Err(format!("must be from \"{min}\" to \"{max}\", got {}", quoted(text)))
            }
        }
    })
}

/// An integer from `MIN` to `MAX`.
pub fn count<'de, D, const MIN: usize, const MAX: usize>(input: D) -> Result<usize, D::Error>
where
    D: Deserializer<'de>,
{
    let number = i64::deserialize(input)?;
    usize::try_from(number)
        .ok()
        .filter(|value| (MIN..=MAX).contains(value))
        .ok_or_else(|| Error::custom(format!("must be from {MIN} to {MAX}, got {number}")))
}

/// A share of a whole, from 0.0 to 1.0.
pub fn share<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(input)?;
    let refused = || Error::custom(format!("must be from 0.0 to 1.0, got {share}"));
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(refused()) }
}

/// Replaces a secret where settings are shown. It is not accepted as a secret itself: a file made from such output
/// would otherwise open the service to everyone with this string.
pub const HIDDEN: &str = "***";

/// The error for [`HIDDEN`] in place of a secret.
pub const HIDDEN_IS_NO_SECRET: &str = "*** stands for a secret that is not shown; put the secret itself here";

/// A secret, not empty and not [`HIDDEN`]. An error never shows it.
pub fn secret<'de, D: Deserializer<'de>>(input: D) -> Result<SecretString, D::Error> {
    let text = not_empty(input)?;
    if text == HIDDEN { Err(Error::custom(HIDDEN_IS_NO_SECRET)) } else { Ok(text.into()) }
}

/// A secret; `""` means `None`.
pub fn secret_or_none<'de, D: Deserializer<'de>>(input: D) -> Result<Option<SecretString>, D::Error> {
    parsed_unless_empty(input, |text| {
        if text == HIDDEN { Err(HIDDEN_IS_NO_SECRET) } else { Ok(SecretString::from(text)) }
    })
}

/// A string, not empty.
pub fn not_empty<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    parsed(input, |text| if text.is_empty() { Err("must not be empty") } else { Ok(text.to_owned()) })
}

/// A path; `""` means `None`.
pub fn path<'de, D: Deserializer<'de>>(input: D) -> Result<Option<PathBuf>, D::Error> {
    parsed_unless_empty(input, |text| Ok::<_, String>(PathBuf::from(text)))
}

/// A value that `parse` makes from a string.
pub fn parsed<'de, D, T, E>(input: D, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    parse(&String::deserialize(input)?).map_err(Error::custom)
}

/// A value that `parse` makes from a string; `""` means `None`.
pub fn parsed_unless_empty<'de, D, T, E>(
    input: D,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    E: Display,
{
    parsed(input, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
}

/// A duration as settings write it: `600ms`, `1m`.
pub fn written(value: Duration) -> impl Display {
    humantime::format_duration(value)
}

/// The given text, for an error message: quoted, escaped, and cut if it is long.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use proptest::prelude::*;
    use rstest::rstest;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as Refused, I64Deserializer, StrDeserializer};

    use super::*;

    #[test]
    fn the_promised_times_are_bounds_of_the_histograms() {
        for promise in [0.1, 0.6] {
            assert!(LATENCY_BUCKETS.contains(&promise), "{promise}");
        }
        assert!(LATENCY_BUCKETS.is_sorted());
    }

    fn text(text: &str) -> StrDeserializer<'_, Refused> {
        text.into_deserializer()
    }

    /// The value, or the message.
    fn outcome<T: Debug>(result: Result<T, Refused>) -> String {
        result.map_or_else(|error| error.to_string(), |value| format!("{value:?}"))
    }

    #[rstest]
    #[case::shortest("1ms", "1ms")]
    #[case::longest("1m", "60s")]
    #[case::compound("1s 5ms", "1.005s")]
    #[case::too_short("999us", r#"must be from "1ms" to "1m", got "999us""#)]
    #[case::zero("0s", r#"must be from "1ms" to "1m", got "0s""#)]
    #[case::too_long("60001ms", r#"must be from "1ms" to "1m", got "60001ms""#)]
    #[case::no_unit("5", r#"expected a duration such as "250ms", got "5""#)]
    #[case::word("fast", r#"expected a duration such as "250ms", got "fast""#)]
    #[case::negative("-1s", r#"expected a duration such as "250ms", got "-1s""#)]
    #[case::empty("", r#"expected a duration such as "250ms", got """#)]
    fn a_duration_has_a_unit_and_a_range(#[case] given: &str, #[case] expected: &str) {
        assert_eq!(outcome(duration::<_, 1, MINUTE>(text(given))), expected);
    }

    #[rstest]
    #[case::smallest("1KiB", "1024")]
    #[case::largest("1MiB", "1048576")]
    #[case::bytes("2048", "2048")]
    #[case::decimal_unit("2kB", "2000")]
    #[case::too_small("1023", r#"must be from "1.0 KiB" to "1.0 MiB", got "1023""#)]
    #[case::too_large("1048577B", r#"must be from "1.0 KiB" to "1.0 MiB", got "1048577B""#)]
    #[case::beyond_u64("99999999999EiB", r#"must be from "1.0 KiB" to "1.0 MiB", got "99999999999EiB""#)]
    #[case::word("big", r#"expected a size such as "64KiB", got "big""#)]
    #[case::negative("-1KiB", r#"expected a size such as "64KiB", got "-1KiB""#)]
    fn a_size_has_a_range(#[case] given: &str, #[case] expected: &str) {
        assert_eq!(outcome(size::<_, KIB, MIB>(text(given))), expected);
    }

    #[rstest]
    #[case::least(1, "1")]
    #[case::most(10, "10")]
    #[case::too_few(0, "must be from 1 to 10, got 0")]
    #[case::too_many(11, "must be from 1 to 10, got 11")]
    #[case::negative(-1, "must be from 1 to 10, got -1")]
    fn a_count_has_a_range(#[case] given: i64, #[case] expected: &str) {
        let input: I64Deserializer<Refused> = given.into_deserializer();
        assert_eq!(outcome(count::<_, 1, 10>(input)), expected);
    }

    #[test]
    fn a_secret_is_not_empty_and_not_shown() {
        assert_eq!(outcome(secret(text(""))), "must not be empty");
        assert!(!outcome(secret(text("hunter2"))).contains("hunter2"));
    }

    #[test]
    fn an_empty_path_is_no_path() {
        assert_eq!(path(text("")), Ok(None));
        assert_eq!(path(text("a b")), Ok(Some(PathBuf::from("a b"))));
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(quoted(&"é".repeat(41)), format!("\"{}\"…", "é".repeat(40)));
        assert_eq!(quoted(&"é".repeat(40)), format!("\"{}\"", "é".repeat(40)));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(given in "\\PC*|[0-9.]{1,30}[a-zA-Z]{0,4}") {
            let _ = duration::<_, 0, DAY>(text(&given));
            let _ = size::<_, 0, MIB>(text(&given));
        }
    }
}
