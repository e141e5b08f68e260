//! Dates as clients write them, and ages as people count them.

use chrono::{Datelike, NaiveDate};

use super::fields::{Field, Reason, is_empty_string};
use super::json::Json;

/// Reads `DD.MM.YYYY`: one or two digits of day and month, exactly four of year, ASCII, nothing around them. `None` for
/// another format, or if there is no such day. Years run from 0001 to 9999.
pub(super) fn parse_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.split('.');
    let day = number(parts.next()?, 1..=2)?;
    let month = number(parts.next()?, 1..=2)?;
    let year = number(parts.next()?, 4..=4)?;
    if parts.next().is_some() || year == 0 {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// `str::parse` alone would accept a sign.
fn number(digits: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    let plain = length.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// The day on which a person born on `born` becomes `age`. A birthday on 29 February is on 1 March in other years.
/// `None` beyond the calendar's end.
pub(super) fn anniversary(born: NaiveDate, age: i32) -> Option<NaiveDate> {
    let year = born.year().checked_add(age)?;
    born.with_year(year).or_else(|| NaiveDate::from_ymd_opt(year, 3, 1))
}

/// The age in whole years on `today`; 0 before the day of birth.
pub(super) fn age_in_years(born: NaiveDate, today: NaiveDate) -> u8 {
    let years = today.year() - born.year();
    let is_past = anniversary(born, years).is_none_or(|birthday| birthday <= today);
    let years = if is_past { years } else { years - 1 };
    u8::try_from(years.clamp(0, u8::MAX.into())).unwrap_or_default()
}

impl<C> Field<C> for NaiveDate {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, context: &C) -> Result<Self, Reason> {
        let text = String::parse(raw, context)?;
        parse_date(&text).ok_or_else(|| "must be a date written DD.MM.YYYY".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::as_documented("01.02.2003", (2003, 2, 1))]
    #[case::one_digit_day("1.02.2003", (2003, 2, 1))]
    #[case::one_digit_month("01.2.2003", (2003, 2, 1))]
    #[case::leap_day("29.02.2000", (2000, 2, 29))]
    #[case::first_year("01.01.0001", (1, 1, 1))]
    #[case::last_day("31.12.9999", (9999, 12, 31))]
    fn reads_a_date(#[case] text: &str, #[case] (year, month, day): (i32, u32, u32)) {
        assert_eq!(parse_date(text), NaiveDate::from_ymd_opt(year, month, day));
        assert!(parse_date(text).is_some());
    }

    #[rstest]
    #[case::empty("")]
    #[case::words("XXX")]
    #[case::only_dots("..")]
    #[case::year_missing("01.01")]
    #[case::four_parts("01.01.2000.")]
    #[case::iso("2000-01-01")]
    #[case::slashes("01/01/2000")]
    #[case::year_first("2000.01.01")]
    #[case::two_digit_year("01.01.99")]
    #[case::five_digit_year("01.01.02000")]
    #[case::year_zero("01.01.0000")]
    #[case::three_digit_day("001.01.2000")]
    #[case::no_day(".01.2000")]
    #[case::no_month("01..2000")]
    #[case::day_zero("00.01.2000")]
    #[case::day_32("32.01.2000")]
    #[case::month_zero("01.00.2000")]
    #[case::month_13("01.13.2000")]
    #[case::no_leap_day_in_common_years("29.02.2001")]
    #[case::no_leap_day_in_most_centuries("29.02.1900")]
    #[case::blank_before(" 01.01.2000")]
    #[case::blank_after("01.01.2000 ")]
    #[case::newline_after("01.01.2000\n")]
    #[case::blank_within("01. 1.2000")]
    #[case::plus_sign("+1.01.2000")]
    #[case::minus_sign("-1.01.2000")]
    #[case::signed_year("01.01.+200")]
    #[case::arabic_digits("٠١.٠١.٢٠٠٠")]
    #[case::full_width_digits("\u{ff11}.1.2000")]
    fn an_invalid_date_is_rejected(#[case] text: &str) {
        assert_eq!(parse_date(text), None);
    }

    #[rstest]
    #[case::common_day("15.06.1956", "15.06.2026")]
    #[case::leap_day_in_a_common_year("29.02.1956", "01.03.2026")]
    #[case::day_before_the_leap_day("28.02.1956", "28.02.2026")]
    fn has_the_seventieth_birthday_on(#[case] born: &str, #[case] expected: &str) {
        assert_eq!(anniversary(parse_date(born).unwrap(), 70), parse_date(expected));
    }

    #[test]
    fn a_leap_day_comes_round_in_leap_years() {
        assert_eq!(anniversary(parse_date("29.02.1956").unwrap(), 72), parse_date("29.02.2028"));
    }

    proptest! {
        #[test]
        fn reads_back_every_date_it_could_have_written(days in 1..=3_652_059) {
            let date = NaiveDate::from_num_days_from_ce_opt(days).unwrap();
            prop_assert_eq!(parse_date(&date.format("%d.%m.%Y").to_string()), Some(date));
            prop_assert_eq!(parse_date(&date.format("%-d.%-m.%Y").to_string()), Some(date));
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = parse_date(&text);
        }
    }
}
