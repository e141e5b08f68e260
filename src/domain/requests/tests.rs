use serde_json::Value;

use super::*;

mod clients_interests;
mod envelope;
mod online_score;
mod properties;

const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();
const RULES: Rules = Rules { today: TODAY, max_client_ids: 3, explain: false };

fn read(value: &Value) -> Json {
    Json::parse(value.to_string().as_bytes()).unwrap()
}

fn object(value: &Value) -> Object {
    let Json::Object(object) = read(value) else { panic!("{value} is no object") };
    object
}

fn online_score(arguments: &Value, rules: &Rules) -> Result<OnlineScore, String> {
    OnlineScore::parse(object(arguments), rules).map_err(|faults| faults.to_string())
}

/// `base` with `field` set, or without it if `value` is `None`.
fn with(mut base: Value, field: &str, value: Option<Value>) -> Value {
    let fields = base.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    base
}
