//! Scorecards: tables of points from which a score is computed, with the reasons for it.
//!
//! A card is data, as PMML's Scorecard is: characteristics, each with bins of which the first that matches gives its
//! points. There is no expression language, so a card always ends, always gives a score, and can be checked as a whole.
//!
//! # Layout
//!
//! - `points`: numbers with three decimals, summed exactly
//! - `when`: the conditions of a bin
//! - `read`: a card's file, with all of its faults
//! - `cases`: every kind of person that a card distinguishes: for bins that never match, and for the range of scores

mod cases;
mod points;
mod read;
mod when;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use base16ct::lower::encode_string as lower_hex;
use chrono::NaiveDate;
use md5::Md5;
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::points::Points;
pub use self::read::{CardFault, CardFaults};
use self::when::{Inputs, When};
use super::requests::OnlineScore;
use super::score::{Score, key};

/// The built-in card: the contract's formula.
const BUILT_IN: &str = include_str!("../../config/card.toml");

/// The digest of the built-in card. A card that means the same shares its cache keys.
const BUILT_IN_DIGEST: &str = "5033ec6f809547b0a4d44ffbc226f30b44395c62af501326d0792a844ffc30d2";

/// A scorecard, checked: every score that it gives is finite and at least 0. Two cards are equal if they have the same
/// version and digest.
#[derive(Debug, Clone)]
pub struct Card {
    version: String,
    base: Points,
    min: Option<Points>,
    max: Option<Points>,
    most_reasons: usize,
    characteristics: Vec<Characteristic>,
    /// Known once it is checked.
    range: Range,
    uses_age: bool,
    digest: String,
    /// The digest of a cache key, after the part that stands for the card: so a call does not digest it again.
    key_start: Md5,
}

/// The lowest and the highest score of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    /// No score is lower.
    pub lowest: Points,
    /// No score is higher.
    pub highest: Points,
}

/// One property of a person, and its points.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Characteristic {
    name: String,
    reason: Option<String>,
    baseline: Points,
    bins: Vec<Bin>,
}

/// The points of the people that match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bin {
    when: When,
    points: Points,
    reason: Option<String>,
}

/// A score with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The score.
    pub score: Score,
    /// The reason codes, the one with the most points below its baseline first.
    pub reasons: Vec<String>,
    /// The card's version.
    pub card: String,
}

/// The share of one characteristic in a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share<'a> {
    /// The characteristic.
    pub name: &'a str,
    /// The number of the bin that matched, from 1; `None` if no bin did.
    pub bin: Option<usize>,
    /// The bin's points; 0 if no bin matched.
    pub points: Points,
    /// The points below which the characteristic is a reason.
    pub baseline: Points,
    /// The reason code of the bin, else of the characteristic.
    pub reason: Option<&'a str>,
}

// ===== impl Card =====

