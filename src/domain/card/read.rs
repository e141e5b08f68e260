//! Reading a card's file: every fault of it, each with its line.

mod values;

use std::collections::HashSet;
use std::fmt;

use md5::Md5;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::values::{
    Faulty, boolean, email_domain, gender, integer, label, phone_prefix, points, shown, texts,
};
use super::cases::{self, Dead};
use super::points::Points;
use super::when::{Argument, Condition, When};
use super::{Bin, Card, Characteristic, Range};

/// The most characteristics of a card.
const MOST_CHARACTERISTICS: usize = 200;

/// The most bins of a characteristic.
const MOST_BINS: usize = 1_000;

/// The reason codes of an answer, if the card does not say how many.
const REASONS: usize = 4;

/// The most reason codes of an answer.
const MOST_REASONS: i64 = 10;

/// The highest age in a condition.
const OLDEST: i64 = 150;

/// The arguments of which only the presence can be asked for; `gender` has values of its own too.
const ARGUMENTS: [(&str, Argument); 5] = [
    ("phone", Argument::Phone),
    ("email", Argument::Email),
    ("first_name", Argument::FirstName),
    ("last_name", Argument::LastName),
    ("birthday", Argument::Birthday),
];

/// One fault of a card's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFault {
    /// Counted from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// Such as `characteristic[2].bin[1].points`, counted from 1; empty for the file as a whole.
    pub key: String,
    /// In words that follow the key.
    pub problem: String,
}

/// Every fault of a card's file, at least one; shown as one line each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CardFaults(Vec<CardFault>);

impl CardFaults {
    /// The faults in the order of the lines.
    pub fn iter(&self) -> impl Iterator<Item = &CardFault> {
        self.0.iter()
    }
}

impl fmt::Display for CardFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Display for CardFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

/// The text, and the faults that have been found in it.
struct Reader<'t> {
    text: &'t str,
    /// Each with the byte where it is; `None` for the file as a whole. Its line is counted at the end.
    faults: Vec<(Option<usize>, CardFault)>,
    /// The conditions that may still be tried.
    budget: usize,
}

/// A table of the file, of which keys are taken one by one.
struct Section<'t> {
    path: String,
    /// The byte at which it begins.
    at: usize,
    left: DeTable<'t>,
}

pub(super) fn card(text: &str) -> Result<Card, CardFaults> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, faults: Vec::new(), budget: cases::MOST_WORK };
    if !errors.is_empty() {
        for error in errors {
            reader.add(
                error.span().map_or(0, |span| span.start),
                "",
                format!("not valid TOML: {}", error.message()),
            );
        }
        return Err(reader.into_faults());
    }
    let root = Section { path: String::new(), at: 0, left: table.into_inner() };
    if root.left.is_empty() {
        let problem =
            "the file is empty; a card has at least version, base and one [[characteristic]]".to_owned();
        return Err(CardFaults(vec![CardFault { line: None, key: String::new(), problem }]));
    }
    match reader.card(root).filter(|_| reader.faults.is_empty()) {
        Some(card) => Ok(card),
        None => Err(reader.into_faults()),
    }
}

// ===== impl Reader =====

impl<'t> Reader<'t> {
    fn add(&mut self, at: impl Into<Option<usize>>, key: &str, problem: impl Into<String>) {
        let fault = CardFault { line: None, key: key.to_owned(), problem: problem.into() };
        self.faults.push((at.into(), fault));
    }

    /// In the order of the lines, which are found in one pass over the text.
    fn into_faults(self) -> CardFaults {
        let ends: Vec<_> = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').collect();
        let line = |at: usize| ends.partition_point(|(end, _)| *end < at) + 1;
        let located = |(at, fault): (Option<usize>, CardFault)| CardFault { line: at.map(line), ..fault };
        let mut faults: Vec<_> = self.faults.into_iter().map(located).collect();
        faults.sort_by_key(|fault| fault.line);
        CardFaults(faults)
    }

