//! The partners as a table for people.

use chrono::{DateTime, Utc};

use super::edit;
use crate::{
    config::partners::PartnersFile,
    domain::{Method, Partner},
};

const HEADER: [&str; 6] = ["ACCOUNT", "LOGIN", "STATE", "TOKENS", "METHODS", "EXPLAIN"];

/// A row for each partner, by account and login.
pub(super) fn table(file: &PartnersFile, now: DateTime<Utc>) -> String {
    let mut partners: Vec<_> = file.partners.iter().collect();
    partners.sort_by_key(|partner| (partner.account(), partner.login()));
    let rows: Vec<_> = [HEADER.map(str::to_owned)]
        .into_iter()
        .chain(partners.into_iter().map(|partner| row(partner, now)))
        .collect();
    let widths = [0, 1, 2, 3, 4, 5].map(|column| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &[String; 6]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(partner: &Partner, now: DateTime<Utc>) -> [String; 6] {
    let tokens = partner.tokens().map(|token| match token.until {
        None => "valid".to_owned(),
        Some(until) if token.is_live(now) => format!("until {}", edit::written(until)),
        Some(until) => format!("expired {}", edit::written(until)),
    });
    let methods: Vec<_> = Method::ALL.iter().filter(|method| partner.methods.contains(**method)).collect();
    let methods = match methods.len() {
        count if count == Method::ALL.len() => "all".to_owned(),
        _ => methods.into_iter().map(|method| method.as_str()).collect::<Vec<_>>().join(","),
    };
    [
        quoted_if_blank(partner.account()),
        quoted_if_blank(partner.login()),
        if partner.enabled { "enabled" } else { "disabled" }.to_owned(),
        tokens.collect::<Vec<_>>().join(", "),
        methods,
        if partner.explain { "yes" } else { "no" }.to_owned(),
    ]
}

/// `""` for an empty name, and quotes around one with blanks.
fn quoted_if_blank(name: &str) -> String {
    if name.is_empty() || name.contains(char::is_whitespace) { format!("{name:?}") } else { name.to_owned() }
}
