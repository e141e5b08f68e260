//! Shared by this layer's unit tests: people.

use chrono::NaiveDate;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Json, OnlineScore, Rules};

pub(super) const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();

/// The person of a call's arguments on this day, if they are valid.
pub(super) fn person_on(today: NaiveDate, arguments: &Value) -> Option<OnlineScore> {
    let Ok(Json::Object(arguments)) = Json::parse(arguments.to_string().as_bytes()) else {
        panic!("{arguments} is not an object")
    };
    OnlineScore::parse(arguments, &Rules { today, max_client_ids: 1, explain: false }).ok()
}

pub(super) fn person(arguments: &Value) -> OnlineScore {
    person_on(TODAY, arguments).unwrap()
}

/// People made from few, tricky values, so that equal and nearly equal people are frequent.
pub(super) fn any_person() -> impl Strategy<Value = OnlineScore> {
    let one_of = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    let phone = one_of(&["79175002040", "79000000000", "70000000000"]);
    let email = one_of(&["@", "@1:a", "1:@", "x@b", "x@EXAMPLE.com", "b@c"]);
    let name = || prop::option::of("[1:\\-a]{1,3}");
    let day = (1957..2026, 1..=12, 1..=28).prop_map(|(y, m, d)| format!("{d}.{m}.{y}"));
    let tricky = prop::sample::select(vec!["01.01.2000", "11.01.2000"]).prop_map(str::to_owned);
    let birthday = prop::option::of(prop_oneof![day, tricky]);
    (phone, email, name(), name(), birthday, prop::option::of(0..3)).prop_filter_map(
        "needs a pair",
        |(phone, email, first_name, last_name, birthday, gender)| {
            let arguments = json!({
                "phone": phone, "email": email, "first_name": first_name,
                "last_name": last_name, "birthday": birthday, "gender": gender,
            });
            person_on(TODAY, &arguments)
        },
    )
}
