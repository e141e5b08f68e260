use chrono::{Datelike, TimeDelta};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The possible states of an argument, and whether each is a fault.
fn any_state(good: Value, bad: Value) -> impl Strategy<Value = (Option<Value>, bool)> {
    prop_oneof![
        Just((None, false)),
        Just((Some(json!(null)), false)),
        Just((Some(good), false)),
        Just((Some(bad), true)),
    ]
}

fn any_day() -> impl Strategy<Value = NaiveDate> {
    (657_000..803_000).prop_map(|days| NaiveDate::from_num_days_from_ce_opt(days).unwrap())
}

fn any_leap_day() -> impl Strategy<Value = NaiveDate> {
    (451..550).prop_filter_map("is a common year", |n| NaiveDate::from_ymd_opt(n * 4, 2, 29))
}

/// The age in full years, counted without the code under test.
fn age_on(day: NaiveDate, born: NaiveDate) -> i32 {
    let leap = |year: i32| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let birthday = match (born.month(), born.day()) {
        (2, 29) if !leap(day.year()) => (3, 1),
        birthday => birthday,
    };
    day.year() - born.year() - i32::from((day.month(), day.day()) < birthday)
}

proptest! {
    #[test]
    fn exactly_the_arguments_at_fault_are_named_in_order(
        phone in any_state(json!("79175002040"), json!("8")),
        email in any_state(json!("a@b"), json!("ab")),
        first_name in any_state(json!("a"), json!(1)),
        last_name in any_state(json!("b"), json!([])),
        birthday in any_state(json!("1.1.2000"), json!("1.1.1900")),
        gender in any_state(json!(0), json!("")),
    ) {
        let table = [
            ("phone", &phone), ("email", &email), ("first_name", &first_name),
            ("last_name", &last_name), ("birthday", &birthday), ("gender", &gender),
        ];
        let is_there = |state: &(Option<Value>, bool)| state.0.as_ref().is_some_and(|value| !value.is_null());
        let has_pair = [(&phone, &email), (&first_name, &last_name), (&gender, &birthday)]
            .into_iter()
            .any(|(one, other)| is_there(one) && is_there(other));
        let mut expected: Vec<_> =
            table.iter().filter(|(_, state)| state.1).map(|(name, _)| *name).collect();
        if !has_pair {
            expected.push("arguments");
        }

        let arguments = table
            .iter()
            .fold(json!({}), |arguments, (name, state)| with(arguments, name, state.0.clone()));
        let named: Vec<_> = match OnlineScore::parse(object(&arguments), &RULES) {
            Ok(_) => vec![],
            Err(faults) => faults.iter().map(|fault| fault.field).collect(),
        };
        prop_assert_eq!(named, expected);
    }

    #[test]
    fn a_birthday_passes_until_the_day_after_the_seventieth(
        born in prop_oneof![any_day(), any_leap_day()],
        years in prop_oneof![Just(70), 0..75],
        off in -3i64..=3,
    ) {
        let today = born + TimeDelta::days(i64::from(years) * 1461 / 4 + off);
        let arguments = json!({"gender": 1, "birthday": born.format("%d.%m.%Y").to_string()});
        let passes = online_score(&arguments, &Rules { today, ..RULES }).is_ok();
        prop_assert_eq!(passes, born <= today && age_on(today.pred_opt().unwrap(), born) < 70);
    }

    #[test]
    fn debug_never_shows_a_person_or_a_token(
        name in "[A-Z][a-z]{5,9}Q", year in 1960i32..2020, digits in "7[0-9]{10}",
    ) {
        let arguments = json!({
            "phone": digits, "email": format!("{name}@mail"), "first_name": name,
            "last_name": name, "birthday": format!("01.01.{year}"), "gender": 2, name.clone(): name,
        });
        let body = json!({"login": "h&f", "token": name, "method": "online_score", "arguments": arguments});
        let json = read(&body);
        let shown_json = format!("{json:?} {json:#?}");
        let request = MethodRequest::from_json(json).unwrap();
        let shown_request = format!("{request:?} {request:#?}");
        let person = OnlineScore::parse(request.arguments, &RULES).unwrap();
        let shown_person = format!("{person:?} {person:#?}");

        for shown in [shown_json, shown_request, shown_person] {
            for secret in [&name, &digits, &year.to_string(), "Female"] {
                prop_assert!(!shown.contains(secret), "{} shows {}", shown, secret);
            }
        }
    }

    #[test]
    fn faults_never_quote_a_value(value in "[a-z]{3}Q[a-z]{3}") {
        let faults = online_score(&json!({"phone": value, "email": value, "first_name": [value], "birthday": value, "gender": value}), &RULES);
        prop_assert!(!faults.unwrap_err().contains(&value));
    }
}
