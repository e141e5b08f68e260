//! A call, and its caller.

use std::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::values::Method;

/// The longest request id that the service takes.
const LONGEST_REQUEST_ID: usize = 128;

/// The caller. The client's [`Credentials`](crate::Credentials) sign for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The partner's account; may be empty.
    pub account: String,
    /// The partner's login, or the admin's.
    pub login: String,
}

/// A person's data. `Debug` shows no values.
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Person {
    /// 11 digits, the first a 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// With an `@`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Scores only together with a last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Scores only together with a first name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// `DD.MM.YYYY`, at most 70 years ago.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// 0 for unknown, 1 or 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gender: Option<i64>,
}

/// One call. It keeps its request id over all tries.
#[derive(Clone)]
pub struct Call {
    pub(crate) identity: Identity,
    pub(crate) method: Method,
    pub(crate) traceparent: Option<String>,
    arguments: Box<RawValue>,
    request_id: String,
}

/// A header that the service would ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// See [`Call::with_request_id`].
    #[error("a request id is 1 to {LONGEST_REQUEST_ID} visible ASCII characters")]
    RequestId,
    /// See [`Call::with_traceparent`].
    #[error(
        "a traceparent is VERSION-TRACE-PARENT-FLAGS: 2, 32, 16 and 2 lower-case hexadecimal digits; VERSION is not ff, and neither TRACE nor PARENT is zero"
    )]
    Traceparent,
}

/// The contract's envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    account: &'a str,
    login: &'a str,
    method: &'static str,
    token: &'a str,
    arguments: &'a RawValue,
}

#[derive(Serialize)]
struct Explaining<'a> {
    #[serde(flatten)]
    person: &'a Person,
    explain: bool,
}

#[derive(Serialize)]
struct Clients<'a> {
    client_ids: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<&'a str>,
}

// ===== impl Identity =====

impl Identity {
    /// A partner.
    pub fn new(account: impl Into<String>, login: impl Into<String>) -> Self {
        Self { account: account.into(), login: login.into() }
    }
}

// ===== impl Person =====

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person([redacted])")
    }
}

// ===== impl Call =====

impl Call {
    /// `online_score`.
    pub fn online_score(identity: Identity, person: &Person) -> Self {
        Self::raw(identity, Method::OnlineScore, Self::score_arguments(person))
    }

    /// `online_score`, with the reasons of the score. The answer has them if the service has `scoring.explain = true`,
    /// and the caller is not the admin.
    pub fn explained_score(identity: Identity, person: &Person) -> Self {
        Self::raw(identity, Method::OnlineScore, Self::explained_score_arguments(person))
    }

    /// `clients_interests`; `date` is `DD.MM.YYYY`.
    pub fn clients_interests(identity: Identity, ids: &[i64], date: Option<&str>) -> Self {
        Self::raw(identity, Method::ClientsInterests, Self::interests_arguments(ids, date))
    }

    /// The arguments of `online_score`, as JSON.
    pub fn score_arguments(person: &Person) -> Box<RawValue> {
        json(person)
    }

    /// The arguments of `online_score` that ask for reasons, as JSON.
    pub fn explained_score_arguments(person: &Person) -> Box<RawValue> {
        json(&Explaining { person, explain: true })
    }

    /// The arguments of `clients_interests`, as JSON.
    pub fn interests_arguments(ids: &[i64], date: Option<&str>) -> Box<RawValue> {
        json(&Clients { client_ids: ids, date })
    }

    /// A call with these arguments, which are sent unchanged.
    pub fn raw(identity: Identity, method: Method, arguments: Box<RawValue>) -> Self {
        let request_id = format!("{:032x}", fastrand::u128(..));
        Self { identity, method, traceparent: None, arguments, request_id }
    }

    /// The call with a request id of the caller's choice.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 128 visible ASCII characters.
    pub fn with_request_id(mut self, id: &str) -> Result<Self, InvalidHeader> {
        if !is_request_id(id.as_bytes()) {
            return Err(InvalidHeader::RequestId);
        }
        id.clone_into(&mut self.request_id);
        Ok(self)
    }

    /// The call as part of a trace, by W3C's Trace Context.
    ///
    /// # Errors
    ///
    /// If the service would ignore it, because it is not valid according to <https://www.w3.org/TR/trace-context/>.
    pub fn with_traceparent(mut self, traceparent: &str) -> Result<Self, InvalidHeader> {
        if !is_traceparent(traceparent) {
            return Err(InvalidHeader::Traceparent);
        }
        self.traceparent = Some(traceparent.to_owned());
        Ok(self)
    }

