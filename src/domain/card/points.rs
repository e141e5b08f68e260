//! Points: numbers with at most three decimals, which add up exactly.

use std::fmt;
use std::ops::{Add, Sub};

use crate::domain::Score;

/// Points in thousandths. A sum of them does not depend on the order, as a sum of floats would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Points(i64);

/// The most points that a card may contain in one place; sums of them are exact as floats too.
const MOST: i64 = 1_000_000_000;

const DECIMALS: usize = 3;

// ===== impl Points =====

impl Points {
    pub(super) const ZERO: Self = Self(0);

    /// Reads a decimal number as TOML writes it, such as `-1.5`.
    ///
    /// # Errors
    ///
    /// In words that follow the number's name, if it has more than three decimals, an exponent, or is beyond a billion.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const NUMBER: &str = "must be a number such as 12.5";
        let (negative, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (text.starts_with('-'), digits),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(decimals) {
            return Err(NUMBER);
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > DECIMALS {
            return Err("must have at most three decimals");
        }
        let thousandths = format!("{whole}{decimals:0<DECIMALS$}").parse().ok();
        let within = thousandths.filter(|thousandths| *thousandths <= MOST * 1_000);
        let thousandths: i64 = within.ok_or("must be from -1000000000 to 1000000000")?;
        Ok(Self(if negative { -thousandths } else { thousandths }))
    }

    /// The number, to the nearest float.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The score of this many points; a checked card never has fewer than 0.
    pub(super) fn to_score(self) -> Score {
        Score::new(self.to_f64()).unwrap_or_default()
    }
}

impl Add for Points {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Points {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

/// As short as possible: `12`, `12.5`, `-0.001`.
impl fmt::Display for Points {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, decimals) = (self.0.unsigned_abs() / 1000, self.0.unsigned_abs() % 1000);
        let text = if decimals == 0 {
            format!("{sign}{whole}")
        } else {
            format!("{sign}{whole}.{}", format!("{decimals:0>DECIMALS$}").trim_end_matches('0'))
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("-0.0", 0)]
    #[case("12", 12_000)]
    #[case("+1.5", 1_500)]
    #[case("-0.001", -1)]
    #[case("1.1230000", 1_123)]
    #[case("1000000000", 1_000_000_000_000)]
    fn a_decimal_number_is_read_exactly(#[case] text: &str, #[case] thousandths: i64) {
        assert_eq!(Points::parse(text), Ok(Points(thousandths)));
    }

    #[rstest]
    #[case::four_decimals("1.0001")]
    #[case::exponent("1e3")]
    #[case::nan("nan")]
    #[case::infinity("-inf")]
    #[case::empty("")]
    #[case::sign("-")]
    #[case::two_points("1.2.3")]
    #[case::hexadecimal("0x10")]
    #[case::too_many("1000000000.001")]
    #[case::beyond_i64("99999999999999999999999")]
    fn another_number_is_rejected(#[case] text: &str) {
        assert!(Points::parse(text).is_err());
    }

    proptest! {
        #[test]
        fn points_are_read_back_as_they_are_written(thousandths in -MOST * 1000..=MOST * 1000) {
            prop_assert_eq!(Points::parse(&Points(thousandths).to_string()), Ok(Points(thousandths)));
        }
    }
}
