//! Changes of a partners' file as text, so that comments and the other entries stay as they are.

use std::ops::Range;

use chrono::{DateTime, SecondsFormat, Utc};
use toml::{
    Value,
    de::{DeTable, DeValue},
};

use crate::{
    config::partners::place::chunks,
    domain::{Partner, PartnerToken, TokenDigest},
};

/// The text with an entry more at its end.
pub(super) fn append(text: &str, account: &str, login: &str, digest: TokenDigest) -> String {
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let [account, login] = [account, login].map(|name| Value::String(name.to_owned()));
    let tokens = tokens_text(&[PartnerToken { digest, until: None }]);
    format!("{text}{gap}[[partner]]\naccount = {account}\nlogin = {login}\ntokens = {tokens}\n")
}

/// The text with `enabled` of this partner changed; `None` if the entry is not found.
pub(super) fn set_enabled(text: &str, partner: &Partner, enabled: bool) -> Option<String> {
    set(text, partner, "enabled", &enabled.to_string())
}

/// The text with other tokens of this partner; `None` if they are not one value.
pub(super) fn set_tokens(text: &str, partner: &Partner, tokens: &[PartnerToken]) -> Option<String> {
    set(text, partner, "tokens", &tokens_text(tokens))
}

/// `2026-12-31T00:00:00Z`.
pub(super) fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn tokens_text(tokens: &[PartnerToken]) -> String {
    let one = |token: &PartnerToken| {
        let until = token.until.map(|until| format!(", until = {}", written(until))).unwrap_or_default();
        format!("{{ sha256 = \"{}\"{until} }}", token.digest.to_hex())
    };
    match tokens {
        [token] => format!("[{}]", one(token)),
        tokens => {
            format!("[\n{}]", tokens.iter().map(|token| format!("    {},\n", one(token))).collect::<String>())
        }
    }
}

/// Replaces the value of `key` in the partner's entry, or adds the key below the header.
fn set(text: &str, partner: &Partner, key: &str, value: &str) -> Option<String> {
    for chunk in chunks(text).filter(|chunk| chunk.is_entry) {
        let root = DeTable::parse(chunk.text).ok()?;
        let Some(place) = place_in(root.get_ref(), partner, key) else { continue };
        let (range, with) = match place {
            Some(range) => (range, value.to_owned()),
            None => {
                let header = chunk.text.find('\n').map_or(chunk.text.len(), |end| end + 1);
                let gap = if chunk.text.contains('\n') { "" } else { "\n" };
                (header..header, format!("{gap}{key} = {value}\n"))
            }
        };
        let (before, after) = (text.get(..chunk.start + range.start)?, text.get(chunk.start + range.end..)?);
        return Some([before, &with, after].concat());
    }
    None
}

/// If the table is the partner's entry: the place of the key's value, if it has the key.
fn place_in(root: &DeTable<'_>, partner: &Partner, key: &str) -> Option<Option<Range<usize>>> {
    let entries = root.get("partner")?.get_ref().as_array()?;
    let entry = entries.first()?.get_ref().as_table()?;
    let is = |key, expected: &str| match entry.get(key).map(|value| value.get_ref()) {
        Some(DeValue::String(text)) => text == expected,
        _ => false,
    };
    (is("account", partner.account()) && is("login", partner.login()))
        .then(|| entry.get(key).map(|value| value.span()))
}
