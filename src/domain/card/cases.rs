//! Every kind of person that a card distinguishes.
//!
//! A condition splits the values of an argument into few kinds: the phones with each listed prefix and the others, the ages
//! between two limits. One person of each combination stands for the rest of it, so a check of one each is a proof.

use std::collections::BTreeSet;

use super::when::{Condition, Inputs, When};
use super::{Card, Characteristic, Points, Range};

/// The most conditions that are tried in one check of a card; each text of a list counts.
pub(super) const MOST_WORK: usize = 8_000_000;

/// The highest age that a call may have.
const OLDEST: u8 = 70;

/// The digits of a phone.
const DIGITS: usize = 11;

/// Why a bin gives its points to no person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dead {
    /// No person meets its conditions.
    Impossible,
    /// An earlier bin matches each person that meets them.
    Shadowed,
}

/// The values of each argument, one for each kind; `None` is the empty argument.
struct Kinds {
    phones: Vec<Option<String>>,
    domains: Vec<Option<String>>,
    ages: Vec<Option<u8>>,
}

// ===== impl Kinds =====

impl Kinds {
    /// The kinds that `conditions` distinguish.
    fn of<'a>(conditions: impl Iterator<Item = &'a When>) -> Self {
        let (mut prefixes, mut domains, mut ages) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::from([0]));
        for condition in conditions.flat_map(|when| &when.0) {
            match condition {
                Condition::There(..) | Condition::Gender(_) => {}
                Condition::Age { from, below } => ages.extend([Some(*from), *below].into_iter().flatten()),
                Condition::PhonePrefix(texts) => prefixes.extend(texts.iter().map(String::as_str)),
                Condition::EmailDomain(texts) => domains.extend(texts.iter().cloned()),
            }
        }
        let starts = prefixes.iter().copied().chain(["7"]).collect::<BTreeSet<_>>();
        let phones = starts.into_iter().filter_map(|start| complete(start, &prefixes));
        // The empty domain stands for each one that is not listed.
        domains.insert(String::new());
        Self {
            phones: phones.map(Some).chain([None]).collect(),
            domains: domains.into_iter().map(Some).chain([None]).collect(),
            ages: ages.into_iter().filter(|age| *age <= OLDEST).map(Some).chain([None]).collect(),
        }
    }

    /// The conditions to try for one person of each combination.
    fn work<'a>(&self, conditions: impl Iterator<Item = &'a When>) -> usize {
        conditions.fold(0, |work: usize, when| work.saturating_add(self.count().saturating_mul(when.work())))
    }

    /// The number of combinations.
    fn count(&self) -> usize {
        self.phones
            .len()
            .saturating_mul(self.domains.len())
            .saturating_mul(self.ages.len())
            .saturating_mul(16)
    }

    /// One person of each combination that a call may have.
    fn people(&self) -> impl Iterator<Item = Inputs<'_>> {
        const THERE: [bool; 2] = [false, true];
        let names = THERE.iter().flat_map(|first| THERE.iter().map(move |last| (*first, *last)));
        let genders = [None, Some(0), Some(1), Some(2)];
        let rest = names
            .flat_map(move |(first_name, last_name)| {
                genders.map(|gender| Inputs { first_name, last_name, gender, ..Inputs::default() })
            })
            .collect::<Vec<_>>();
        let with_ages = self
            .ages
            .iter()
            .flat_map(move |age| rest.clone().into_iter().map(move |inputs| Inputs { age: *age, ..inputs }));
        with_ages
            .flat_map(move |inputs| {
                self.phones.iter().flat_map(move |phone| {
                    self.domains.iter().map(move |domain| Inputs {
                        phone: phone.as_deref(),
                        email_domain: domain.as_deref(),
                        ..inputs
                    })
                })
            })
            .filter(Inputs::has_pair)
    }
}

/// A phone that starts with `start` and with no longer one of `prefixes`. `None` if there is no such phone.
fn complete(start: &str, prefixes: &BTreeSet<&str>) -> Option<String> {
    if start.len() == DIGITS {
        return Some(start.to_owned());
    }
    (0..10).map(|digit| format!("{start}{digit}")).find_map(|next| {
        let longer = prefixes.range(next.as_str()..).next().filter(|prefix| prefix.starts_with(&next));
        match longer {
            None => Some(format!("{next:0<DIGITS$}")),
            Some(prefix) if *prefix == next => None,
            Some(_) => complete(&next, prefixes),
        }
    })
}

/// The bins of `characteristic` that match no person; `None` if to try them takes more than `budget`, the rest for
/// the card.
pub(super) fn dead_bins(characteristic: &Characteristic, budget: &mut usize) -> Option<Vec<(usize, Dead)>> {
    let bins = &characteristic.bins;
    let kinds = Kinds::of(bins.iter().map(|bin| &bin.when));
    *budget = budget.checked_sub(kinds.work(bins.iter().map(|bin| &bin.when)))?;
    let mut dead = vec![Some(Dead::Impossible); bins.len()];
    for person in kinds.people() {
        let mut is_first = true;
        for (bin, dead) in bins.iter().zip(&mut dead) {
            if *dead == Some(Dead::Impossible) || is_first {
                let matches = bin.when.matches(&person);
                match (matches, is_first) {
                    (true, true) => *dead = None,
                    (true, false) => *dead = Some(Dead::Shadowed),
                    (false, _) => {}
                }
                is_first &= !matches;
            }
        }
    }
    Some(dead.into_iter().enumerate().filter_map(|(index, dead)| Some((index, dead?))).collect())
}

/// The scores of a card: exact, unless it distinguishes too many kinds of people to try each. Then the sums of the
/// characteristics' own extremes bound it.
pub(super) fn range(card: &Card) -> Range {
    let kinds = Kinds::of(card.conditions());
    if kinds.work(card.conditions()) <= MOST_WORK {
        let mut totals = kinds.people().map(|person| card.total(&person));
        let first = totals.next().unwrap_or_default();
        return totals.fold(Range { lowest: first, highest: first }, |range, total| Range {
            lowest: range.lowest.min(total),
            highest: range.highest.max(total),
        });
    }
    let points = |characteristic: &Characteristic| {
        let points =
            characteristic.bins.iter().map(|bin| bin.points).chain([Points::ZERO]).collect::<Vec<_>>();
        (points.iter().min().copied().unwrap_or_default(), points.iter().max().copied().unwrap_or_default())
    };
    let (lowest, highest) = card
        .characteristics
        .iter()
        .map(points)
        .fold((card.base, card.base), |(low, high), (least, most)| (low + least, high + most));
    Range { lowest: card.clamp(lowest), highest: card.clamp(highest) }
}
