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

/// An argument that a condition asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Phone,
    Email,
    FirstName,
    LastName,
    Birthday,
    Gender,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whether the argument is there.
    There(Argument, bool),
    /// One of these genders, sorted.
    Gender(Vec<u8>),
    /// An age in whole years, from `from` and below `below`.
    Age { from: u8, below: Option<u8> },
    /// The phone begins with one of these, sorted.
    PhonePrefix(Vec<String>),
    /// The email is at one of these domains, in lower case, sorted.
    EmailDomain(Vec<String>),
}

/// Conditions, all of which must hold. Without a condition it always holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct When(pub(super) Vec<Condition>);

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

    fn has(&self, argument: Argument) -> bool {
        match argument {
            Argument::Phone => self.phone.is_some(),
            Argument::Email => self.email_domain.is_some(),
            Argument::FirstName => self.first_name,
            Argument::LastName => self.last_name,
            Argument::Birthday => self.age.is_some(),
            Argument::Gender => self.gender.is_some(),
        }
    }
}

// ===== impl Condition =====

impl Condition {
    /// A condition on a value does not hold if the argument is empty.
    fn holds(&self, inputs: &Inputs<'_>) -> bool {
        match self {
            Self::There(argument, there) => inputs.has(*argument) == *there,
            Self::Gender(genders) => inputs.gender.is_some_and(|gender| genders.contains(&gender)),
            Self::Age { from, below } => {
                inputs.age.is_some_and(|age| age >= *from && below.is_none_or(|below| age < below))
            }
            Self::PhonePrefix(prefixes) => {
                inputs.phone.is_some_and(|phone| prefixes.iter().any(|prefix| phone.starts_with(prefix)))
            }
            Self::EmailDomain(domains) => inputs
                .email_domain
                .is_some_and(|domain| domains.iter().any(|listed| listed.eq_ignore_ascii_case(domain))),
        }
    }

    /// The comparisons that it takes.
    fn work(&self) -> usize {
        match self {
            Self::There(..) | Self::Gender(_) | Self::Age { .. } => 1,
            Self::PhonePrefix(texts) | Self::EmailDomain(texts) => texts.len(),
        }
    }
}

// ===== impl When =====

impl When {
    pub(super) fn matches(&self, inputs: &Inputs<'_>) -> bool {
        self.0.iter().all(|condition| condition.holds(inputs))
    }

    pub(super) fn uses_age(&self) -> bool {
        self.0.iter().any(|condition| matches!(condition, Condition::Age { .. }))
    }

    /// The comparisons that it takes at most.
    pub(super) fn work(&self) -> usize {
        1 + self.0.iter().map(Condition::work).sum::<usize>()
    }
}

/// Unambiguous, for the card's digest: texts follow their length.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.0 {
            match condition {
                Condition::There(argument, there) => write!(f, "{argument:?}={there};")?,
                Condition::Gender(genders) => write!(f, "gender={genders:?};")?,
                Condition::Age { from, below } => write!(f, "age={from},{below:?};")?,
                Condition::PhonePrefix(texts) => write_texts(f, "phone", texts)?,
                Condition::EmailDomain(texts) => write_texts(f, "domain", texts)?,
            }
        }
        Ok(())
    }
}

fn write_texts(f: &mut fmt::Formatter<'_>, name: &str, texts: &[String]) -> fmt::Result {
    write!(f, "{name}")?;
    for text in texts {
        write!(f, ",{}:{text}", text.len())?;
    }
    f.write_str(";")
}
