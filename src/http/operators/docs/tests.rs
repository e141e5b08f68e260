//! The document against the tables that it describes. `functional::docs` holds it against the running service.

use serde_json::Value;

use super::*;
use crate::domain::{
    BadJson, ClientsInterests, Defect, Faults, Forbidden, MethodRequest, OnlineScore, Outage,
};

fn parsed() -> Value {
    serde_json::from_str(&openapi()).unwrap()
}

#[test]
fn every_field_of_every_table_is_described() {
    let document = parsed();
    for (schema, fields) in [
        ("Envelope", MethodRequest::FIELDS),
        ("OnlineScore", OnlineScore::FIELDS),
        ("ClientsInterests", ClientsInterests::FIELDS),
    ] {
        let properties = document["components"]["schemas"][schema]["properties"].as_object().unwrap();
        assert!(fields.iter().all(|field| properties[*field]["description"].is_string()), "{schema}");
        // The argument `explain` is not an input of a score, so it is not in the table.
        let others = usize::from(schema == "OnlineScore" && properties["explain"]["description"].is_string());
        assert_eq!(properties.len(), fields.len() + others, "{schema}");
    }
}

#[test]
fn every_status_is_described_with_its_headers() {
    let document = parsed();
    let responses = document["paths"]["/method"]["post"]["responses"].as_object().unwrap();
    for refusal in every_refusal() {
        let refused = to_response(&refusal);
        let described = &responses[refused.status().as_str()];
        assert!(described["headers"]["X-Request-ID"].is_object(), "{refusal:?}");
        for header in ["Retry-After", "Allow"] {
            let is_sent = refused.headers().contains_key(header.to_lowercase());
            assert_eq!(described["headers"][header].is_object(), is_sent, "{header} of {refusal:?}");
        }
    }
}

fn every_refusal() -> Vec<Refusal> {
    // A refusal that is new does not compile here: then it is missing below, too, and perhaps in the document.
    match Refusal::NotFound {
        Refusal::Call(
            CallError::BadRequest(_)
            | CallError::Forbidden(_)
            | CallError::Invalid(_)
            | CallError::TooMany { .. }
            | CallError::Unavailable(_)
            | CallError::Internal(_),
        )
        | Refusal::TooSlow
        | Refusal::BadHead
        | Refusal::HeadTooLarge
        | Refusal::TooLarge
        | Refusal::NoRoom
        | Refusal::BrokenBody
        | Refusal::NotFound
        | Refusal::WrongVerb { .. } => {}
    }
    vec![
        CallError::from(BadJson::Empty).into(),
        CallError::from(Forbidden).into(),
        CallError::from(Faults::default()).into(),
        CallError::TooMany { retry_after: Duration::from_secs(1) }.into(),
        CallError::Unavailable(Outage::StoreDown).into(),
        CallError::Internal(Defect::Panic).into(),
        Refusal::TooSlow,
        Refusal::BadHead,
        Refusal::HeadTooLarge,
        Refusal::TooLarge,
        Refusal::NoRoom,
        Refusal::BrokenBody,
        Refusal::NotFound,
        Refusal::WrongVerb { allow: "POST" },
    ]
}

#[test]
fn swagger_ui_unpacks() {
    let ui = SwaggerUi::unpack().unwrap();
    assert!(ui.script.len() > 1_000_000 && ui.style.len() > 100_000);
}