    fn card(&mut self, mut root: Section<'t>) -> Option<Card> {
        let version = self.required(&mut root, "version", label);
        let base = self.required(&mut root, "base", points);
        let limits_at = root.place_of("min", "max");
        let (min, max) = (self.optional(&mut root, "min", points), self.optional(&mut root, "max", points));
        let most_reasons = self.optional(&mut root, "reasons", |value| {
            integer(value, 0, MOST_REASONS).map(|count| usize::try_from(count).unwrap_or(REASONS))
        });
        let characteristics =
            self.list(&mut root, "characteristic", MOST_CHARACTERISTICS, Self::characteristic);
        self.finish(&root);
        if characteristics.is_empty() && self.faults.is_empty() {
            self.add(None, "characteristic", "is required");
        }
        let mut names = HashSet::new();
        for (at, path, characteristic) in &characteristics {
            if !names.insert(characteristic.name.as_str()) {
                self.add(*at, &format!("{path}.name"), "is the name of an earlier characteristic as well");
            }
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.add(limits_at, "min", format!("{min} is above max, {max}"));
        }
        if !self.faults.is_empty() {
            return None;
        }
        let card = Card {
            version: version?,
            base: base?,
            min,
            max,
            most_reasons: most_reasons.unwrap_or(REASONS),
            characteristics: characteristics
                .into_iter()
                .map(|(_, _, characteristic)| characteristic)
                .collect(),
            range: Range::default(),
            uses_age: false,
            digest: String::new(),
            key_start: Md5::default(),
        };
        let card = Card { range: cases::range(&card), ..card };
        if card.range.lowest < Points::ZERO {
            let lowest = card.range.lowest;
            self.add(
                0,
                "min",
                format!("the lowest score is {lowest}, but a score is at least 0; set min = 0"),
            );
        }
        Some(card.digested())
    }

    fn characteristic(&mut self, mut section: Section<'t>) -> Option<Characteristic> {
        let name = self.required(&mut section, "name", label);
        let reason = self.optional(&mut section, "reason", label);
        let baseline = self.optional(&mut section, "baseline", points);
        let (at, path) = (section.at, section.path.clone());
        let before = self.faults.len();
        let bins = self.list(&mut section, "bin", MOST_BINS, Self::bin);
        let is_whole = self.faults.len() == before;
        self.finish(&section);
        if bins.is_empty() && is_whole {
            self.add(at, &format!("{path}.bin"), "must have at least one bin");
        }
        let places: Vec<_> = bins.iter().map(|(at, path, _)| (*at, path.clone())).collect();
        let bins = bins.into_iter().map(|(_, _, bin)| bin).collect();
        let characteristic =
            Characteristic { name: name?, reason, baseline: baseline.unwrap_or_default(), bins };
        // A bin at fault would make those behind it look better or worse than they are.
        if !is_whole {
            return None;
        }
        let Some(dead) = cases::dead_bins(&characteristic, &mut self.budget) else {
            self.add(
                at,
                &path,
                "distinguishes too many kinds of people to check; split it, or use fewer conditions",
            );
            return None;
        };
        for (bin, why) in dead {
            let Some((at, path)) = places.get(bin) else { continue };
            self.add(
                *at,
                path,
                match why {
                    Dead::Impossible => "can never match: no valid call meets its conditions",
                    Dead::Shadowed => {
                        "can never match: the bins before it match everyone who meets its conditions"
                    }
                },
            );
        }
        Some(characteristic)
    }

    fn bin(&mut self, mut section: Section<'t>) -> Option<Bin> {
        let points = self.required(&mut section, "points", points);
        let reason = self.optional(&mut section, "reason", label);
        let when = match self.section(&mut section, "when") {
            Some(when) => self.when(when),
            None => When::default(),
        };
        self.finish(&section);
        Some(Bin { when, points: points?, reason })
    }

