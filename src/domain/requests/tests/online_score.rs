use rstest::rstest;
use serde_json::{Value, json};

use super::*;

const NO_PAIR: &str =
    "arguments: must have phone and email, first_name and last_name, or gender and birthday";

fn full_person() -> Value {
    json!({
        "phone": "79175002040", "email": "stupnikov@otus.ru", "first_name": "Stanislav",
        "last_name": "Stupnikov", "birthday": "01.01.1990", "gender": 1,
    })
}

#[rstest]
#[case::phone_string("phone", json!("79175002040"))]
#[case::phone_integer("phone", json!(79_175_002_040_i64))]
#[case::phone_of_equal_digits("phone", json!("77777777777"))]
#[case::email("email", json!("stupnikov@otus.ru"))]
#[case::email_of_only_an_at("email", json!("@"))]
#[case::email_with_two_ats("email", json!("a@b@c"))]
#[case::first_name_of_a_blank("first_name", json!(" "))]
#[case::last_name_beyond_ascii("last_name", json!("Ступников"))]
#[case::birthday_today("birthday", json!("15.06.2026"))]
#[case::birthday_of_one_digit_each("birthday", json!("1.1.2000"))]
#[case::seventieth_birthday("birthday", json!("15.06.1956"))]
#[case::gender_unknown("gender", json!(0))]
#[case::gender_male("gender", json!(1))]
#[case::gender_female("gender", json!(2))]
#[case::absent("phone", None)]
#[case::phone_null("phone", json!(null))]
#[case::phone_blank("phone", json!(""))]
#[case::email_null("email", json!(null))]
#[case::email_blank("email", json!(""))]
#[case::first_name_null("first_name", json!(null))]
#[case::first_name_blank("first_name", json!(""))]
#[case::last_name_null("last_name", json!(null))]
#[case::last_name_blank("last_name", json!(""))]
#[case::birthday_null("birthday", json!(null))]
#[case::birthday_blank("birthday", json!(""))]
#[case::gender_null("gender", json!(null))]
fn a_good_argument_of_online_score_passes(#[case] field: &str, #[case] value: impl Into<Option<Value>>) {
    let arguments = with(full_person(), field, value.into());
    assert_eq!(online_score(&arguments, &RULES).err(), None);
}

#[rstest]
#[case::phone_with_8("phone", json!("89175002040"), "must be 11 digits and start with 7")]
#[case::phone_integer_with_8("phone", json!(89_175_002_040_i64), "must be 11 digits and start with 7")]
#[case::phone_of_10_digits("phone", json!("7917500204"), "must be 11 digits and start with 7")]
#[case::phone_of_12_digits("phone", json!("791750020400"), "must be 11 digits and start with 7")]
#[case::phone_with_a_plus("phone", json!("+79175002040"), "must be 11 digits and start with 7")]
#[case::phone_with_a_letter("phone", json!("7917500204a"), "must be 11 digits and start with 7")]
#[case::phone_with_a_blank("phone", json!("7917500204 "), "must be 11 digits and start with 7")]
#[case::phone_of_other_digits("phone", json!("7٩١٧٥"), "must be 11 digits and start with 7")]
#[case::phone_negative("phone", json!(-7_917_500_204_i64), "must be 11 digits and start with 7")]
#[case::phone_zero("phone", json!(0), "must be 11 digits and start with 7")]
#[case::phone_float("phone", json!(79_175_002_040.0), "must be a string or an integer")]
#[case::phone_true("phone", json!(true), "must be a string or an integer")]
#[case::phone_array("phone", json!([]), "must be a string or an integer")]
#[case::phone_object("phone", json!({}), "must be a string or an integer")]
#[case::email_without_at("email", json!("stupnikovotus.ru"), "must contain \"@\"")]
#[case::email_with_a_wide_at("email", json!("stupnikov\u{ff20}otus.ru"), "must contain \"@\"")]
#[case::email_number("email", json!(1), "must be a string")]
#[case::email_array("email", json!(["@"]), "must be a string")]
#[case::first_name_number("first_name", json!(1), "must be a string")]
#[case::first_name_false("first_name", json!(false), "must be a string")]
#[case::last_name_number("last_name", json!(2), "must be a string")]
#[case::last_name_array("last_name", json!([]), "must be a string")]
#[case::birthday_words("birthday", json!("XXX"), "must be a date written DD.MM.YYYY")]
#[case::birthday_no_such_day("birthday", json!("31.06.2000"), "must be a date written DD.MM.YYYY")]
#[case::birthday_number("birthday", json!(1_012_000), "must be a string")]
#[case::birthday_object("birthday", json!({}), "must be a string")]
#[case::birthday_tomorrow("birthday", json!("16.06.2026"), "must not be in the future")]
#[case::birthday_end_of_the_calendar("birthday", json!("31.12.9999"), "must not be in the future")]
#[case::day_after_the_seventieth("birthday", json!("14.06.1956"), "must not be more than 70 years ago")]
#[case::birthday_long_ago("birthday", json!("01.01.1890"), "must not be more than 70 years ago")]
#[case::birthday_first_year("birthday", json!("01.01.0001"), "must not be more than 70 years ago")]
#[case::gender_minus_one("gender", json!(-1), "must be 0, 1 or 2")]
#[case::gender_3("gender", json!(3), "must be 0, 1 or 2")]
#[case::gender_string("gender", json!("1"), "must be 0, 1 or 2")]
#[case::gender_blank("gender", json!(""), "must be 0, 1 or 2")]
#[case::gender_float("gender", json!(1.0), "must be 0, 1 or 2")]
#[case::gender_true("gender", json!(true), "must be 0, 1 or 2")]
#[case::gender_false("gender", json!(false), "must be 0, 1 or 2")]
#[case::gender_array("gender", json!([]), "must be 0, 1 or 2")]
fn a_bad_argument_of_online_score_is_named(#[case] field: &str, #[case] value: Value, #[case] reason: &str) {
    let fault = online_score(&with(full_person(), field, Some(value)), &RULES).unwrap_err();
    assert_eq!(fault, format!("{field}: {reason}"));
}

