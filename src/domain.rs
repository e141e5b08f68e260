//! The protocol and its values: method calls, their authentication, and their answers.
//!
//! Everything here is pure. Time, limits and secrets come in as arguments; no function waits, logs or asks a store. So
//! every rule of the contract can be tested with a table, and a fault in the outer layers cannot bend one.
//!
//! # The life of a call, as this layer sees it
//!
//! 1. [`Json::parse`] reads the body (400),
//! 2. [`MethodRequest::from_json`] reads the envelope (422),
//! 3. [`Authenticator::check`] checks the token (403),
//! 4. [`Method::from_name`] picks the method (422),
//! 5. [`OnlineScore::parse`] or [`ClientsInterests::parse`] reads the arguments (422),
//! 6. an [`Answer`] or a [`CallError`] goes back.
//!
//! # Layout
//!
//! - `json`: JSON, stricter than serde_json
//! - `fields`: reads one JSON object by a table of fields, and reports all its faults at once
//! - `values`, `dates`: the types of single fields
//! - `requests`: the tables themselves
//! - `auth`, `timezone`: tokens; `partners`: the partners that have tokens of their own
//! - `card`, `score`, `interests`: scorecards, their scores, and stored interests
//! - `request_id`: the ids that a client may choose
//! - `reply`: the result of a call; `failure`: the reason of an answer that is not 200

mod auth;
mod card;
mod dates;
mod failure;
mod fields;
mod interests;
mod json;
mod method;
mod partners;
mod redacted;
mod reply;
mod request_id;
mod requests;
mod score;
#[cfg(test)]
mod testing;
mod timezone;
mod values;

pub use auth::{
    AuthPolicy, Authenticator, Caller, Forbidden, InvalidAuthPolicy, MAX_ADMIN_GRACE, PUBLIC_SALTS, Rejected,
    Salt, token_of,
};
pub use card::{Card, CardFault, CardFaults, Explained, Points, Range, Share, position_among_people};
pub use failure::{Defect, FailureReason, Outage};
pub use fields::{Faults, FieldFault, Reason};
pub use interests::{Interests, InterestsByClient, MalformedInterests};
pub use json::{BadJson, Json, Object};
pub use method::Method;
pub use partners::{MOST_TOKENS, Methods, Partner, PartnerToken, Partners, Refused, TokenDigest};
pub use redacted::Redacted;
pub use reply::{ADMIN_SCORE, Answer, CallError};
pub use request_id::{LONGEST_REQUEST_ID, is_request_id};
pub use requests::{ClientsInterests, MethodRequest, OnlineScore};
pub use score::Score;
pub use timezone::{TimeZoneChoice, UnknownTimeZone};
pub use values::{Birthday, ClientId, Email, Gender, Name, Phone, Rules};
