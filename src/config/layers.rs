//! The layers of a configuration: the defaults, overridden by a file, the environment and the flags.
//!
//! `config/default.toml` is also the schema: it defines the keys and the type of each. A value's type is checked here,
//! before serde sees it, for two reasons: the environment has only text, and serde's own messages repeat the value,
//! which may be a secret.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use super::error::{ConfigErrors, Origin, Problem};
use super::leaves::{Leaf, parse};

const DEFAULTS: &str = include_str!("../../config/default.toml");
const PREFIX: &str = "SCORING_";

/// All keys, in the order of `config/default.toml`.
#[derive(Debug)]
pub(super) struct Layers(Vec<Entry>);

/// One key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    /// `store.timeout`.
    pub(super) key: String,
    /// The value from the topmost layer that sets it.
    pub(super) value: Value,
    /// That layer.
    pub(super) origin: Origin,
    default: Value,
}

// ===== impl Layers =====

impl Layers {
    pub(super) fn built_in() -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let leaves = parse(DEFAULTS).unwrap_or_else(|(_, problem)| {
            errors.add(Origin::BuiltIn, None, problem);
            Vec::new()
        });
        let entry = |leaf: Leaf| {
            let origin = Origin::BuiltIn;
            Entry { key: leaf.key, value: leaf.value.clone(), origin, default: leaf.value }
        };
        errors.or(Self(leaves.into_iter().map(entry).collect()))
    }

    pub(super) fn add_file(&mut self, path: &Path, errors: &mut ConfigErrors) {
        let origin = |line| Origin::File { path: path.to_owned(), line };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => return errors.add(origin(None), None, Problem::Unreadable(error)),
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return errors.add(origin(None), None, Problem::NotUtf8);
        };
        match parse(&text) {
            Err((line, problem)) => errors.add(origin(line), None, problem),
            Ok(leaves) => {
                for Leaf { key, in_section, line, value } in leaves {
                    if in_section && !self.is_section(&key) {
                        self.set(&key, value, origin(line), errors);
                    } else if !self.is_section(&key) {
                        self.unknown_key(&key, origin(line), errors);
                    } else if !value.is_table() {
                        let problem = Problem::WrongType { expected: "a table", got: type_of(&value) };
                        errors.add(origin(line), key, problem);
                    }
                }
            }
        }
    }

    /// Only variables with the prefix and a `__` count: for a service named `scoring-…`, Kubernetes itself sets
    /// `SCORING_…_PORT` and similar variables, and `SCORING_TOKEN` is for `call`. A key with single underscores throughout is
    /// an error: it would leave the service on the default store, for example.
    pub(super) fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        errors: &mut ConfigErrors,
    ) {
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(path) = name.strip_prefix(PREFIX) else { continue };
            if !path.contains("__") {
                self.one_underscore(&name, errors);
                continue;
            }
            let key = path.replace("__", ".").to_lowercase();
            let origin = Origin::Environment(name.clone());
            match value.into_string() {
                Err(_) => errors.add(origin, key, Problem::NotUtf8),
                // Variables are case-sensitive: with two spellings of one key, chance would decide which one wins.
                Ok(_) if variable(&key) != name => self.unknown_key(&key, origin, errors),
                Ok(text) => self.set_text(&key, text, origin, errors),
            }
        }
    }

    pub(super) fn add_flags(&mut self, assignments: &[String], errors: &mut ConfigErrors) {
        for assignment in assignments {
            match assignment.split_once('=') {
                Some((key, value)) => self.set_text(key, value.to_owned(), Origin::Flag, errors),
                // Not shown: it may be the salt, after a blank instead of a `=`.
                None => errors.add(Origin::Flag, None, Problem::NoAssignment),
            }
        }
    }

    /// All values as one TOML table, for serde.
    pub(super) fn to_table(&self) -> Table {
        let mut root = Table::new();
        for entry in &self.0 {
            let mut table = Some(&mut root);
            for section in entry.section().split('.') {
                let inner = table.map(|table| table.entry(section).or_insert_with(|| Table::new().into()));
                table = inner.and_then(Value::as_table_mut);
            }
            if let Some(table) = table {
                table.insert(entry.name().to_owned(), entry.value.clone());
            }
        }
        root
    }

    /// Resets a key to its default. Returns false if it has its default already, or if there is no such key.
    pub(super) fn reset(&mut self, key: &str) -> bool {
        match self.0.iter_mut().find(|entry| entry.key == key) {
            Some(entry) if entry.is_changed() => {
                entry.value = entry.default.clone();
                true
            }
            Some(_) | None => false,
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    pub(super) fn origin(&self, key: &str) -> Origin {
        self.get(key).map_or(Origin::BuiltIn, |entry| entry.origin.clone())
    }

    /// The environment and flags have only text, which is converted to the type of the default.
    fn set_text(&mut self, key: &str, text: String, origin: Origin, errors: &mut ConfigErrors) {
        let value = match self.get(key).map(|entry| &entry.default) {
            Some(Value::Integer(_)) => text.parse().map(Value::Integer).ok(),
            Some(Value::Boolean(_)) => text.parse().map(Value::Boolean).ok(),
            Some(Value::Float(_)) => text.parse().map(Value::Float).ok(),
            _ => None,
        };
        self.set(key, value.unwrap_or(Value::String(text)), origin, errors);
    }

    fn set(&mut self, key: &str, value: Value, origin: Origin, errors: &mut ConfigErrors) {
        let value = match (self.get(key).map(|entry| &entry.default), value) {
            // A 1 where a float is expected means 1.0. The part checks the range.
            (Some(Value::Float(_)), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        match self.0.iter_mut().find(|entry| entry.key == key) {
            None => match self.0.iter().find(|entry| is_within(&entry.key, key)) {
                None => self.unknown_key(key, origin, errors),
                Some(Entry { key, default, .. }) => {
                    let problem = Problem::WrongType { expected: type_of(default), got: "a table" };
                    errors.add(origin, key.clone(), problem);
                }
            },
            Some(entry) if entry.default.same_type(&value) => {
                entry.value = value;
                entry.origin = origin;
            }
            Some(entry) => {
                let problem = Problem::WrongType { expected: type_of(&entry.default), got: type_of(&value) };
                errors.add(origin, key.to_owned(), problem);
            }
        }
    }

    fn is_section(&self, name: &str) -> bool {
        self.0.iter().any(|entry| is_within(name, &entry.key))
    }

    /// Adds the error for an unknown key, with a suggestion in the notation of its origin.
    fn unknown_key(&self, key: &str, origin: Origin, errors: &mut ConfigErrors) {
        let suggestion = self.nearest(key).map(|near| match &origin {
            Origin::Environment(_) => variable(near),
            Origin::BuiltIn | Origin::File { .. } | Origin::Flag => near.to_owned(),
        });
        errors.add(origin, key.to_owned(), Problem::UnknownKey { suggestion });
    }

    /// Adds an error if `name` is a key's variable, but for an underscore.
    fn one_underscore(&self, name: &str, errors: &mut ConfigErrors) {
        let meant = |entry: &&Entry| variable(&entry.key).replace("__", "_").eq_ignore_ascii_case(name);
        if let Some(Entry { key, .. }) = self.0.iter().find(meant) {
            let problem = Problem::OneUnderscore { variable: variable(key) };
            errors.add(Origin::Environment(name.to_owned()), key.clone(), problem);
        }
    }

    /// The key that was probably meant by `key`: a letter or two different, or without its section.
    fn nearest(&self, key: &str) -> Option<&str> {
        let likeness = |entry: &Entry| {
            let whole = strsim::normalized_damerau_levenshtein(&entry.key, key);
            whole.max(strsim::normalized_damerau_levenshtein(entry.name(), key))
        };
        let scored = self.0.iter().map(|entry| (likeness(entry), entry.key.as_str()));
        let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
        best.filter(|(likeness, _)| *likeness > 0.7).map(|(_, key)| key)
    }
}

// ===== impl Entry =====

impl Entry {
    pub(super) fn section(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    pub(super) fn name(&self) -> &str {
        self.key.rsplit_once('.').map_or("", |(_, name)| name)
    }

    /// Whether it differs from the default. A file may repeat defaults: `config/default.toml` itself does.
    pub(super) fn is_changed(&self) -> bool {
        self.value != self.default
    }
}

/// Whether `key` is somewhere below `section`.
fn is_within(section: &str, key: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// `SCORING_STORE__URL` for `store.url`.
fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a float",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}