#[test]
fn a_phone_is_the_same_as_a_string_and_as_an_integer() {
    let as_integer = with(full_person(), "phone", Some(json!(79_175_002_040_i64)));
    assert_eq!(online_score(&as_integer, &RULES), online_score(&full_person(), &RULES));
}

#[rstest]
#[case::phone_and_email(json!({"phone": "79175002040", "email": "a@b"}))]
#[case::both_names(json!({"first_name": "a", "last_name": "b"}))]
#[case::gender_and_birthday(json!({"gender": 1, "birthday": "01.01.2000"}))]
#[case::gender_0_and_birthday(json!({"gender": 0, "birthday": "01.01.2000"}))]
#[case::one_pair_and_a_half(json!({"phone": "79175002040", "email": "a@b", "gender": 1}))]
fn one_pair_is_enough(#[case] arguments: Value) {
    assert_eq!(online_score(&arguments, &RULES).err(), None);
}

#[rstest]
#[case::nothing(json!({}))]
#[case::only_a_phone(json!({"phone": "79175002040"}))]
#[case::only_an_email(json!({"email": "a@b"}))]
#[case::only_a_birthday(json!({"birthday": "01.01.2000"}))]
#[case::only_gender_0(json!({"gender": 0}))]
#[case::half_of_each_pair(json!({"phone": "79175002040", "first_name": "a", "birthday": "01.01.2000"}))]
#[case::other_half_of_each_pair(json!({"email": "a@b", "last_name": "b", "gender": 1}))]
#[case::email_null(json!({"phone": "79175002040", "email": null}))]
#[case::email_blank(json!({"phone": "79175002040", "email": ""}))]
#[case::last_name_blank(json!({"first_name": "a", "last_name": ""}))]
#[case::gender_null(json!({"gender": null, "birthday": "01.01.2000"}))]
fn without_a_pair_a_person_is_refused(#[case] arguments: Value) {
    assert_eq!(online_score(&arguments, &RULES).unwrap_err(), NO_PAIR);
}

#[test]
fn an_invalid_value_still_completes_its_pair() {
    let fault = online_score(&json!({"phone": "8", "email": "a@b"}), &RULES).unwrap_err();
    assert_eq!(fault, "phone: must be 11 digits and start with 7");
    let fault = online_score(&json!({"gender": "", "birthday": "01.01.2000"}), &RULES).unwrap_err();
    assert_eq!(fault, "gender: must be 0, 1 or 2");
}

