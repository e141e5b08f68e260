//! The changes from the scores of one card to those of another: counts, extremes and a histogram, in constant memory.
//!
//! Scores have at most three decimals, so changes are counted in thousandths, and every sum is exact.

use std::fmt::Write;

use serde::Serialize;

use crate::domain::{Card, Score};

/// The bins of changes in one direction, each a tenth of the old card's range.
const BINS: usize = 10;

/// The width of the longest bar.
const WIDEST: u64 = 40;

/// Changes, counted.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The range of the old card in thousandths, to which the bins relate.
    range: i64,
    calls: u64,
    up: Direction,
    down: Direction,
    /// Calls of other methods.
    pub(super) other_methods: u64,
    /// Calls of the admin, whose score no card gives.
    pub(super) admin: u64,
    /// Calls that the service would reject.
    pub(super) invalid: u64,
    /// Lines that are not calls.
    pub(super) bad_lines: u64,
}

/// Changes in one direction, by their size.
#[derive(Debug, Default)]
struct Direction {
    calls: u64,
    /// In thousandths.
    sum: i128,
    largest: i64,
    bins: [u64; BINS],
    /// Changes that are larger than the range.
    beyond: u64,
}

/// The changes for machines.
#[derive(Debug, Serialize)]
struct Report<'a> {
    old: Side<'a>,
    new: Side<'a>,
    calls: u64,
    changed: u64,
    up: u64,
    down: u64,
    mean_change: f64,
    largest_up: f64,
    largest_down: f64,
    skipped: Skipped,
    bad_lines: u64,
    /// By percent of the old card's range, without the scores that are equal.
    bins: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    version: &'a str,
    digest: &'a str,
    lowest: f64,
    highest: f64,
}

#[derive(Debug, Serialize)]
struct Skipped {
    other_methods: u64,
    admin: u64,
    invalid: u64,
}

/// One bin. A limit that is `None` is open.
#[derive(Debug, Serialize)]
struct Row {
    from: Option<i64>,
    to: Option<i64>,
    calls: u64,
}

// ===== impl Changes =====

impl Changes {
    /// No changes yet. If every score of the old card is the same, the new card's range counts.
    pub(super) fn between(old: &Card, new: &Card) -> Self {
        let range = |card: &Card| thousandths(card.range().highest.to_f64() - card.range().lowest.to_f64());
        let of_old = range(old);
        Self { range: if of_old > 0 { of_old } else { range(new).max(1) }, ..Self::default() }
    }

    pub(super) fn add(&mut self, old: Score, new: Score) {
        self.calls += 1;
        let change = thousandths(new.value()) - thousandths(old.value());
        if change > 0 {
            self.up.add(change, self.range);
        } else if change < 0 {
            self.down.add(-change, self.range);
        }
    }

    /// All lines.
    pub(super) fn lines(&self) -> u64 {
        self.calls + self.skipped() + self.bad_lines
    }

    fn skipped(&self) -> u64 {
        self.other_methods + self.admin + self.invalid
    }

    fn changed(&self) -> u64 {
        self.up.calls + self.down.calls
    }

    /// Over all calls, changed or not; 0 without calls.
    fn mean(&self) -> f64 {
        (self.up.sum - self.down.sum) as f64 / 1000.0 / self.calls.max(1) as f64
    }

    /// From the largest change down to the largest up.
    fn rows(&self) -> Vec<Row> {
        let percent = |bin: usize| i64::try_from(bin * 100 / BINS).unwrap_or(i64::MAX);
        let mut rows = vec![Row { from: None, to: Some(-100), calls: self.down.beyond }];
        for (bin, calls) in self.down.bins.iter().enumerate().rev() {
            rows.push(Row { from: Some(-percent(bin + 1)), to: Some(-percent(bin)), calls: *calls });
        }
        for (bin, calls) in self.up.bins.iter().enumerate() {
            rows.push(Row { from: Some(percent(bin)), to: Some(percent(bin + 1)), calls: *calls });
        }
        rows.push(Row { from: Some(100), to: None, calls: self.up.beyond });
        rows
    }

