use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn clients_interests(arguments: &Value) -> Result<ClientsInterests, String> {
    ClientsInterests::parse(object(arguments), &RULES).map_err(|faults| faults.to_string())
}

#[rstest]
#[case::one(json!([0]), &[0])]
#[case::as_many_as_allowed(json!([1, 2, 3]), &[1, 2, 3])]
#[case::negative(json!([-1]), &[-1])]
#[case::extremes(json!([i64::MIN, i64::MAX]), &[i64::MIN, i64::MAX])]
#[case::repeated(json!([2, 1, 2]), &[2, 1, 2])]
fn client_ids_are_kept_as_given(#[case] ids: Value, #[case] expected: &[i64]) {
    let request = clients_interests(&json!({"client_ids": ids})).unwrap();
    assert_eq!(request.client_ids.iter().map(|id| id.0).collect::<Vec<_>>(), expected);
}

#[rstest]
#[case::repeated_ids_count(json!({"client_ids": [2, 1, 2]}), Some(3))]
#[case::invalid_ids_count(json!({"client_ids": ["1", null]}), Some(2))]
#[case::none(json!({"client_ids": []}), Some(0))]
#[case::no_array(json!({"client_ids": {"1": 2}}), None)]
#[case::absent(json!({}), None)]
fn counts_the_ids_as_given(#[case] arguments: Value, #[case] count: Option<usize>) {
    assert_eq!(ClientsInterests::nclients(&object(&arguments)), count);
}

#[rstest]
#[case::none_repeated(json!([3, -1, 2]), &["i:3", "i:-1", "i:2"])]
#[case::repeated_at_once(json!([2, 2, 1]), &["i:2", "i:1"])]
#[case::repeated_later(json!([2, 1, 2]), &["i:2", "i:1"])]
fn each_client_is_asked_for_once_in_first_seen_order(#[case] ids: Value, #[case] keys: &[&str]) {
    let request = clients_interests(&json!({ "client_ids": ids })).unwrap();
    assert_eq!(request.unique_clients().iter().map(ClientId::key).collect::<Vec<_>>(), keys);
}

#[rstest]
#[case::absent(None, "is required")]
#[case::null(json!(null), "must not be empty")]
#[case::empty_array(json!([]), "must not be empty")]
#[case::blank(json!(""), "must be an array of integers")]
#[case::one_id(json!(1), "must be an array of integers")]
#[case::object(json!({"1": 2}), "must be an array of integers")]
#[case::strings(json!(["1", "2"]), "must be an array of integers")]
#[case::float(json!([1, 2.0]), "must be an array of integers")]
#[case::boolean(json!([true]), "must be an array of integers")]
#[case::null_within(json!([1, null]), "must be an array of integers")]
#[case::array_within(json!([[1]]), "must be an array of integers")]
#[case::beyond_i64(json!([9_223_372_036_854_775_808_u64]), "must be an array of integers")]
#[case::one_too_many(json!([1, 2, 3, 4]), "must hold at most 3 ids")]
#[case::one_too_many_though_repeated(json!([1, 1, 1, 1]), "must hold at most 3 ids")]
fn bad_client_ids_are_refused(#[case] ids: impl Into<Option<Value>>, #[case] reason: &str) {
    let fault = clients_interests(&with(json!({}), "client_ids", ids.into())).unwrap_err();
    assert_eq!(fault, format!("client_ids: {reason}"));
}

#[rstest]
#[case::plain(json!("19.07.2017"), NaiveDate::from_ymd_opt(2017, 7, 19))]
#[case::in_the_future(json!("01.01.3000"), NaiveDate::from_ymd_opt(3000, 1, 1))]
#[case::long_ago(json!("01.01.1890"), NaiveDate::from_ymd_opt(1890, 1, 1))]
#[case::null(json!(null), None)]
#[case::blank(json!(""), None)]
fn a_date_has_no_range(#[case] date: Value, #[case] expected: Option<NaiveDate>) {
    let request = clients_interests(&json!({"client_ids": [1], "date": date})).unwrap();
    assert_eq!(request.date, expected);
}

#[rstest]
#[case::words(json!("XXX"), "must be a date written DD.MM.YYYY")]
#[case::number(json!(0), "must be a string")]
fn a_bad_date_is_refused(#[case] date: Value, #[case] reason: &str) {
    let fault = clients_interests(&json!({"client_ids": [1], "date": date})).unwrap_err();
    assert_eq!(fault, format!("date: {reason}"));
}

#[test]
fn every_fault_of_clients_interests_is_named() {
    let faults = clients_interests(&json!({"date": "XXX"})).unwrap_err();
    assert_eq!(faults, "client_ids: is required; date: must be a date written DD.MM.YYYY");
}
