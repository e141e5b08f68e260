//! The settings in effect, written as a configuration file.

use std::collections::BTreeMap;
use std::fmt::Write;

use toml::Value;

use super::error::{Origin, one_line};
use super::layers::{Entry, Layers};
use crate::store::url::StoreUrl;

const HIDDEN: &str = "***";

/// TOML in the order of `config/default.toml`, secrets hidden, with the origin of all that is not a default.
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
        let _ = match &entry.origin {
            Origin::BuiltIn => writeln!(text, "{} = {}", entry.name(), shown(entry)),
            origin @ (Origin::File { .. } | Origin::Environment(_) | Origin::Flag) => {
                let origin = one_line(&origin.to_string());
                writeln!(text, "{} = {} # from {origin}", entry.name(), shown(entry))
            }
        };
    }
    text
}

/// Where each key was set that is not a default.
pub(super) fn origins(layers: &Layers) -> BTreeMap<String, String> {
    let given = layers.entries().iter().filter(|entry| !matches!(entry.origin, Origin::BuiltIn));
    given.map(|entry| (entry.key.clone(), one_line(&entry.origin.to_string()))).collect()
}

fn shown(entry: &Entry) -> Value {
    match (entry.key.as_str(), &entry.value) {
        ("auth.salt" | "auth.admin_salt", _) => HIDDEN.into(),
        ("store.url" | "cache.url", Value::String(url)) if !url.is_empty() => {
            url.parse().map_or_else(|_| HIDDEN.to_owned(), |url: StoreUrl| url.to_string()).into()
        }
        (_, value) => value.clone(),
    }
}
