//! The card in effect, with everything that belongs to it: one value, replaced as a whole.
//!
//! A call loads it once. If card and near cache were two values, a call in flight could put a score of the old card into
//! the new near cache.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::NaiveDate;

use super::{
    card_metrics::{CardMetrics, Source},
    near_cache::{NearCache, NearKey},
    settings::ScoringSettings,
};
use crate::domain::{Card, Explained, OnlineScore, Score, position_among_people};

/// The place from which every call loads the card in effect.
pub type CardSwitch = Arc<ArcSwap<ActiveCard>>;

/// The card in effect.
#[derive(Debug)]
pub struct ActiveCard {
    card: Arc<Card>,
    /// Scores of this card.
    near: NearCache,
    explain: bool,
    shadow: Option<Shadow>,
    metrics: CardMetrics,
}

/// A card that is tried out on some of the people. Its scores are compared and counted, and answer no call.
#[derive(Debug)]
struct Shadow {
    card: Arc<Card>,
    /// Of all people, 0.0 to 1.0.
    share: f64,
}

// ===== impl ActiveCard =====

impl ActiveCard {
    /// A card with its near cache, without reasons and without a shadow.
    pub fn new(card: Arc<Card>, near: NearCache, metrics: CardMetrics) -> Self {
        metrics.name(&card);
        Self { card, near, explain: false, shadow: None, metrics }
    }

    /// The card of the settings.
    pub fn from_settings(settings: &ScoringSettings, near: NearCache, metrics: CardMetrics) -> Self {
        let ScoringSettings { cards, shadow_share: share, explain, .. } = settings;
        let shadow = cards.shadow.clone().map(|card| Shadow { card, share: *share });
        Self { explain: *explain, shadow, ..Self::new(cards.active.clone(), near, metrics) }
    }

    /// The place for calls to load it from.
    pub fn into_switch(self) -> CardSwitch {
        Arc::new(ArcSwap::from_pointee(self))
    }

    /// The card of new settings. It keeps the near scores only if they are scores of that card too.
    #[must_use]
    pub fn replaced(&self, settings: &ScoringSettings) -> Self {
        let is_same = settings.cards.active.digest() == self.card.digest();
        let near = if is_same { self.near.clone() } else { self.near.emptied() };
        let next = Self::from_settings(settings, near, self.metrics.clone());
        if next.card != self.card {
            self.metrics.forget(&self.card);
        }
        next
    }

    /// The card.
    pub fn card(&self) -> &Card {
        &self.card
    }

    /// The card that is compared with it.
    pub fn shadow(&self) -> Option<&Card> {
        self.shadow.as_ref().map(|shadow| &*shadow.card)
    }

    /// Whether callers may ask for reasons.
    pub fn explains(&self) -> bool {
        self.explain
    }

    /// The key of a person's score in the near cache.
    pub fn near_key(&self, person: OnlineScore, today: NaiveDate) -> NearKey {
        let age = self.card.age(&person, today);
        NearKey { person, age }
    }

    /// The score for `key`, if the near cache has it. Counts it as an answer.
    pub fn near_hit(&self, key: &NearKey, today: NaiveDate) -> Option<Score> {
        let score = self.near.get(key)?;
        self.count(&key.person, today, score, Source::Near);
        Some(score)
    }

    /// The near cache of this card's scores.
    pub fn near(&self) -> &NearCache {
        &self.near
    }

    /// Computes a score with its reasons, and counts it.
    pub fn explain(&self, person: &OnlineScore, today: NaiveDate) -> Explained {
        let explained = self.card.explain(person, today);
        self.count(person, today, explained.score, Source::Computed);
        explained
    }

    /// Counts a score that answers a call, and compares it with the shadow's.
    pub fn count(&self, person: &OnlineScore, today: NaiveDate, score: Score, source: Source) {
        self.metrics.answered(source, self.card.position(score));
        if let Some(Shadow { card, share }) = &self.shadow
            && position_among_people(person) < *share
        {
            let other = card.score(person, today);
            let range = self.card.range();
            let width = range.highest.to_f64() - range.lowest.to_f64();
            self.metrics.compared(score, other, width);
        }
    }
}