    /// The conditions, in one order for each notation.
    fn when(&mut self, mut section: Section<'t>) -> When {
        let mut found = Vec::new();
        for (name, argument) in ARGUMENTS {
            let there = self.optional(&mut section, name, boolean);
            found.extend(there.map(|there| Condition::There(argument, there)));
        }
        found.extend(self.optional(&mut section, "gender", gender));
        found.extend(self.section(&mut section, "age").and_then(|ages| self.ages(ages)));
        let prefixes = self.optional(&mut section, "phone_prefix", |value| texts(value, phone_prefix));
        found.extend(prefixes.map(Condition::PhonePrefix));
        let domains = self.optional(&mut section, "email_domain", |value| texts(value, email_domain));
        found.extend(domains.map(Condition::EmailDomain));
        self.finish(&section);
        When(found)
    }

    fn ages(&mut self, mut section: Section<'t>) -> Option<Condition> {
        let mut years = |name| self.optional(&mut section, name, |value| integer(value, 0, OLDEST));
        let (from, below) = (years("from"), years("below"));
        let (at, path) = (section.at, section.path.clone());
        let is_empty = from.is_none() && below.is_none() && section.left.is_empty();
        self.finish(&section);
        if is_empty {
            self.add(at, &path, "must have from, below, or both");
        } else if from.zip(below).is_some_and(|(from, below)| from >= below) {
            self.add(at, &path, "must have a from that is less than below");
        }
        let years = |years: i64| u8::try_from(years).unwrap_or(u8::MAX);
        Some(Condition::Age { from: from.map_or(0, years), below: below.map(years) })
    }

    /// The value of a key, or `None` and a fault.
    fn required<T>(
        &mut self,
        section: &mut Section<'t>,
        name: &str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, Faulty>,
    ) -> Option<T> {
        if !section.left.contains_key(name) {
            self.add(section.at, &section.key(name), "is required");
            return None;
        }
        self.optional(section, name, read)
    }

    /// The value of a key that may be absent. A fault in it is added.
    fn optional<T>(
        &mut self,
        section: &mut Section<'t>,
        name: &str,
        read: impl FnOnce(&DeValue<'t>) -> Result<T, Faulty>,
    ) -> Option<T> {
        let value = section.left.remove(name)?;
        read(value.get_ref())
            .map_err(|problem| self.add(value.span().start, &section.key(name), problem))
            .ok()
    }

    /// A table within `section`, if it is there.
    fn section(&mut self, section: &mut Section<'t>, name: &str) -> Option<Section<'t>> {
        let value = section.left.remove(name)?;
        self.as_section(section.key(name), value)
    }

    fn as_section(&mut self, path: String, value: Spanned<DeValue<'t>>) -> Option<Section<'t>> {
        let at = value.span().start;
        let DeValue::Table(left) = value.into_inner() else {
            self.add(at, &path, "must be a table");
            return None;
        };
        Some(Section { path, at, left })
    }

    /// The items of a list of tables, each with its place and its path.
    fn list<T>(
        &mut self,
        section: &mut Section<'t>,
        name: &str,
        most: usize,
        mut read: impl FnMut(&mut Self, Section<'t>) -> Option<T>,
    ) -> Vec<(usize, String, T)> {
        let Some(value) = section.left.remove(name) else { return Vec::new() };
        let (at, path) = (value.span().start, section.key(name));
        let DeValue::Array(items) = value.into_inner() else {
            self.add(at, &path, "must be a list of tables");
            return Vec::new();
        };
        if items.len() > most {
            self.add(at, &path, format!("must have at most {most} items"));
            return Vec::new();
        }
        let mut found = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            // Counted from 1, as people count.
            let path = format!("{path}[{}]", index + 1);
            let at = item.span().start;
            if let Some(item) = self.as_section(path.clone(), item).and_then(|section| read(self, section)) {
                found.push((at, path, item));
            }
        }
        found
    }

    /// Adds a fault for each key that was not taken.
    fn finish(&mut self, section: &Section<'t>) {
        for (name, _) in &section.left {
            let key = section.key(&shown(name.get_ref()));
            self.add(name.span().start, &key, "unknown key");
        }
    }
}

// ===== impl Section =====

impl Section<'_> {
    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The place of one of two keys that are still there.
    fn place_of(&self, one: &str, other: &str) -> usize {
        self.left.get(one).or_else(|| self.left.get(other)).map_or(self.at, |value| value.span().start)
    }
}