    /// The id under which the service logs the call; random unless one was given.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// The bytes to send, signed with `token`.
    pub(crate) fn body(&self, token: &str) -> String {
        let Identity { account, login } = &self.identity;
        let method = self.method.as_str();
        json(&Envelope { account, login, method, token, arguments: &self.arguments }).get().to_owned()
    }
}

/// `Debug` shows no arguments.
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_struct("Call");
        call.field("method", &self.method).field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

/// Visible ASCII characters can be logged and sent as they are.
fn is_request_id(id: &[u8]) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

fn is_traceparent(header: &str) -> bool {
    if !header.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let mut fields = header.split('-');
    let mut hex = |digits| {
        fields.next().filter(|field| {
            field.len() == digits && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let [version, trace, parent, flags] = [hex(2), hex(32), hex(16), hex(2)];
    let is_id = |field: Option<&str>| field.is_some_and(|field| field.bytes().any(|byte| byte != b'0'));
    // Later versions may have more fields, but this version has not. `ff` is not a version.
    let fits = version.is_some_and(|version| version != "ff" && (version != "00" || fields.next().is_none()));
    fits && is_id(trace) && is_id(parent) && flags.is_some()
}

/// For structs of strings and numbers, which can always be serialized.
fn json(value: &impl Serialize) -> Box<RawValue> {
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn call() -> Call {
        Call::online_score(
            Identity::new("A", "L"),
            &Person { phone: Some("79990001122".into()), gender: Some(1), ..Person::default() },
        )
    }

    #[test]
    fn the_envelope_is_the_contracts() {
        let body = call().body("T");
        let arguments = r#"{"phone":"79990001122","gender":1}"#;
        let expected = format!(
            r#"{{"account":"A","login":"L","method":"online_score","token":"T","arguments":{arguments}}}"#
        );
        assert_eq!(body, expected);
    }

    #[test]
    fn only_a_call_for_reasons_has_the_argument_explain() {
        let person = Person { email: Some("a@b".into()), gender: Some(0), ..Person::default() };
        let explained = Call::explained_score(Identity::new("A", "L"), &person).body("T");
        let arguments = r#""arguments":{"email":"a@b","gender":0,"explain":true}}"#;
        assert!(explained.ends_with(arguments), "{explained}");
        assert!(!Call::online_score(Identity::new("A", "L"), &person).body("T").contains("explain"));
    }

    #[test]
    fn raw_arguments_are_sent_to_the_byte() {
        let arguments = r#"{"client_ids": [1.0, 1e400],"client_ids":[]}"#;
        let raw = RawValue::from_string(arguments.to_owned()).unwrap();
        let call = Call::raw(Identity::new("", "L"), Method::ClientsInterests, raw);
        assert!(call.body("T").contains(arguments));
    }

    #[test]
    fn nothing_personal_shows() {
        let shown =
            format!("{:?} {:?}", call(), Person { phone: Some("79990001122".into()), ..Person::default() });
        assert!(!shown.contains("7999"), "{shown}");
    }

    #[rstest]
    #[case::shortest("x", true)]
    #[case::longest(&"~".repeat(128), true)]
    #[case::too_long(&"~".repeat(129), false)]
    #[case::empty("", false)]
    #[case::blank("a b", false)]
    #[case::line_feed("a\nb", false)]
    #[case::not_ascii("é", false)]
    fn a_request_id_is_visible_ascii(#[case] id: &str, #[case] fit: bool) {
        let outcome = call().with_request_id(id);
        assert_eq!(outcome.map(|call| call.request_id().to_owned()).ok(), fit.then(|| id.to_owned()));
    }

    #[rstest]
    #[case::right("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true)]
    #[case::upper_case("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case::short("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01", false)]
    #[case::a_part_more("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00", false)]
    #[case::line_feed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n", false)]
    #[case::version_ff("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false)]
    #[case::no_trace("00-00000000000000000000000000000000-b7ad6b7169203331-01", false)]
    #[case::no_span("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false)]
    #[case::later_version("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", true)]
    #[case::later_version_with_a_line_feed(
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-\n",
        false
    )]
    #[case::empty("", false)]
    fn a_traceparent_is_one_that_the_service_takes(#[case] given: &str, #[case] fit: bool) {
        assert_eq!(call().with_traceparent(given).is_ok(), fit);
    }

    #[test]
    fn each_call_has_an_id_of_its_own() {
        assert_ne!(call().request_id(), call().request_id());
    }
}
