//! Scorecards, which are files of their own: read with the settings, so that their faults are reported together.

use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigErrors, Origin, Problem};
use super::layers::Layers;
use crate::actors::settings::{Cards, ScoringSettings};
use crate::card_file::{self, NoCard};
use crate::domain::Card;

/// Reads the cards that the settings name.
pub(super) fn read(scoring: &mut ScoringSettings, layers: &Layers, errors: &mut ConfigErrors) {
    let mut card = |key: &str, path: Option<&Path>| {
        let path = path?;
        match card_file::read(path) {
            Ok(card) => return Some(Arc::new(card)),
            // The setting names a file that is not a text: its own line is the one to look at.
            Err(NoCard::Unreadable(problem)) => {
                let problem = Problem::Refused(format!("{}: cannot be read: {problem}", path.display()));
                errors.add(layers.origin(key), key.to_owned(), problem);
            }
            Err(NoCard::Faulty(faults)) => {
                for fault in faults.iter() {
                    let origin = Origin::File { path: path.to_owned(), line: fault.line };
                    let key = Some(fault.key.clone()).filter(|key| !key.is_empty());
                    errors.add(origin, key, Problem::Refused(fault.problem.clone()));
                }
            }
        }
        None
    };
    let active = card("scoring.card", scoring.card.as_deref());
    let shadow = card("scoring.shadow_card", scoring.shadow_card.as_deref());
    scoring.cards = Cards { active: active.unwrap_or_else(Card::built_in), shadow };
}
