//! The requests of a client: the contract's tables, and the rules that involve more than one field.

use std::collections::HashSet;

use chrono::NaiveDate;

use super::fields::{Faults, Form, Table, request};
use super::json::{Json, Object};
use super::redacted::Redacted;
use super::values::{Birthday, ClientId, Email, Gender, Name, Phone, Rules};

request! {
    /// The envelope of every method call.
    pub struct MethodRequest {
        account:    String,           optional, nullable, "The partner's account; `\"\"` if absent or null.";
        login:      String,           required, nullable, "The partner's login; null counts as `\"\"`.";
        token:      Redacted<String>, required, nullable, "What proves both; null and `\"\"` never do.";
        arguments:  Object,           required, nullable, "The method's own arguments; null counts as `{}`.";
        method:     String,           required, filled,   "The method's name, as yet unchecked.";
    }
}

request! {
    /// The arguments of `online_score`; at least one pair is complete.
    #[derive(Hash)]
    pub struct OnlineScore {
        phone:      Option<Phone>,    optional, nullable, "A string or an integer; 11 ASCII digits, the first 7.";
        email:      Option<Email>,    optional, nullable, "A string with an `@`.";
        first_name: Option<Name>,     optional, nullable, "A string.";
        last_name:  Option<Name>,     optional, nullable, "A string.";
        birthday:   Option<Birthday>, optional, nullable, "`DD.MM.YYYY`, not in the future, at most 70 years ago.";
        gender:     Option<Gender>,   optional, nullable, "The integer 0, 1 or 2.";
    }
}

request! {
    /// The arguments of `clients_interests`.
    pub struct ClientsInterests {
        client_ids: Vec<ClientId>,     required, filled,   "As given, repeated ids included; never empty.";
        date:       Option<NaiveDate>, optional, nullable, "`DD.MM.YYYY`, any day. The answer does not depend on it.";
    }
}

// ===== impl MethodRequest =====

impl MethodRequest {
    /// Reads the envelope. The arguments stay unread, because the token must be checked first.
    ///
    /// # Errors
    ///
    /// Every fault of the envelope, in the order of its table; or the single fault that the body is not an object.
    pub fn from_json(body: Json) -> Result<Self, Faults> {
        let Json::Object(object) = body else {
            return Err(Faults::one("request", "must be an object"));
        };
        let mut form = Form::new(object, &());
        let read = Self::read(&mut form);
        form.finish(read)
    }
}

// ===== impl OnlineScore =====

impl OnlineScore {
    const PAIRS: [(&'static str, &'static str); 3] =
        [("phone", "email"), ("first_name", "last_name"), ("gender", "birthday")];

    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Every fault, in the order of the table, and last the fault that no pair is complete. A pair counts as complete
    /// if both its values are present, valid or not. So a client with a mistyped phone is not told that the phone is
    /// missing.
    pub fn parse(arguments: Object, rules: &Rules) -> Result<Self, Faults> {
        Self::parse_and_list(arguments, rules).0.map(|(person, _)| person)
    }

    /// As [`parse`](Self::parse), and whether the call asks for reasons; and the names of the arguments that are not
    /// empty, valid or not, in the order of the table: `has` in the call's context.
    ///
    /// `explain` is not a field of the table, because it is no input of a score: no cache key may depend on it.
    pub fn parse_and_list(
        arguments: Object,
        rules: &Rules,
    ) -> (Result<(Self, bool), Faults>, Vec<&'static str>) {
        let mut form = Form::new(arguments, rules);
        let read = Self::read(&mut form);
        let present = form.filled().to_vec();
        let explain =
            if rules.explain { form.take("explain", Some(false), Some(false)) } else { Some(false) };
        if !Self::PAIRS.iter().any(|(one, other)| present.contains(one) && present.contains(other)) {
            let reason = "must have phone and email, first_name and last_name, or gender and birthday";
            form.add_fault("arguments", reason);
        }
        (form.finish(read.zip(explain)), present)
    }
}

// ===== impl ClientsInterests =====

impl ClientsInterests {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// Every fault, in the order of the table.
    pub fn parse(arguments: Object, rules: &Rules) -> Result<Self, Faults> {
        let mut form = Form::new(arguments, rules);
        let read = Self::read(&mut form);
        form.finish(read)
    }

    /// The number of ids given, including repeated ones: `nclients` in the call's context. `None` if they are not an
    /// array.
    #[must_use]
    pub fn nclients(arguments: &Object) -> Option<usize> {
        match arguments.get("client_ids") {
            Some(Json::Array(ids)) => Some(ids.len()),
            Some(_) | None => None,
        }
    }

    /// Every client once, in the order of their first occurrence.
    #[must_use]
    pub fn unique_clients(&self) -> Vec<ClientId> {
        // Most calls repeat no id. Sorting detects that in a third of the time that hashing takes.
        let mut sorted = self.client_ids.clone();
        sorted.sort_unstable();
        if sorted.is_sorted_by(|one, next| one < next) {
            return self.client_ids.clone();
        }
        let mut seen = HashSet::with_capacity(self.client_ids.len());
        self.client_ids.iter().copied().filter(|client| seen.insert(*client)).collect()
    }
}

#[cfg(test)]
mod tests;
