//! Files that hold a scorecard: read when settings are loaded, and by the subcommands for cards.

use std::fs;
use std::path::Path;

use crate::domain::{Card, CardFaults};

/// The most bytes of a card's file.
const LONGEST: u64 = 1 << 20;

/// Why a file is not a card.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCard {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The file has faults.
    #[error(transparent)]
    Faulty(#[from] CardFaults),
}

/// Reads a card.
///
/// # Errors
///
/// If the file cannot be read, or every fault in it.
pub(crate) fn read(path: &Path) -> Result<Card, NoCard> {
    let unreadable = |problem: &dyn std::fmt::Display| NoCard::Unreadable(problem.to_string());
    let size = fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !size.is_file() {
        return Err(unreadable(&"not a file"));
    }
    if size.len() > LONGEST {
        return Err(unreadable(&format!("larger than {} KiB", LONGEST >> 10)));
    }
    let bytes = fs::read(path).map_err(|error| unreadable(&error))?;
    let text = String::from_utf8(bytes).map_err(|_| unreadable(&"not valid UTF-8"))?;
    Ok(Card::read(&text)?)
}