#[test]
fn a_missing_pair_is_named_after_the_other_faults() {
    let faults = online_score(&json!({"email": "x", "gender": 3, "last_name": 2}), &RULES).unwrap_err();
    let expected = format!(
        "email: must contain \"@\"; last_name: must be a string; gender: must be 0, 1 or 2; {NO_PAIR}"
    );
    assert_eq!(faults, expected);
}

#[rstest]
#[case::all(full_person(), &["phone", "email", "first_name", "last_name", "birthday", "gender"])]
#[case::gender_0_is_present(json!({"gender": 0, "birthday": "1.1.2000"}), &["birthday", "gender"])]
#[case::invalid_ones_are_present(json!({"gender": "", "phone": 1, "email": []}), &["phone", "email", "gender"])]
#[case::none(json!({}), &[])]
#[case::empty_ones_are_not(json!({"email": "a@b", "phone": 79_175_002_040_i64, "first_name": "", "gender": null}), &["phone", "email"])]
fn lists_present_fields_in_the_order_of_the_table(#[case] arguments: Value, #[case] names: &[&str]) {
    assert_eq!(OnlineScore::parse_and_list(object(&arguments), &RULES).1, names);
}

#[rstest]
#[case::eve_of_the_last_day((2026, 2, 28), true)]
#[case::first_of_march((2026, 3, 1), true)]
#[case::second_of_march((2026, 3, 2), false)]
fn a_leap_day_child_is_70_on_the_first_of_march(
    #[case] (year, month, day): (i32, u32, u32),
    #[case] passes: bool,
) {
    let rules = Rules { today: NaiveDate::from_ymd_opt(year, month, day).unwrap(), ..RULES };
    let arguments = json!({"gender": 1, "birthday": "29.02.1956"});
    assert_eq!(online_score(&arguments, &rules).is_ok(), passes);
}

#[test]
fn unknown_arguments_are_ignored() {
    assert!(online_score(&with(full_person(), "more", Some(json!([1]))), &RULES).is_ok());
}

#[rstest]
#[case::invalid_score_1(json!({}))]
#[case::invalid_score_2(json!({"phone": "79175002040"}))]
#[case::invalid_score_3(json!({"phone": "89175002040", "email": "stupnikov@otus.ru"}))]
#[case::invalid_score_4(json!({"phone": "79175002040", "email": "stupnikovotus.ru"}))]
#[case::invalid_score_5(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": -1}))]
#[case::invalid_score_6(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": "1"}))]
#[case::invalid_score_7(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 1, "birthday": "01.01.1890"}))]
#[case::invalid_score_8(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 1, "birthday": "XXX"}))]
#[case::invalid_score_9(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 1, "birthday": "01.01.2000", "first_name": 1}))]
#[case::invalid_score_10(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 1, "birthday": "01.01.2000", "first_name": "s", "last_name": 2}))]
#[case::invalid_score_11(json!({"phone": "79175002040", "birthday": "01.01.2000", "first_name": "s"}))]
#[case::invalid_score_12(json!({"email": "stupnikov@otus.ru", "gender": 1, "last_name": 2}))]
fn the_assignments_bad_scores_are_refused(#[case] arguments: Value) {
    assert!(online_score(&arguments, &RULES).is_err());
}

#[rstest]
#[case::ok_score_1(json!({"phone": "79175002040", "email": "stupnikov@otus.ru"}))]
#[case::ok_score_2(json!({"phone": 79_175_002_040_i64, "email": "stupnikov@otus.ru"}))]
#[case::ok_score_3(json!({"gender": 1, "birthday": "01.01.2000", "first_name": "a", "last_name": "b"}))]
#[case::ok_score_4(json!({"gender": 0, "birthday": "01.01.2000"}))]
#[case::ok_score_5(json!({"gender": 2, "birthday": "01.01.2000"}))]
#[case::ok_score_6(json!({"first_name": "a", "last_name": "b"}))]
#[case::ok_score_7(json!({"phone": "79175002040", "email": "stupnikov@otus.ru", "gender": 1, "birthday": "01.01.2000", "first_name": "a", "last_name": "b"}))]
fn the_assignments_good_scores_pass_with_all_they_have(#[case] arguments: Value) {
    online_score(&arguments, &RULES).unwrap();
    let (_, present) = OnlineScore::parse_and_list(object(&arguments), &RULES);
    assert_eq!(present.len(), arguments.as_object().unwrap().len());
}
