use crate::domain::Method;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

fn envelope(value: &Value) -> Result<MethodRequest, String> {
    MethodRequest::from_json(read(value)).map_err(|faults| faults.to_string())
}

fn full_envelope() -> Value {
    json!({"account": "horns&hoofs", "login": "h&f", "token": "abc", "method": "online_score", "arguments": {"a": 1}})
}

#[test]
fn an_envelope_is_read_as_it_is() {
    let request = envelope(&full_envelope()).unwrap();
    assert_eq!(request.account, "horns&hoofs");
    assert_eq!(request.login, "h&f");
    assert_eq!(request.token.expose(), "abc");
    assert_eq!(request.method, "online_score");
    assert_eq!(request.arguments, object(&json!({"a": 1})));
}

#[rstest]
#[case::array(json!([]))]
#[case::null(json!(null))]
#[case::string(json!("{}"))]
#[case::number(json!(1))]
#[case::boolean(json!(true))]
fn a_body_that_is_no_object_is_one_fault(#[case] body: Value) {
    assert_eq!(envelope(&body).unwrap_err(), "request: must be an object");
}

#[test]
fn an_empty_object_lacks_every_required_field() {
    let faults = "login: is required; token: is required; arguments: is required; method: is required";
    assert_eq!(envelope(&json!({})).unwrap_err(), faults);
}

#[test]
fn every_fault_of_an_envelope_is_named() {
    let body = json!({"account": 1, "login": true, "token": [], "arguments": "", "method": {}});
    let faults = "account: must be a string; login: must be a string; token: must be a string; \
                  arguments: must be an object; method: must be a string";
    assert_eq!(envelope(&body).unwrap_err(), faults);
}

#[rstest]
#[case::account_absent("account", None)]
#[case::account_null("account", Some(json!(null)))]
#[case::account_blank("account", Some(json!("")))]
#[case::login_null("login", Some(json!(null)))]
#[case::login_blank("login", Some(json!("")))]
#[case::token_null("token", Some(json!(null)))]
#[case::token_blank("token", Some(json!("")))]
fn an_empty_string_of_an_envelope_counts_as_blank(#[case] field: &str, #[case] value: Option<Value>) {
    let blank = with(full_envelope(), field, Some(json!("")));
    assert_eq!(envelope(&with(full_envelope(), field, value)), envelope(&blank));
    assert!(envelope(&blank).is_ok());
}

#[rstest]
#[case::null(json!(null))]
#[case::empty(json!({}))]
fn empty_arguments_count_as_an_empty_object(#[case] arguments: Value) {
    let request = envelope(&with(full_envelope(), "arguments", Some(arguments))).unwrap();
    assert!(request.arguments.is_empty());
}

#[rstest]
#[case::login_absent("login", None, "login: is required")]
#[case::token_absent("token", None, "token: is required")]
#[case::arguments_absent("arguments", None, "arguments: is required")]
#[case::method_absent("method", None, "method: is required")]
#[case::method_null("method", Some(json!(null)), "method: must not be empty")]
#[case::method_blank("method", Some(json!("")), "method: must not be empty")]
#[case::method_zero("method", Some(json!(0)), "method: must be a string")]
#[case::method_false("method", Some(json!(false)), "method: must be a string")]
#[case::account_zero("account", Some(json!(0)), "account: must be a string")]
#[case::account_false("account", Some(json!(false)), "account: must be a string")]
#[case::account_array("account", Some(json!([])), "account: must be a string")]
#[case::account_object("account", Some(json!({})), "account: must be a string")]
#[case::login_number("login", Some(json!(1)), "login: must be a string")]
#[case::token_number("token", Some(json!(1)), "token: must be a string")]
#[case::arguments_blank("arguments", Some(json!("")), "arguments: must be an object")]
#[case::arguments_array("arguments", Some(json!([])), "arguments: must be an object")]
#[case::arguments_zero("arguments", Some(json!(0)), "arguments: must be an object")]
fn a_faulty_field_of_an_envelope_is_named(
    #[case] field: &str,
    #[case] value: Option<Value>,
    #[case] fault: &str,
) {
    assert_eq!(envelope(&with(full_envelope(), field, value)).unwrap_err(), fault);
}

#[test]
fn unknown_fields_are_ignored() {
    assert!(envelope(&with(full_envelope(), "more", Some(json!([1])))).is_ok());
}

#[rstest]
#[case::online_score("online_score", Method::OnlineScore)]
#[case::clients_interests("clients_interests", Method::ClientsInterests)]
fn a_method_is_known_by_its_name(#[case] name: &str, #[case] method: Method) {
    assert_eq!(Method::from_name(name), Ok(method));
    assert_eq!(method.as_str(), name);
}

#[rstest]
#[case::unknown("score")]
#[case::in_capitals("Online_Score")]
#[case::blank_after("online_score ")]
#[case::empty("")]
fn an_unknown_method_is_a_fault(#[case] name: &str) {
    let faults = Method::from_name(name).unwrap_err();
    assert_eq!(faults.to_string(), "method: must be online_score or clients_interests");
}
