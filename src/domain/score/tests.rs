use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::domain::testing::{any_person, person};

/// The key of the built-in card.
fn built_in_key(person: &OnlineScore) -> String {
    key(Md5::new_with_prefix("v1;"), None, person)
}

#[rstest]
#[case::zero(b"0", 0.0)]
#[case::zero_as_a_float(b"0.0", 0.0)]
#[case::negative_zero(b"-0", 0.0)]
#[case::integer(b"5", 5.0)]
#[case::float(b"3.5", 3.5)]
#[case::exponent(b"1e2", 100.0)]
fn a_cached_number_is_a_hit(#[case] cached: &[u8], #[case] expected: f64) {
    let score = Score::from_cached(cached).unwrap();
    assert_eq!(score.value(), expected);
    assert!(score.value().is_sign_positive());
}

#[rstest]
#[case::empty(b"")]
#[case::text(b"five")]
#[case::negative(b"-0.5")]
#[case::not_a_number(b"NaN")]
#[case::infinity(b"inf")]
#[case::negative_infinity(b"-infinity")]
#[case::overflow(b"1e999")]
#[case::blank_around(b" 1 ")]
#[case::two_numbers(b"1 2")]
#[case::comma(b"1,5")]
#[case::json_string(b"\"1\"")]
#[case::not_utf8(b"\xff")]
#[case::nul_after(b"1\0")]
fn any_other_cached_value_is_a_miss(#[case] cached: &[u8]) {
    assert_eq!(Score::from_cached(cached), None);
}

#[rstest]
#[case::zero(0.0, true)]
#[case::negative_zero(-0.0, true)]
#[case::large(f64::MAX, true)]
#[case::just_below_zero(-f64::MIN_POSITIVE, false)]
#[case::infinity(f64::INFINITY, false)]
#[case::not_a_number(f64::NAN, false)]
fn a_score_is_finite_and_not_negative(#[case] value: f64, #[case] is_score: bool) {
    assert_eq!(Score::new(value).is_some(), is_score);
}

#[test]
fn a_key_is_the_md5_of_the_version_and_all_inputs() {
    let arguments =
        json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 0, "birthday": "1.1.2000"});
    let person = person(&arguments);
    assert_eq!(encode(None, &person), "11:7917500204017:stupnikov@otus.ru--10:2000-01-011:0");
    // By hashlib, of `v1;` and the text above.
    assert_eq!(built_in_key(&person), "uid:a7934b2dda0148e7a96b11163e4e20b4");
}

#[rstest]
#[case::phone_as_an_integer(json!({"phone": 79_175_002_040_i64, "email": "a@b"}), json!({"phone": "79175002040", "email": "a@b"}))]
#[case::short_birthday(json!({"gender": 1, "birthday": "1.2.2000"}), json!({"gender": 1, "birthday": "01.02.2000"}))]
#[case::empty_or_absent(json!({"first_name": "a", "last_name": "b", "email": ""}), json!({"first_name": "a", "last_name": "b"}))]
fn equal_inputs_share_a_key_however_they_are_written(#[case] one: Value, #[case] other: Value) {
    assert_eq!(built_in_key(&person(&one)), built_in_key(&person(&other)));
}

#[rstest]
#[case::names_that_join_alike(json!({"first_name": "ab", "last_name": "c"}), json!({"first_name": "a", "last_name": "bc"}))]
#[case::name_that_imitates_the_encoding(json!({"first_name": "a1:b", "last_name": "c"}), json!({"first_name": "a", "last_name": "b1:c"}))]
#[case::names_swapped(json!({"first_name": "a", "last_name": "b"}), json!({"first_name": "b", "last_name": "a"}))]
#[case::gender_0_or_absent(json!({"first_name": "a", "last_name": "b", "gender": 0}), json!({"first_name": "a", "last_name": "b"}))]
#[case::name_of_a_dash_or_absent(json!({"phone": "79175002040", "email": "a@b", "first_name": "-"}), json!({"phone": "79175002040", "email": "a@b"}))]
#[case::value_in_another_field(json!({"phone": "79175002040", "email": "a@b", "first_name": "x"}), json!({"phone": "79175002040", "email": "a@b", "last_name": "x"}))]
fn different_inputs_have_different_keys(#[case] one: Value, #[case] other: Value) {
    assert_ne!(built_in_key(&person(&one)), built_in_key(&person(&other)));
}

proptest! {
    #[test]
    fn a_key_is_shared_exactly_by_equal_inputs(one in any_person(), other in any_person()) {
        prop_assert_eq!(built_in_key(&one) == built_in_key(&other), one == other);
    }

    #[test]
    fn a_change_of_one_input_changes_the_key(one in any_person(), other in any_person(), field in 0..6) {
        let mut changed = one.clone();
        match field {
            0 => changed.phone = other.phone,
            1 => changed.email = other.email,
            2 => changed.first_name = other.first_name,
            3 => changed.last_name = other.last_name,
            4 => changed.birthday = other.birthday,
            _ => changed.gender = other.gender,
        }
        prop_assert_eq!(built_in_key(&one) == built_in_key(&changed), one == changed);
    }

    #[test]
    fn a_score_comes_out_of_the_cache_as_it_went_in(value in 0.0..=f64::MAX) {
        let score = Score::new(value).unwrap();
        prop_assert_eq!(Score::from_cached(score.to_cached().as_bytes()), Some(score));
    }

    #[test]
    fn a_cached_score_is_finite_and_not_negative_for_any_bytes(cached: Vec<u8>) {
        if let Some(score) = Score::from_cached(&cached) {
            prop_assert!(score.value().is_finite() && score.value() >= 0.0);
        }
    }
}
