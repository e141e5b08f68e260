//! The settings in effect, written as a configuration file.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::Value;

use super::error::{Origin, one_line};
use super::layers::{Entry, Layers};
use crate::store::url::StoreUrl;
use crate::units::HIDDEN;

/// TOML in the order of `config/default.toml`, with the origin of each value that is not a default. Lines with a secret
/// hide it and are comments: the text loads, and its user has to add the secret.
pub(super) fn effective_toml(layers: &Layers) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in layers.entries() {
        if entry.section() != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            section = entry.section();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{gap}[{section}]");
        }
        let value = shown(entry);
        let mark = if value != entry.value && holds_secret(&value) { "# " } else { "" };
        let _ = match &entry.origin {
            Origin::BuiltIn => writeln!(text, "{mark}{} = {value}", entry.name()),
            origin @ (Origin::File { .. } | Origin::Environment(_) | Origin::Flag) => {
                let origin = one_line(&origin.to_string());
                writeln!(text, "{mark}{} = {value} # from {origin}", entry.name())
            }
        };
    }
    text
}

/// The origin of each key that is not a default.
pub(super) fn origins(layers: &Layers) -> BTreeMap<String, String> {
    let given = layers.entries().iter().filter(|entry| !matches!(entry.origin, Origin::BuiltIn));
    given.map(|entry| (entry.key.clone(), one_line(&entry.origin.to_string()))).collect()
}

/// The shown value of each key, to compare two configurations.
pub(super) fn values(layers: &Layers) -> BTreeMap<String, String> {
    let entries = layers.entries().iter();
    entries.map(|entry| (entry.key.clone(), shown(entry).to_string())).collect()
}

fn holds_secret(shown: &Value) -> bool {
    shown.as_str().is_some_and(|shown| shown.contains(HIDDEN))
}

fn shown(entry: &Entry) -> Value {
    match (entry.key.as_str(), &entry.value) {
        ("auth.previous_salt", Value::String(salt)) if salt.is_empty() => "".into(),
        ("auth.salt" | "auth.previous_salt" | "auth.admin_salt", _) => HIDDEN.into(),
        ("store.url" | "cache.url", Value::String(url)) if !url.is_empty() => {
            url.parse().map_or_else(|_| HIDDEN.to_owned(), |url: StoreUrl| url.to_string()).into()
        }
        (_, value) => value.clone(),
    }
}
