//! One `[[partner]]` entry: its keys, their types and their rules.

use chrono::{DateTime, Utc};
use serde::de::{IntoDeserializer, value::Error as Refusal};
use sha2::{Digest, Sha256};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Faults, Problem, place::Chunk};
use crate::{
    domain::{MOST_TOKENS, Method, Methods, Partner, PartnerToken, TokenDigest},
    units::{self, Rate},
};

/// Letters of account and login together: both are in the log and in a metric.
const LONGEST_NAME: usize = 128;

const KEYS: [&str; 7] = ["account", "login", "tokens", "enabled", "rate", "methods", "explain"];
const TOKEN_KEYS: [&str; 2] = ["sha256", "until"];

/// A valid entry.
pub(super) struct Entry {
    pub(super) partner: Partner,
    pub(super) rate: Option<Rate>,
    /// A digest of all that the entry says.
    pub(super) meaning: [u8; 32],
}

/// A table of the entry, and its place for faults.
struct Reader<'a, 'f> {
    table: &'a DeTable<'a>,
    /// Where the entry's text begins in the file; the spans of TOML count from there.
    start: usize,
    path: String,
    /// Where the table is in the file.
    at: usize,
    faults: &'f mut Faults,
}

/// Reads the entry in `chunk`; `None` if it has a fault, or if the chunk is only the text before the first entry. `number`
/// is the entry's in the file, from 1.
pub(super) fn read(
    chunk: &Chunk<'_>,
    root: &DeTable<'_>,
    number: usize,
    admin_login: &str,
    faults: &mut Faults,
) -> Option<Entry> {
    let mut found = None;
    for (key, value) in root {
        let at = chunk.start + key.span().start;
        let entries = value.get_ref().as_array().filter(|_| chunk.is_entry);
        if key.get_ref() != "partner" {
            faults.add(at, shown(key.get_ref()), Problem::UnknownKey { suggestion: None });
        } else if let Some([_, _, ..]) = entries.map(|entries| &entries[..]) {
            // Another notation of the header, of which the entry would be overlooked.
            faults.refuse(at, "partner".to_owned(), "has a header that is not written as [[partner]]");
        } else if let Some(entries) = entries {
            found = entries.first().and_then(|entry| entry.get_ref().as_table());
        } else {
            let why = "must be written as [[partner]], on a line of its own";
            faults.refuse(at, "partner".to_owned(), why);
        }
    }
    let path = format!("partner[{number}]");
    let mut reader = Reader { table: found?, start: chunk.start, path, at: chunk.start, faults };
    reader.entry(admin_login)
}

// ===== impl Reader =====

