//! Settings of scoring.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::{domain::Card, units};

/// `[scoring]`: how scores are computed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringSettings {
    /// The file of the scorecard; `None`, the default, for the built-in card.
    #[serde(deserialize_with = "units::path")]
    pub card: Option<PathBuf>,
    /// The file of a card to compare with; `None` by default.
    #[serde(deserialize_with = "units::path")]
    pub shadow_card: Option<PathBuf>,
    /// The share of people that the shadow card is tried on, 0.0 to 1.0; all by default.
    #[serde(deserialize_with = "units::share")]
    pub shadow_share: f64,
    /// Whether callers may ask for reasons; false by default.
    pub explain: bool,
    /// The cards that were read from these files.
    #[serde(skip)]
    pub cards: Cards,
}

/// The cards of the settings.
#[derive(Debug, Clone)]
pub struct Cards {
    /// The card that answers calls.
    pub active: Arc<Card>,
    /// The card that is compared with it.
    pub shadow: Option<Arc<Card>>,
}

impl Default for Cards {
    fn default() -> Self {
        Self { active: Card::built_in(), shadow: None }
    }
}
