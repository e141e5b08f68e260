//! The files that the repository ships besides the binary match the binary: manifests, alert rules, dashboards,
//! documents.

mod chores;
mod configuration;
mod inhibition;
mod links;
mod manifests;
mod monitoring;
mod readme;
mod workflows;

use std::{fs, path::PathBuf};

use serde_json::Value;

pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file)
}

pub fn text(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&text(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The elements of an array; empty for any other value.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
