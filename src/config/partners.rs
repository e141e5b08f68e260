//! The partners' file: `[[partner]]` entries, read with all faults and their lines.
//!
//! The file is parsed entry by entry: so a fault in one entry hides no other, and a large file needs little memory beyond
//! its text. An entry begins at a line with nothing but `[[partner]]`, so a text over several lines cannot contain one.

mod entry;
pub mod place;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path, sync::Arc};

use base16ct::lower::encode_string as lower_hex;
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::error::{ConfigErrors, Origin, Problem};
use crate::{domain::Partners, secret_file, units::Rate};
use entry::Entry;
use place::chunks;

/// Enough for a million partners; limits the cost of a wrong path such as `/dev/zero`.
const LARGEST: u64 = 512 << 20;

/// The contents of a partners' file; empty if there is no file.
#[derive(Debug, Clone, Default)]
pub struct PartnersFile {
    /// The partners.
    pub partners: Arc<Partners>,
    /// The partners that have a rate of their own, by account and login joined.
    pub rates: Arc<[(Arc<str>, Rate)]>,
    /// A digest of the meaning: 16 hex digits, or `""` without a file. Order and comments do not change it.
    pub digest: String,
}

/// The faults of a file, in the order in which they are found.
#[derive(Default)]
struct Faults(Vec<Fault>);

struct Fault {
    /// Where it is in the file, in bytes; `None` for the file as a whole.
    at: Option<usize>,
    key: Option<String>,
    problem: Problem,
}

// ===== impl Faults =====

impl Faults {
    fn add(&mut self, at: impl Into<Option<usize>>, key: impl Into<Option<String>>, problem: Problem) {
        self.0.push(Fault { at: at.into(), key: key.into(), problem });
    }

    fn refuse(&mut self, at: usize, key: String, why: impl Into<String>) {
        self.add(at, key, Problem::Refused(why.into()));
    }

    /// In the order of the file. One pass over `text` counts the lines of all faults.
    fn into_errors(mut self, text: &str, path: &Path) -> ConfigErrors {
        let mut errors = ConfigErrors::default();
        let (mut line, mut counted) = (1, 0);
        self.0.sort_by_key(|fault| fault.at);
        for Fault { at, key, problem } in self.0 {
            let line = at.map(|at| {
                let passed = text.as_bytes().get(counted..at).unwrap_or_default();
                line += passed.iter().filter(|byte| **byte == b'\n').count();
                counted = at;
                line
            });
            errors.add(Origin::File { path: path.to_owned(), line }, key, problem);
        }
        errors
    }
}

// ===== impl PartnersFile =====

impl PartnersFile {
    /// Drops the partners and keeps the digest, for a later comparison of the settings.
    pub fn forget(&mut self) {
        (self.partners, self.rates) = Default::default();
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// All faults, each with its line. They contain no digest.
    pub fn read(path: &Path, admin_login: &str) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut whole = |problem| {
            errors.add(Origin::File { path: path.to_owned(), line: None }, None, problem);
        };
        match secret_file::read_bounded(path, LARGEST).map(|bytes| bytes.map(String::from_utf8)) {
            Err(error) => whole(Problem::Unreadable(error)),
            Ok(None) => whole(Problem::Refused("is too large for a partners' file".to_owned())),
            Ok(Some(Err(_))) => whole(Problem::NotUtf8),
            Ok(Some(Ok(text))) => return Self::parse(&text, path, admin_login),
        }
        Err(errors)
    }

    /// Reads the text of a file; `path` is for the faults.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn parse(text: &str, path: &Path, admin_login: &str) -> Result<Self, ConfigErrors> {
        let mut faults = Faults::default();
        let (mut partners, mut rates, mut meanings) = (Partners::default(), Vec::new(), Vec::new());
        let mut lines: HashMap<Arc<str>, usize> = HashMap::new();
        // Counted from 1, as people count.
        let mut number = 0;
        for chunk in chunks(text) {
            number += usize::from(chunk.is_entry);
            let table = match DeTable::parse(chunk.text) {
                Ok(table) => table,
                Err(error) => {
                    let at = chunk.start + error.span().map_or(0, |span| span.start);
                    // The parser's message without the line itself, which may hold a digest.
                    faults.add(
                        at,
                        chunk.is_entry.then(|| format!("partner[{number}]")),
                        Problem::Syntax(error.message().to_owned()),
                    );
                    continue;
                }
            };
            if let Some(Entry { partner, rate, meaning }) =
                entry::read(&chunk, table.get_ref(), number, admin_login, &mut faults)
            {
                let joined = partner.joined().clone();
                match partners.insert(partner) {
                    Ok(()) => _ = lines.insert(joined.clone(), chunk.line),
                    Err(_) => faults.refuse(
                        chunk.start,
                        format!("partner[{number}]"),
                        format!(
                            "has the same account and login, joined, as the entry on line {}; a token cannot tell them apart",
                            lines.get(&joined).copied().unwrap_or_default()
                        ),
                    ),
                }
                rates.extend(rate.map(|rate| (joined, rate)));
                meanings.push(meaning);
            }
        }
        if number == 0 && faults.0.is_empty() {
            faults.add(None, None, Problem::Refused(
                "has no [[partner]], so it may have been cut; restore it, or add a partner with `scoring-api partners new`, or \
                 leave auth.partners_file empty".to_owned(),
            ));
        }
        meanings.sort_unstable();
        let digest =
            meanings.iter().fold(Sha256::new(), |all, one: &[u8; 32]| all.chain_update(one)).finalize();
        let mut digest = lower_hex(&digest);
        digest.truncate(16);
        faults.into_errors(text, path).or(Self { partners: Arc::new(partners), rates: rates.into(), digest })
    }
}
