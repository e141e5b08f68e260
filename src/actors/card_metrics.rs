//! How scores are counted: by their source, by their place in the card's range, and against a shadow card.

use std::sync::Arc;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::domain::{Card, Score};

/// The origin of an answered score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The near cache of this process.
    Near,
    /// The cache.
    Cache,
    /// The card.
    Computed,
}

/// Counts scores. Clones share the counts.
#[derive(Debug, Clone)]
pub struct CardMetrics(Arc<Counts>);

/// The series, looked up once instead of for each score.
#[derive(Debug)]
struct Counts {
    near: IntCounter,
    cache: IntCounter,
    computed: IntCounter,
    position: Histogram,
    info: IntGaugeVec,
    same: IntCounter,
    different: IntCounter,
    difference: Histogram,
}

// ===== impl Source =====

impl Source {
    /// Its name in the log and in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Cache => "cache",
            Self::Computed => "computed",
        }
    }
}

// ===== impl CardMetrics =====

impl CardMetrics {
    /// Creates and registers the metrics.
    ///
    /// # Errors
    ///
    /// If they are already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let tenths = (1..=10).map(|tenth| f64::from(tenth) / 10.0).collect();
        let scores = IntCounterVec::new(
            Opts::new(
                "scoring_scores_total",
                "Answered scores by source: near (this process had it), cache, or computed.",
            ),
            &["source"],
        )?;
        let position = Histogram::with_opts(
            HistogramOpts::new(
                "scoring_score_ratio",
                "Where answered scores lie between the card's lowest score, 0, and its highest, 1.",
            )
            .buckets(tenths),
        )?;
        let info = IntGaugeVec::new(
            Opts::new("scoring_card_info", "The card in effect; the value is always 1."),
            &["version", "digest"],
        )?;
        let shadow = IntCounterVec::new(
            Opts::new(
                "scoring_shadow_total",
                "Answered scores that were compared with the shadow card's: same or different.",
            ),
            &["result"],
        )?;
        let difference = Histogram::with_opts(
            HistogramOpts::new(
                "scoring_shadow_difference_ratio",
                "Distances between an answered score and the shadow card's, where they differ, as a share of the card's range.",
            )
            .buckets(vec![0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
        )?;
        registry.register(Box::new(scores.clone()))?;
        registry.register(Box::new(position.clone()))?;
        registry.register(Box::new(info.clone()))?;
        registry.register(Box::new(shadow.clone()))?;
        registry.register(Box::new(difference.clone()))?;
        let of = |source: Source| scores.with_label_values(&[source.as_str()]);
        Ok(Self(Arc::new(Counts {
            near: of(Source::Near),
            cache: of(Source::Cache),
            computed: of(Source::Computed),
            position,
            info,
            same: shadow.with_label_values(&["same"]),
            different: shadow.with_label_values(&["different"]),
            difference,
        })))
    }

    /// Names the card in effect. During a reload a scrape finds the one before, too.
    pub fn name(&self, card: &Card) {
        self.0.info.with_label_values(&[card.version(), card.digest()]).set(1);
    }

    /// The card is no longer in effect.
    pub fn forget(&self, card: &Card) {
        // Fails only if it was forgotten already.
        _ = self.0.info.remove_label_values(&[card.version(), card.digest()]);
    }

    /// Counts a score that answers a call, at this `position` in the card's range.
    pub fn answered(&self, source: Source, position: f64) {
        let counter = match source {
            Source::Near => &self.0.near,
            Source::Cache => &self.0.cache,
            Source::Computed => &self.0.computed,
        };
        counter.inc();
        self.0.position.observe(position);
    }

    /// Counts a comparison with a shadow card. `width` is the distance from the card's lowest score to its highest.
    pub fn compared(&self, score: Score, shadow: Score, width: f64) {
        let distance = (score.value() - shadow.value()).abs();
        if distance == 0.0 {
            self.0.same.inc();
        } else {
            self.0.different.inc();
            self.0.difference.observe(if width > 0.0 { distance / width } else { 1.0 });
        }
    }
}