impl Card {
    /// The card that is compiled in, `config/card.toml`: the contract's formula.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        static CARD: LazyLock<Arc<Card>> = LazyLock::new(|| match Card::read(BUILT_IN) {
            Ok(card) => Arc::new(card),
            Err(faults) => unreachable!("a test reads this file: {faults}"),
        });
        CARD.clone()
    }

    /// Reads the text of a card's file.
    ///
    /// # Errors
    ///
    /// Every fault, in the order of the lines.
    pub fn read(text: &str) -> Result<Self, CardFaults> {
        read::card(text)
    }

    /// The version that the card's author gave it.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// SHA-256, in lower-case hex, of everything that decides about scores and reasons. Two files that differ only in
    /// their version, in names, comments, or the order of keys and lists have the same digest.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The lowest and the highest score. If the card distinguishes too many kinds of people to try each, no person may
    /// get quite as low or as high.
    #[must_use]
    pub fn range(&self) -> Range {
        self.range
    }

    /// The position of `score` between the lowest score, 0, and the highest, 1.
    #[must_use]
    pub fn position(&self, score: Score) -> f64 {
        let (lowest, highest) = (self.range.lowest.to_f64(), self.range.highest.to_f64());
        if highest > lowest { ((score.value() - lowest) / (highest - lowest)).clamp(0.0, 1.0) } else { 1.0 }
    }

    /// The score of `person` on `today`.
    #[must_use]
    pub fn score(&self, person: &OnlineScore, today: NaiveDate) -> Score {
        self.total(&Inputs::of(person, today)).to_score()
    }

    /// The score of `person` on `today`, with its reasons: codes of characteristics whose points are below their
    /// baseline, by the distance. A code that occurs twice is named once, with the sum of its distances. Codes of equal
    /// distance are in the card's order.
    #[must_use]
    pub fn explain(&self, person: &OnlineScore, today: NaiveDate) -> Explained {
        let inputs = Inputs::of(person, today);
        let mut below: Vec<(&str, Points)> = Vec::with_capacity(self.characteristics.len());
        for share in self.shares_of(&inputs) {
            let Some(reason) = share.reason.filter(|_| share.points < share.baseline) else { continue };
            let distance = share.baseline - share.points;
            match below.iter_mut().find(|(code, _)| *code == reason) {
                Some((_, sum)) => *sum = *sum + distance,
                None => below.push((reason, distance)),
            }
        }
        below.sort_by_key(|(_, distance)| std::cmp::Reverse(*distance));
        Explained {
            score: self.total(&inputs).to_score(),
            reasons: below.into_iter().take(self.most_reasons).map(|(code, _)| code.to_owned()).collect(),
            card: self.version.clone(),
        }
    }

    /// The share of each characteristic in the score of `person` on `today`, in the card's order.
    #[must_use]
    pub fn shares(&self, person: &OnlineScore, today: NaiveDate) -> Vec<Share<'_>> {
        self.shares_of(&Inputs::of(person, today)).collect()
    }

    /// The points that everyone starts with.
    #[must_use]
    pub fn base(&self) -> Points {
        self.base
    }

    /// The number of characteristics.
    #[must_use]
    pub fn characteristics(&self) -> usize {
        self.characteristics.len()
    }

    /// The person's age in years on `today`, if the card uses it: the part of a score's inputs that changes at midnight.
    #[must_use]
    pub fn age(&self, person: &OnlineScore, today: NaiveDate) -> Option<u8> {
        if self.uses_age { Inputs::of(person, today).age } else { None }
    }

    /// The key under which the score of `person` on `today` is cached: `uid:` and the MD5, in lower-case hex, of the
    /// card's digest, the age if the card uses it, and all inputs. Two people share a key only if every input is equal.
    /// The built-in card has the keys of the compiled formula that it replaced.
    #[must_use]
    pub fn cache_key(&self, person: &OnlineScore, today: NaiveDate) -> String {
        key(self.key_start.clone(), self.age(person, today), person)
    }

    fn conditions(&self) -> impl Iterator<Item = &When> {
        self.characteristics.iter().flat_map(|characteristic| &characteristic.bins).map(|bin| &bin.when)
    }

    fn total(&self, inputs: &Inputs<'_>) -> Points {
        let points = self.characteristics.iter().map(|characteristic| characteristic.points(inputs));
        self.clamp(points.fold(self.base, |sum, points| sum + points))
    }

    fn clamp(&self, sum: Points) -> Points {
        let sum = self.max.map_or(sum, |max| sum.min(max));
        self.min.map_or(sum, |min| sum.max(min))
    }

    fn shares_of<'a>(&'a self, inputs: &Inputs<'_>) -> impl Iterator<Item = Share<'a>> {
        self.characteristics.iter().map(|characteristic| {
            let found = characteristic.find(inputs);
            Share {
                name: &characteristic.name,
                bin: found.map(|(index, _)| index + 1),
                points: found.map_or(Points::ZERO, |(_, bin)| bin.points),
                baseline: characteristic.baseline,
                reason: found.and_then(|(_, bin)| bin.reason.as_deref()).or(characteristic.reason.as_deref()),
            }
        })
    }

    /// A text that two cards share exactly if they give the same scores and reasons by the same table. Each text follows
    /// its length, so that texts cannot run into each other.
    fn meaning(&self) -> String {
        let text = |text: Option<&str>| text.map_or("-".to_owned(), |text| format!("{}:{text}", text.len()));
        let limit = |limit: Option<Points>| limit.map_or("-".to_owned(), |points| points.to_string());
        let (min, max) = (limit(self.min), limit(self.max));
        let mut meaning = format!("card 1;{};{min};{max};{};", self.base, self.most_reasons);
        for Characteristic { name: _, reason, baseline, bins } in &self.characteristics {
            // Writing to a string cannot fail.
            _ = write!(meaning, "[{}{baseline};", text(reason.as_deref()));
            for Bin { when, points, reason } in bins {
                _ = write!(meaning, "{{{when}}}{points};{}", text(reason.as_deref()));
            }
            meaning.push(']');
        }
        meaning
    }

    fn digested(mut self) -> Self {
        self.digest = lower_hex(&Sha256::digest(self.meaning()));
        let is_built_in = self.digest == BUILT_IN_DIGEST;
        let start = if is_built_in { "v1;".to_owned() } else { format!("c{};", self.digest) };
        self.key_start = Md5::new_with_prefix(start);
        let uses_age = self.conditions().any(When::uses_age);
        self.uses_age = uses_age;
        self
    }
}

impl PartialEq for Card {
    fn eq(&self, other: &Self) -> bool {
        (&self.version, &self.digest) == (&other.version, &other.digest)
    }
}

// ===== impl Characteristic =====

impl Characteristic {
    fn find(&self, inputs: &Inputs<'_>) -> Option<(usize, &Bin)> {
        self.bins.iter().enumerate().find(|(_, bin)| bin.when.matches(inputs))
    }

    fn points(&self, inputs: &Inputs<'_>) -> Points {
        self.find(inputs).map_or(Points::ZERO, |(_, bin)| bin.points)
    }
}

/// Where in 0.0 to 1.0 the person lies, by a hash of their data: the same for every card, process and day, so that a
/// share of all people is always the same people.
#[must_use]
pub fn position_among_people(person: &OnlineScore) -> f64 {
    let digest = Md5::digest(super::score::encode(None, person));
    let bytes = digest.first_chunk().copied().unwrap_or_default();
    // 32 bits fit a float exactly.
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests;