    pub(super) fn to_json(&self, old: &Card, new: &Card) -> String {
        let report = Report {
            old: Side::of(old),
            new: Side::of(new),
            calls: self.calls,
            changed: self.changed(),
            up: self.up.calls,
            down: self.down.calls,
            mean_change: self.mean(),
            largest_up: self.up.largest as f64 / 1000.0,
            largest_down: self.down.largest as f64 / 1000.0,
            skipped: Skipped { other_methods: self.other_methods, admin: self.admin, invalid: self.invalid },
            bad_lines: self.bad_lines,
            bins: self.rows(),
        };
        // Numbers and strings can always be serialized.
        serde_json::to_string(&report).unwrap_or_default() + "\n"
    }

    pub(super) fn to_text(&self, old: &Card, new: &Card) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, card) in [("old card", old), ("new card", new)] {
            let range = card.range();
            let _ =
                writeln!(text, "{name}:  {}, scores {} to {}", card.version(), range.lowest, range.highest);
        }
        let share = 100.0 * self.changed() as f64 / self.calls.max(1) as f64;
        let _ = writeln!(text, "calls:     {}", self.calls);
        let _ = writeln!(text, "changed:   {}, {share:.1} %", self.changed());
        let _ = writeln!(text, "mean:      {:+.3}", self.mean());
        let (up, down) = (&self.up, &self.down);
        let _ = writeln!(text, "up:        {}, at most by {}", up.calls, up.largest as f64 / 1000.0);
        let _ = writeln!(text, "down:      {}, at most by {}", down.calls, down.largest as f64 / 1000.0);
        let _ = writeln!(
            text,
            "skipped:   {} ({} of other methods, {} of the admin, {} invalid)",
            self.skipped(),
            self.other_methods,
            self.admin,
            self.invalid
        );
        let _ = writeln!(text, "bad lines: {}", self.bad_lines);
        let rows = self.rows();
        let most = rows.iter().map(|row| row.calls).max().unwrap_or(0);
        if most > 0 {
            text.push_str("\nchanges by percent of the old card's range, without equal scores\n");
        }
        for row in rows.iter().filter(|_| most > 0) {
            let limits = match (row.from, row.to) {
                (Some(from), Some(to)) => format!("{from:+} to {to:+}").replace("+0", "0"),
                // Shown only if there is such a change.
                _ if row.calls == 0 => continue,
                (None, _) => "below -100".to_owned(),
                (_, None) => "above +100".to_owned(),
            };
            // At least one character for one call.
            let bar = (u128::from(row.calls) * u128::from(WIDEST)).div_ceil(u128::from(most));
            let bar = "#".repeat(usize::try_from(bar).unwrap_or_default());
            let _ = writeln!(text, "{limits:>12} {:>10} {bar}", row.calls);
            let kept = text.trim_end().len();
            text.truncate(kept);
            text.push('\n');
        }
        text
    }
}

// ===== impl Side =====

impl<'a> Side<'a> {
    fn of(card: &'a Card) -> Self {
        let range = card.range();
        let (lowest, highest) = (range.lowest.to_f64(), range.highest.to_f64());
        Self { version: card.version(), digest: card.digest(), lowest, highest }
    }
}

// ===== impl Direction =====

impl Direction {
    /// Adds a change of `size`, which is above 0.
    fn add(&mut self, size: i64, range: i64) {
        self.calls += 1;
        self.sum += i128::from(size);
        self.largest = self.largest.max(size);
        // A bin has its upper limit, not its lower.
        let bin = (i128::from(size) * BINS as i128 - 1) / i128::from(range);
        let bin = usize::try_from(bin).ok().and_then(|bin| self.bins.get_mut(bin));
        *bin.unwrap_or(&mut self.beyond) += 1;
    }
}

