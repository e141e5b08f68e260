//! The faults of a configuration: one clear line for each, all of them at once.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `config/default.toml`, as compiled in.
    BuiltIn,
    /// A configuration file.
    File {
        /// As given.
        path: PathBuf,
        /// Counted from 1; `None` for the file as a whole.
        line: Option<usize>,
    },
    /// This environment variable.
    Environment(String),
    /// `--set` on the command line.
    Flag,
}

/// A fault of a value, or of a source of values. Never shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No part owns such a key.
    #[error("unknown key{}", .suggestion.as_ref().map(|key| format!(", did you mean {key}?")).unwrap_or_default())]
    UnknownKey {
        /// A key with nearly that name.
        suggestion: Option<String>,
    },
    /// A variable with one underscore between section and key.
    #[error(
        "not read, because section and key need two underscores between them; the variable is {variable}"
    )]
    OneUnderscore {
        /// The name that is read.
        variable: String,
    },
    /// The value has the wrong type.
    #[error("expected {expected}, got {got}")]
    WrongType {
        /// With its article: `a string`.
        expected: &'static str,
        /// Likewise.
        got: &'static str,
    },
    /// The part that owns the key rejects the value, or two keys contradict each other.
    #[error("{0}")]
    Refused(String),
    /// `--set` without a `=`.
    #[error("expected KEY=VALUE")]
    NoAssignment,
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// The parser's message, without the line of the error: that could contain a secret.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// The bytes are not UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
}

/// One fault in a configuration.
///
/// Shown as one line, even if the values contain line breaks: `config/x.toml:3: store.timeout: expected a duration …`.
#[derive(Debug)]
pub struct ConfigError {
    /// The origin of the value.
    pub origin: Origin,
    /// The key at fault, whose items are counted from 1: `partner[1].tokens[2]`; `None` for the source as a whole.
    pub key: Option<String>,
    /// The fault.
    pub problem: Problem,
}

/// All faults in a configuration, at least one; shown as one line each.
#[derive(Debug, Default)]
pub struct ConfigErrors(Vec<ConfigError>);

// ===== impl Origin =====

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in defaults"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag => f.write_str("--set"),
        }
    }
}

// ===== impl ConfigError =====

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.origin {
            Origin::Environment(_) => "environment variable ",
            Origin::BuiltIn | Origin::File { .. } | Origin::Flag => "",
        };
        let key = self.key.as_ref().map(|key| format!(": {key}")).unwrap_or_default();
        f.write_str(&one_line(&format!("{kind}{}{key}: {}", self.origin, self.problem)))
    }
}

impl std::error::Error for ConfigError {}

// ===== impl ConfigErrors =====

impl ConfigErrors {
    /// Iterates over the faults.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    pub(super) fn add(&mut self, origin: Origin, key: impl Into<Option<String>>, problem: Problem) {
        self.0.push(ConfigError { origin, key: key.into(), problem });
    }

    pub(super) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether `key` is already at fault. Rules that involve it are then skipped.
    pub(super) fn concern(&self, key: &str) -> bool {
        self.0.iter().any(|error| error.key.as_deref() == Some(key))
    }

    pub(crate) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Keys, paths and values come from outside: their characters must neither break a line nor control a terminal.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::file(Origin::File { path: "a.toml".into(), line: Some(3) }, "a.toml:3: a.b: not valid UTF-8")]
    #[case::whole_file(Origin::File { path: "a.toml".into(), line: None }, "a.toml: a.b: not valid UTF-8")]
    #[case::env(Origin::Environment("X".into()), "environment variable X: a.b: not valid UTF-8")]
    #[case::flag(Origin::Flag, "--set: a.b: not valid UTF-8")]
    fn an_error_names_its_origin_and_its_key(#[case] origin: Origin, #[case] shown: &str) {
        let error = ConfigError { origin, key: Some("a.b".to_owned()), problem: Problem::NotUtf8 };
        assert_eq!(error.to_string(), shown);
    }

    #[test]
    fn an_error_is_one_line_for_any_contents_of_its_parts() {
        let path = "a\nb\u{1b}[31m\u{2028}".into();
        let origin = Origin::File { path, line: None };
        let error =
            ConfigError { origin, key: Some("k\r".into()), problem: Problem::Refused("v\u{85}".into()) };
        assert_eq!(error.to_string(), "a\\nb\\u{1b}[31m\\u{2028}: k\\r: v\\u{85}");
    }
}
