//! Scorecards, which are files of their own: read with the settings, so that their faults are reported together.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigErrors, Origin, Problem};
use super::layers::Layers;
use crate::actors::settings::{Cards, ScoringSettings};
use crate::domain::Card;
use crate::secret_file::read_bounded;

/// The most bytes of a card's file.
const LARGEST: u64 = 1 << 20;

/// Reads the cards that the settings name.
pub(super) fn read(scoring: &mut ScoringSettings, layers: &Layers, errors: &mut ConfigErrors) {
    let mut card = |key: &str, path: Option<&Path>| {
        let path = path?;
        // The setting names a file that is not a text: its own line is the one to look at.
        text(path)
            .map_err(|problem| {
                let problem = Problem::Refused(format!("{}: {problem}", path.display()));
                errors.add(layers.origin(key), key.to_owned(), problem);
            })
            .ok()
            .and_then(|text| parse(&text, path, errors))
    };
    let active = card("scoring.card", scoring.card.as_deref());
    let shadow = card("scoring.shadow_card", scoring.shadow_card.as_deref());
    scoring.cards = Cards { active: active.unwrap_or_else(Card::built_in), shadow };
}

/// Reads a card's file. `None` means that its faults have been added, each with its line.
pub(crate) fn read_card(path: &Path, errors: &mut ConfigErrors) -> Option<Arc<Card>> {
    text(path)
        .map_err(|problem| errors.add(Origin::File { path: path.to_owned(), line: None }, None, problem))
        .ok()
        .and_then(|text| parse(&text, path, errors))
}

fn text(path: &Path) -> Result<String, Problem> {
    // A pipe without a writer would hang the reload of a service.
    if path.metadata().map_err(Problem::Unreadable)?.is_file() {
        let bytes = read_bounded(path, LARGEST).map_err(Problem::Unreadable)?;
        let bytes = bytes.ok_or_else(|| Problem::Refused("is too large for a card".to_owned()))?;
        String::from_utf8(bytes).map_err(|_| Problem::NotUtf8)
    } else {
        Err(Problem::Unreadable(io::Error::other("not a file")))
    }
}

fn parse(text: &str, path: &Path, errors: &mut ConfigErrors) -> Option<Arc<Card>> {
    let faults = match Card::read(text) {
        Ok(card) => return Some(Arc::new(card)),
        Err(faults) => faults,
    };
    for fault in faults.iter() {
        let origin = Origin::File { path: path.to_owned(), line: fault.line };
        let key = Some(fault.key.clone()).filter(|key| !key.is_empty());
        errors.add(origin, key, Problem::Refused(fault.problem.clone()));
    }
    None
}
