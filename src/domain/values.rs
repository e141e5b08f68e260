//! The types of single arguments: a value of such a type has passed its rule.
//!
//! Personal values are [`Redacted`], so that `Debug` of a request can go anywhere.

use std::fmt;

use chrono::NaiveDate;

use super::dates::anniversary;
use super::fields::{Field, Reason, is_empty_string};
use super::json::Json;
use super::redacted::Redacted;

/// The maximum age of a client, in years; the 70th birthday itself still counts.
const MAX_AGE: i32 = 70;

/// The context in which arguments are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Today's date in the service's time zone; see [`Authenticator::today`](super::Authenticator::today).
    pub today: NaiveDate,
    /// The maximum number of ids in one `clients_interests`, including repeated ones (`limits.client_ids`).
    pub max_client_ids: usize,
    /// Whether `online_score` has the argument `explain`. Without, it is an unknown field, and ignored.
    pub explain: bool,
}

/// A phone number: 11 ASCII digits, the first a 7. A string and an integer with the same digits are the same phone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Phone(Redacted<String>);

/// An e-mail address: to the protocol, any string with an `@`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Email(Redacted<String>);

/// A first or last name: any string but `""`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Redacted<String>);

/// A birthday that is not in the future, and no more than 70 years back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Birthday(Redacted<NaiveDate>);

/// A gender. 0 means that it is not known; that is an answer, not an empty value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gender {
    /// 0
    Unknown,
    /// 1
    Male,
    /// 2
    Female,
}

/// The id of a client whose interests are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub i64);

// ===== impl Phone =====

impl Phone {
    /// The 11 digits. Personal: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }
}

impl<C> Field<C> for Phone {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, _: &C) -> Result<Self, Reason> {
        let digits = match raw {
            Json::String(text) => text,
            Json::Integer(number) => number.to_string(),
            Json::Null | Json::Bool(_) | Json::OtherNumber | Json::Array(_) | Json::Object(_) => {
                return Err("must be a string or an integer".into());
            }
        };
        let is_phone =
            digits.len() == 11 && digits.starts_with('7') && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_phone {
            Ok(Self(Redacted::new(digits)))
        } else {
            Err("must be 11 digits and start with 7".into())
        }
    }
}

// ===== impl Email =====

impl Email {
    /// The address as given. Personal: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }
}

impl<C> Field<C> for Email {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, context: &C) -> Result<Self, Reason> {
        let text = String::parse(raw, context)?;
        if text.contains('@') { Ok(Self(Redacted::new(text))) } else { Err("must contain \"@\"".into()) }
    }
}

// ===== impl Name =====

impl Name {
    /// The name as given. Personal: not for logs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.expose()
    }
}

impl<C> Field<C> for Name {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, context: &C) -> Result<Self, Reason> {
        Redacted::parse(raw, context).map(Self)
    }
}

// ===== impl Birthday =====

impl Birthday {
    /// The day. Personal: not for logs.
    #[must_use]
    pub fn date(self) -> NaiveDate {
        *self.0.expose()
    }
}

impl Field<Rules> for Birthday {
    fn is_empty(raw: &Json) -> bool {
        is_empty_string(raw)
    }

    fn parse(raw: Json, rules: &Rules) -> Result<Self, Reason> {
        let date = NaiveDate::parse(raw, rules)?;
        if date > rules.today {
            Err("must not be in the future".into())
        } else if anniversary(date, MAX_AGE).is_some_and(|last_day| rules.today > last_day) {
            Err("must not be more than 70 years ago".into())
        } else {
            Ok(Self(Redacted::new(date)))
        }
    }
}

// ===== impl Gender =====

impl Gender {
    /// Its number in the protocol.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Male => 1,
            Self::Female => 2,
        }
    }
}

impl<C> Field<C> for Gender {
    fn parse(raw: Json, _: &C) -> Result<Self, Reason> {
        [Self::Unknown, Self::Male, Self::Female]
            .into_iter()
            .find(|gender| raw == Json::Integer(gender.code().into()))
            .ok_or_else(|| "must be 0, 1 or 2".into())
    }
}

/// Hidden like the rest of a person's data; `derive` would show it.
impl fmt::Debug for Gender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gender([redacted])")
    }
}

impl<C> Field<C> for bool {
    fn parse(raw: Json, _: &C) -> Result<Self, Reason> {
        if let Json::Bool(value) = raw { Ok(value) } else { Err("must be true or false".into()) }
    }
}

// ===== impl ClientId =====

impl ClientId {
    /// The store key of this client's interests.
    #[must_use]
    pub fn key(&self) -> String {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(self.0);
        let mut key = String::with_capacity("i:".len() + digits.len());
        key.push_str("i:");
        key.push_str(digits);
        key
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Field<Rules> for Vec<ClientId> {
    fn parse(raw: Json, rules: &Rules) -> Result<Self, Reason> {
        const WRONG_TYPE: Reason = Reason::Borrowed("must be an array of integers");
        let Json::Array(items) = raw else {
            return Err(WRONG_TYPE);
        };
        if items.is_empty() {
            return Err("must not be empty".into());
        }
        if items.len() > rules.max_client_ids {
            return Err(format!("must hold at most {} ids", rules.max_client_ids).into());
        }
        let id = |item| {
            if let Json::Integer(id) = item { Ok(ClientId(id)) } else { Err(WRONG_TYPE) }
        };
        items.into_iter().map(id).collect()
    }
}