impl<'a> Reader<'a, '_> {
    fn entry(&mut self, admin_login: &str) -> Option<Entry> {
        self.known(&KEYS);
        let account = self.required("account").and_then(|value| self.name("account", value));
        let login = self.required("login").and_then(|value| self.name("login", value));
        let tokens = self.required("tokens").and_then(|value| self.tokens(value));
        let enabled = self.flag("enabled", true);
        let explain = self.flag("explain", false);
        let rate = self.table.get("rate").map_or(Some(None), |value| self.rate(value).map(Some));
        let methods = self.table.get("methods").map_or(Some(Methods::ALL), |value| self.methods(value));
        if login == Some(admin_login) {
            self.refuse(self.place_of("login"), "login", "is the admin's, whose token is made otherwise");
            return None;
        }
        let (account, login, tokens) = (account?, login?, tokens?);
        let letters = account.chars().count() + login.chars().count();
        if letters == 0 || letters > LONGEST_NAME {
            let why = format!("account and login must have 1 to {LONGEST_NAME} letters together");
            self.faults.refuse(self.at, self.path.clone(), why);
            return None;
        }
        let (enabled, explain, rate, methods) = (enabled?, explain?, rate?, methods?);
        let mut partner = Partner::new(account, login, &tokens);
        (partner.enabled, partner.explain, partner.methods) = (enabled, explain, methods);
        let meaning = meaning(&partner, rate);
        Some(Entry { partner, rate, meaning })
    }

    fn refuse(&mut self, at: usize, key: &str, why: impl Into<String>) {
        self.faults.refuse(at, format!("{}.{key}", self.path), why);
    }

    fn place_of(&self, key: &str) -> usize {
        self.table.get_key_value(key).map_or(self.at, |(key, _)| self.start + key.span().start)
    }

    fn known(&mut self, keys: &[&str]) {
        let table = self.table;
        for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let near = keys.iter().find(|known| strsim::normalized_damerau_levenshtein(known, name) > 0.6);
            let problem = Problem::UnknownKey { suggestion: near.map(|&near| near.to_owned()) };
            let at = self.start + key.span().start;
            self.faults.add(at, format!("{}.{}", self.path, shown(name)), problem);
        }
    }

    fn required(&mut self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        let found = self.table.get(key);
        if found.is_none() {
            self.refuse(self.at, key, "is missing");
        }
        found
    }

    fn wrong_type(&mut self, key: &str, expected: &'static str, value: &Spanned<DeValue<'_>>) {
        let at = self.start + value.span().start;
        let problem = Problem::WrongType { expected, got: type_of(value.get_ref()) };
        self.faults.add(at, format!("{}.{key}", self.path), problem);
    }

    fn text(&mut self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<&'a str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        self.wrong_type(key, "a string", value);
        None
    }

    fn name(&mut self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Option<&'a str> {
        let text = self.text(key, value)?;
        if text.chars().any(char::is_control) {
            self.refuse(self.place_of(key), key, "must not contain control characters");
            return None;
        }
        Some(text)
    }

    fn flag(&mut self, key: &str, default: bool) -> Option<bool> {
        let Some(value) = self.table.get(key) else { return Some(default) };
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        self.wrong_type(key, "true or false", value);
        None
    }

    fn rate(&mut self, value: &'a Spanned<DeValue<'a>>) -> Option<Rate> {
        let text = self.text("rate", value)?;
        let read: Result<_, Refusal> = units::rate(text.into_deserializer());
        match read {
            Ok(Some(rate)) => return Some(rate),
            Ok(None) => self.refuse(self.place_of("rate"), "rate", "must not be empty; leave it out"),
            // Without the value: it may be a token that was put into the wrong place.
            Err(refused) => {
                let text = refused.to_string();
                let expected = text.split_once(", got ").map_or(text.as_str(), |(expected, _)| expected);
                self.refuse(self.place_of("rate"), "rate", expected.to_owned());
            }
        }
        None
    }

    fn methods(&mut self, value: &'a Spanned<DeValue<'a>>) -> Option<Methods> {
        let DeValue::Array(names) = value.get_ref() else {
            self.wrong_type("methods", "an array", value);
            return None;
        };
        if names.is_empty() {
            self.refuse(
                self.place_of("methods"),
                "methods",
                "must not be empty; leave it out, or use enabled = false",
            );
            return None;
        }
        let mut read = Vec::new();
        for (number, value) in (1..).zip(names) {
            let key = format!("methods[{number}]");
            let Some(name) = self.text(&key, value) else { continue };
            match Method::named(name) {
                Some(method) => read.push(method),
                None => self.refuse(self.start + value.span().start, &key, Method::rule()),
            }
        }
        (read.len() == names.len()).then(|| read.into_iter().collect())
    }

    fn tokens(&mut self, value: &'a Spanned<DeValue<'a>>) -> Option<Vec<PartnerToken>> {
        let DeValue::Array(tokens) = value.get_ref() else {
            self.wrong_type("tokens", "an array", value);
            return None;
        };
        if tokens.is_empty() || tokens.len() > MOST_TOKENS {
            let why = format!("must be 1 to {MOST_TOKENS} tokens, got {}", tokens.len());
            self.refuse(self.place_of("tokens"), "tokens", why);
        }
        let read: Vec<_> = (1..).zip(tokens).map(|(number, value)| self.token(number, value)).collect();
        let read: Vec<_> = read.into_iter().collect::<Option<_>>()?;
        if let [one, other] = read.as_slice()
            && one.digest == other.digest
        {
            self.refuse(self.place_of("tokens"), "tokens", "are the same token twice");
            return None;
        }
        (1..=MOST_TOKENS).contains(&read.len()).then_some(read)
    }

    fn token(&mut self, number: usize, value: &'a Spanned<DeValue<'a>>) -> Option<PartnerToken> {
        let key = format!("tokens[{number}]");
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(&key, "a table", value);
            return None;
        };
        let at = self.start + value.span().start;
        let path = format!("{}.{key}", self.path);
        let mut token = Reader { table, start: self.start, path, at, faults: self.faults };
        token.known(&TOKEN_KEYS);
        let digest = token.required("sha256").and_then(|value| token.digest(value));
        let until = table.get("until").map_or(Some(None), |value| token.until(value).map(Some));
        Some(PartnerToken { digest: digest?, until: until? })
    }

    fn digest(&mut self, value: &'a Spanned<DeValue<'a>>) -> Option<TokenDigest> {
        let text = self.text("sha256", value)?;
        let digest = TokenDigest::from_hex(text);
        if digest.is_none() {
            // Never shown: it may be the token itself.
            self.refuse(
                self.place_of("sha256"),
                "sha256",
                "must be 64 hex digits in lower case: the SHA-256 of the token's text",
            );
        }
        digest
    }

    fn until(&mut self, value: &Spanned<DeValue<'_>>) -> Option<DateTime<Utc>> {
        let DeValue::Datetime(time) = value.get_ref() else {
            self.wrong_type("until", "a date", value);
            return None;
        };
        let read = time.to_string().parse::<DateTime<Utc>>().ok();
        if read.is_none() {
            let why = "must be a time with its zone, such as 2026-12-31T00:00:00Z";
            self.refuse(self.place_of("until"), "until", why);
        }
        read
    }
}

/// The name of an unknown key, cut: it may be a digest in the wrong place.
fn shown(name: &str) -> String {
    name.chars().take(16).collect()
}

fn meaning(partner: &Partner, rate: Option<Rate>) -> [u8; 32] {
    // Debug escapes the names, so no two entries are written the same.
    let tokens: Vec<_> = partner.tokens().map(|token| (token.digest.to_hex(), token.until)).collect();
    let Partner { enabled, explain, methods, .. } = partner;
    let (account, login) = (partner.account(), partner.login());
    Sha256::digest(format!("{:?}", (account, login, tokens, enabled, explain, methods, rate))).into()
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
