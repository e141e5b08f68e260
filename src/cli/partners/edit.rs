//! Changes of a partners' file as text, so that comments and the other entries stay as they are.

use std::ops::Range;

use chrono::{DateTime, SecondsFormat, Utc};
use toml::{
    Spanned, Value,
    de::{DeTable, DeValue},
};

use crate::{
    config::partners::place::{Chunk, chunks},
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

/// The text with other tokens of this partner; `None` if the entry is not found. Tokens in `[[partner.tokens]]` tables become
/// one value. Comments among the tokens stay.
pub(super) fn set_tokens(text: &str, partner: &Partner, tokens: &[PartnerToken]) -> Option<String> {
    set(text, partner, "tokens", &tokens_text(tokens))
}

/// The line of this partner's entry, from 1.
pub(super) fn line_of(text: &str, partner: &Partner) -> Option<usize> {
    let mut entries = chunks(text).filter(|chunk| chunk.is_entry);
    let is_its = |chunk: &Chunk<'_>| {
        DeTable::parse(chunk.text).is_ok_and(|root| entry_of(root.get_ref(), partner).is_some())
    };
    entries.find(is_its).map(|chunk| chunk.line)
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
        let Some(entry) = entry_of(root.get_ref(), partner) else { continue };
        let (before, after) = (text.get(..chunk.start)?, text.get(chunk.start + chunk.text.len()..)?);
        let tables = entry.get(key).map(|old| tables_in(chunk.text, old)).unwrap_or_default();
        let changed = match entry.get(key) {
            Some(old) if tables.is_empty() => {
                let line = chunk.text.get(..old.span().start)?.rfind('\n').map_or(0, |end| end + 1);
                let comments = comments_of(chunk.text.get(old.span())?);
                replaced(&replaced(chunk.text, old.span(), value)?, line..line, &comments)?
            }
            _ => {
                let rest = without(chunk.text, tables)?;
                let header = rest.find('\n').map_or(rest.len(), |end| end + 1);
                let gap = if rest.contains('\n') { "" } else { "\n" };
                replaced(&rest, header..header, &format!("{gap}{key} = {value}\n"))?
            }
        };
        return Some([before, &changed, after].concat());
    }
    None
}

/// The comments among the tokens of an array, each on a line of its own. The tokens are hex digits and dates, without a `#`.
fn comments_of(value: &str) -> String {
    let comments = value.lines().filter_map(|line| line.split_once('#'));
    comments.map(|(_, comment)| format!("#{comment}\n")).collect()
}

fn replaced(text: &str, range: Range<usize>, with: &str) -> Option<String> {
    Some([text.get(..range.start)?, with, text.get(range.end..)?].concat())
}

/// The places of the headers and of the keys with their values, if `value` is written as tables: `[[partner.tokens]]`.
fn tables_in(text: &str, value: &Spanned<DeValue<'_>>) -> Vec<Range<usize>> {
    let is_header = |range: Range<usize>| text.get(range).is_some_and(|text| text.starts_with("[["));
    let tables = value.get_ref().as_array().filter(|_| is_header(value.span()));
    let mut places = Vec::new();
    for table in tables.into_iter().flat_map(|tables| tables.iter()) {
        places.push(table.span());
        let keys = table.get_ref().as_table().into_iter().flatten();
        places.extend(keys.map(|(key, value)| key.span().start..value.span().end));
    }
    places.sort_unstable_by_key(|place| place.start);
    places
}

/// The text without `places`, which are in their order. A line of which only blanks would remain goes as a whole.
fn without(text: &str, places: Vec<Range<usize>>) -> Option<String> {
    let mut rest = text.to_owned();
    for Range { start, end } in places.into_iter().rev() {
        let line = rest.get(..start)?.rfind('\n').map_or(0, |end| end + 1);
        let next = rest.get(end..)?.find('\n').map_or(rest.len(), |length| end + length + 1);
        let is_blank = |range| rest.get(range).is_some_and(|text: &str| text.trim().is_empty());
        let range = if is_blank(line..start) && is_blank(end..next) { line..next } else { start..end };
        rest.replace_range(range, "");
    }
    Some(rest)
}

/// The table of the partner's entry, if `root` is that entry.
fn entry_of<'a>(root: &'a DeTable<'a>, partner: &Partner) -> Option<&'a DeTable<'a>> {
    let entries = root.get("partner")?.get_ref().as_array()?;
    let entry = entries.first()?.get_ref().as_table()?;
    let is = |key, expected: &str| match entry.get(key).map(|value| value.get_ref()) {
        Some(DeValue::String(text)) => text == expected,
        _ => false,
    };
    (is("account", partner.account()) && is("login", partner.login())).then_some(entry)
}
