//! The arguments of a call: from options, as JSON, or from standard input.

use std::{
    convert::Infallible,
    io::{Read, stdin},
};

use clap::Args;
use serde_json::value::RawValue;

use super::failure::Failure;
use crate::{client::Person, domain::Redacted};

/// Maximum bytes of standard input; the service's default limit is lower.
const LONGEST: u64 = 64 << 20;

// No doc comment: clap would make it the description of the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Person")]
pub(super) struct PersonArgs {
    /// 11 digits, the first a 7.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    phone: Option<Redacted<String>>,
    /// With an @.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    email: Option<Redacted<String>>,
    #[arg(long, value_parser = hidden, conflicts_with = "arguments", help = "Any text.")]
    first_name: Option<Redacted<String>>,
    #[arg(long, value_parser = hidden, conflicts_with = "arguments", help = "Any text.")]
    last_name: Option<Redacted<String>>,
    /// DD.MM.YYYY, at most 70 years ago.
    #[arg(long, value_parser = hidden, conflicts_with = "arguments")]
    birthday: Option<Redacted<String>>,
    /// 0 for unknown, 1 or 2.
    #[arg(long, conflicts_with = "arguments")]
    gender: Option<i64>,
}

// ===== impl PersonArgs =====

impl PersonArgs {
    /// The options that are given.
    pub(super) fn to_person(&self) -> Person {
        let text = |given: &Option<Redacted<String>>| given.as_ref().map(|text| text.expose().clone());
        Person {
            phone: text(&self.phone),
            email: text(&self.email),
            first_name: text(&self.first_name),
            last_name: text(&self.last_name),
            birthday: text(&self.birthday),
            gender: self.gender,
        }
    }
}

/// The arguments that are `given` as JSON, else those of the other options.
pub(super) fn arguments(
    given: Option<&Redacted<String>>,
    made: impl FnOnce() -> Box<RawValue>,
) -> Result<Box<RawValue>, Failure> {
    let arguments = match given.map(|text| text.expose().as_str()) {
        None => Ok(made()),
        Some("-") => {
            let mut text = String::new();
            let unreadable = |source| Failure::Input { file: "standard input".into(), source };
            stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
            RawValue::from_string(text)
        }
        Some(text) => RawValue::from_string(text.to_owned()),
    };
    // The error itself may quote the text.
    arguments.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Failure::Usage(format!("--arguments: not JSON, see line {line}, column {column}"))
    })
}

/// A value that no error shows.
pub(super) fn hidden(text: &str) -> Result<Redacted<String>, Infallible> {
    Ok(Redacted::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_json_are_refused_unquoted() {
        let given = Redacted::new("{\"phone\": 79990001122 secret}".to_owned());
        let refused = arguments(Some(&given), || unreachable!()).unwrap_err();
        assert_eq!(refused.to_string(), "--arguments: not JSON, see line 1, column 23");
    }
}
