//! The conditions of a bin, and the view of a person that they look at.

use std::fmt;

use chrono::NaiveDate;

use crate::domain::dates::age_in_years;
use crate::domain::{Email, Gender, OnlineScore, Phone};

/// A person as cards see them. `None` means that the argument is empty.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Inputs<'a> {
    pub(super) phone: Option<&'a str>,
    /// The part of the email behind its last `@`.
    pub(super) email_domain: Option<&'a str>,
    pub(super) first_name: bool,
    pub(super) last_name: bool,
    /// Whole years; known exactly if there is a birthday.
    pub(super) age: Option<u8>,
    pub(super) gender: Option<u8>,
}

/// Conditions, all of which must hold. Without a condition it always holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct When {
    /// Whether each argument is there, if that matters.
    pub(super) phone: Option<bool>,
    pub(super) email: Option<bool>,
    pub(super) first_name: Option<bool>,
    pub(super) last_name: Option<bool>,
    pub(super) birthday: Option<bool>,
    pub(super) gender: Option<bool>,
    /// One of these genders.
    pub(super) genders: Option<Vec<u8>>,
    pub(super) age: Option<Ages>,
    /// The phone begins with one of these.
    pub(super) phone_prefix: Option<Vec<String>>,
    /// The email is at one of these domains, in lower case.
    pub(super) email_domain: Option<Vec<String>>,
}

/// Ages in whole years, from `from` and below `below`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ages {
    pub(super) from: u8,
    pub(super) below: Option<u8>,
}

// ===== impl Inputs =====

impl<'a> Inputs<'a> {
    pub(super) fn of(person: &'a OnlineScore, today: NaiveDate) -> Self {
        // Without `..`: a new argument must be offered to cards, or be left out here on purpose.
        let OnlineScore { phone, email, first_name, last_name, birthday, gender } = person;
        let domain = |email: &'a Email| email.as_str().rsplit_once('@').map_or("", |(_, domain)| domain);
        Self {
            phone: phone.as_ref().map(Phone::as_str),
            email_domain: email.as_ref().map(domain),
            first_name: first_name.is_some(),
            last_name: last_name.is_some(),
            age: birthday.map(|birthday| age_in_years(birthday.date(), today)),
            gender: gender.map(Gender::code),
        }
    }

    /// Whether a call may have these arguments: one pair is complete.
    pub(super) fn has_pair(&self) -> bool {
        self.phone.is_some() && self.email_domain.is_some()
            || self.first_name && self.last_name
            || self.gender.is_some() && self.age.is_some()
    }
}

// ===== impl When =====

impl When {
    pub(super) fn matches(&self, inputs: &Inputs<'_>) -> bool {
        // Without `..`: a condition that is read must also be asked.
        let Self {
            phone,
            email,
            first_name,
            last_name,
            birthday,
            gender,
            genders,
            age,
            phone_prefix,
            email_domain,
        } = self;
        let is = |wanted: &Option<bool>, there: bool| wanted.is_none_or(|wanted| wanted == there);
        is(phone, inputs.phone.is_some())
            && is(email, inputs.email_domain.is_some())
            && is(first_name, inputs.first_name)
            && is(last_name, inputs.last_name)
            && is(birthday, inputs.age.is_some())
            && is(gender, inputs.gender.is_some())
            && holds(genders.as_ref(), inputs.gender, |genders, gender| genders.contains(&gender))
            && holds(age.as_ref(), inputs.age, Ages::contains)
            && holds(phone_prefix.as_ref(), inputs.phone, |prefixes, phone| {
                prefixes.iter().any(|prefix| phone.starts_with(prefix))
            })
            && holds(email_domain.as_ref(), inputs.email_domain, |domains, domain| {
                domains.iter().any(|listed| listed.eq_ignore_ascii_case(domain))
            })
    }

    /// The conditions, with each text of a list as one.
    pub(super) fn conditions(&self) -> usize {
        let texts = [&self.phone_prefix, &self.email_domain];
        1 + texts.into_iter().flatten().map(Vec::len).sum::<usize>()
    }

    pub(super) fn uses_age(&self) -> bool {
        self.age.is_some()
    }
}

/// A condition on a value. It does not hold for an empty argument.
fn holds<C, V>(condition: Option<&C>, value: Option<V>, test: impl Fn(&C, V) -> bool) -> bool {
    condition.is_none_or(|condition| value.is_some_and(|value| test(condition, value)))
}

/// Unambiguous, for the card's digest: lists are sorted, and texts follow their length.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            phone,
            email,
            first_name,
            last_name,
            birthday,
            gender,
            genders,
            age,
            phone_prefix,
            email_domain,
        } = self;
        for there in [phone, email, first_name, last_name, birthday, gender] {
            f.write_str(match there {
                None => "-",
                Some(false) => "0",
                Some(true) => "1",
            })?;
        }
        if let Some(genders) = genders {
            write!(f, "g{genders:?}")?;
        }
        if let Some(Ages { from, below }) = age {
            write!(f, "a{from}..{}", below.map_or(String::new(), |below| below.to_string()))?;
        }
        for (mark, texts) in [('p', phone_prefix), ('d', email_domain)] {
            for text in texts.iter().flatten() {
                write!(f, "{mark}{}:{text}", text.len())?;
            }
        }
        Ok(())
    }
}

// ===== impl Ages =====

impl Ages {
    fn contains(&self, age: u8) -> bool {
        age >= self.from && self.below.is_none_or(|below| age < below)
    }
}