/// Scores are sums of thousandths, so this is exact.
fn thousandths(score: f64) -> i64 {
    (score * 1000.0).round() as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn score(value: f64) -> Score {
        Score::new(value).unwrap()
    }

    /// Changes by the built-in card, whose range is 5.
    fn changes(pairs: &[(f64, f64)]) -> Changes {
        let card = Card::built_in();
        let mut changes = Changes::between(&card, &card);
        pairs.iter().for_each(|&(old, new)| changes.add(score(old), score(new)));
        changes
    }

    #[rstest]
    #[case::least_up(1.0, 1.001, Some(0), Some(10))]
    #[case::upper_limit_up(1.0, 1.5, Some(0), Some(10))]
    #[case::above_the_limit(1.0, 1.501, Some(10), Some(20))]
    #[case::whole_range_up(0.0, 5.0, Some(90), Some(100))]
    #[case::beyond_up(0.0, 5.001, Some(100), None)]
    #[case::least_down(1.0, 0.999, Some(-10), Some(0))]
    #[case::limit_down(1.0, 0.5, Some(-10), Some(0))]
    #[case::below_the_limit(1.0, 0.499, Some(-20), Some(-10))]
    #[case::whole_range_down(5.0, 0.0, Some(-100), Some(-90))]
    #[case::beyond_down(5.001, 0.0, None, Some(-100))]
    fn a_change_is_in_one_bin(
        #[case] old: f64,
        #[case] new: f64,
        #[case] from: Option<i64>,
        #[case] to: Option<i64>,
    ) {
        let rows = changes(&[(old, new)]).rows();
        let found: Vec<_> = rows.iter().filter(|row| row.calls > 0).map(|row| (row.from, row.to)).collect();
        assert_eq!(found, [(from, to)]);
    }

    #[test]
    fn sums_of_changes_are_exact() {
        let changes = changes(&[(0.1, 0.3), (0.3, 0.1), (0.2, 0.2), (1.0, 1.3)]);
        assert_eq!((changes.up.calls, changes.down.calls, changes.changed()), (2, 1, 3));
        assert_eq!((changes.mean(), changes.up.largest, changes.down.largest), (0.075, 300, 200));
    }

    #[test]
    fn one_change_among_many_has_a_bar() {
        let mut pairs = vec![(1.0, 2.0); 1_000];
        pairs.push((1.0, 0.0));
        let card = Card::built_in();
        let text = changes(&pairs).to_text(&card, &card);
        let bars: Vec<_> = text.lines().filter(|line| line.contains('#')).collect();
        let widest = "#".repeat(40);
        let expected = ["  -20 to -10          1 #".to_owned(), format!("  +10 to +20       1000 {widest}")];
        assert_eq!(bars, expected);
    }

    #[test]
    fn a_comparison_without_calls_divides_by_no_zero() {
        let card = Card::built_in();
        let text = changes(&[]).to_text(&card, &card);
        assert!(text.contains("changed:   0, 0.0 %\nmean:      +0.000\n"), "{text}");
    }

    #[test]
    fn a_card_of_one_score_is_compared_by_the_range_of_the_new_card() {
        let constant = r#"
            version = "constant"
            base = 2
            [[characteristic]]
            name = "a"
            bin = [{ points = 0 }]
        "#;
        let constant = Card::read(constant).unwrap();
        assert_eq!(Changes::between(&constant, &Card::built_in()).range, 5_000);
        let mut changes = Changes::between(&constant, &constant);
        changes.add(score(2.0), score(4.0));
        assert_eq!(changes.up.beyond, 1);
    }

    proptest! {
        #[test]
        fn every_changed_score_is_in_one_bin(pairs: Vec<(u32, u32)>) {
            let pairs: Vec<_> = pairs.iter().map(|&(old, new)| (f64::from(old) / 8.0, f64::from(new) / 8.0)).collect();
            let changes = changes(&pairs);
            let in_bins: u64 = changes.rows().iter().map(|row| row.calls).sum();
            prop_assert_eq!(in_bins, changes.changed());
            prop_assert_eq!(changes.lines(), pairs.len() as u64);
        }
    }
}
