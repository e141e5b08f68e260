//! Comparisons within one run: the median of each round's ratio, its confidence interval, and the verdict on a target.
//!
//! Pure functions of the measured numbers.

use std::fmt;

/// The least probability that the interval contains the true median.
const CONFIDENCE: f64 = 0.95;

/// A median, and an interval around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

/// A target for a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// A pair of processes of one program (A/A): the ratio of their numbers, which shows the smallest difference that the
/// run can tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// `None` if there were too few rounds for an interval.
    pub ratio: Option<Interval>,
    /// The largest difference of the ratio from 1: the difference that the target is about.
    pub tolerance: f64,
}

/// Whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The whole interval is within the bound.
    Met,
    /// The whole interval is beyond the bound.
    NotMet,
    NotTold(Reason),
}

/// Why a run cannot tell whether a target is met.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    NotMeasured,
    /// Too few rounds for an interval of the target's number or of the pair.
    TooFewRounds,
    /// The two processes of one program differ by this share.
    PairDiffers(f64),
    /// The bound is within the interval.
    TooClose,
}

// ===== impl Interval =====

impl Interval {
    /// The median and its 95 % confidence interval, for any distribution. `None` below six numbers.
    ///
    /// Each number is above the true median with a probability of 1/2. So the count of those above is binomial, and the
    /// `k`-th smallest and the `k`-th largest number enclose the true median with a known probability. The interval is that of
    /// the largest `k` with a probability of at least 95 %.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(numbers);
        let outside = enclosing_rank(sorted.len())?;
        let (low, high) = (sorted.get(outside)?, sorted.get(sorted.len() - 1 - outside)?);
        Some(Self { median: median(&sorted)?, low: *low, high: *high })
    }

    /// The median with the lowest and the highest number. `None` for no numbers.
    pub fn range(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(numbers);
        Some(Self { median: median(&sorted)?, low: *sorted.first()?, high: *sorted.last()? })
    }

    fn contains(&self, number: f64) -> bool {
        (self.low..=self.high).contains(&number)
    }
}

/// Ratios of numbers of the same round. A round that only one side has does not count.
pub fn ratios(ones: &[(usize, f64)], others: &[(usize, f64)]) -> Vec<f64> {
    let of_round = |round| others.iter().find(|(other, _)| *other == round).map(|(_, number)| *number);
    ones.iter().filter_map(|(round, one)| Some(one / of_round(*round)?)).collect()
}

fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<_> = numbers.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median(sorted: &[f64]) -> Option<f64> {
    let (low, high) = (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// How many of `count` sorted numbers to leave out at each end, so that the rest enclose the median with the wanted
/// probability. `None` if all of them do not suffice.
fn enclosing_rank(count: usize) -> Option<usize> {
    let mut probability = 0.5_f64.powi(i32::try_from(count).ok()?);
    let mut at_most = probability;
    let mut outside = None;
    for successes in 0..count / 2 {
        if 2.0 * at_most > 1.0 - CONFIDENCE {
            break;
        }
        outside = Some(successes);
        probability *= (count - successes) as f64 / (successes + 1) as f64;
        at_most += probability;
    }
    outside
}

// ===== impl Pair =====

impl Pair {
    /// The reason against a verdict, if there is one.
    fn objection(&self) -> Option<Reason> {
        let Some(ratio) = self.ratio else { return Some(Reason::TooFewRounds) };
        let differs = (ratio.median - 1.0).abs();
        (differs > self.tolerance || !ratio.contains(1.0)).then_some(Reason::PairDiffers(differs))
    }
}

// ===== impl Bound =====

impl Bound {
    /// The verdict on a number that was measured in `rounds` rounds, in the same run as `pair`.
    pub fn judge(self, measured: Option<Interval>, rounds: usize, pair: Option<Pair>) -> Verdict {
        if rounds == 0 {
            return Verdict::NotTold(Reason::NotMeasured);
        }
        let Some(measured) = measured else { return Verdict::NotTold(Reason::TooFewRounds) };
        if let Some(reason) = pair.and_then(|pair| pair.objection()) {
            return Verdict::NotTold(reason);
        }
        let holds = |number: f64| match self {
            Self::AtLeast(bound) => number >= bound,
            Self::AtMost(bound) => number <= bound,
        };
        match (holds(measured.low), holds(measured.high)) {
            (true, true) => Verdict::Met,
            (false, false) => Verdict::NotMet,
            (true, false) | (false, true) => Verdict::NotTold(Reason::TooClose),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met => f.write_str("met"),
            Self::NotMet => f.write_str("**not met**"),
            Self::NotTold(Reason::NotMeasured) => f.write_str("not measured"),
            Self::NotTold(Reason::TooFewRounds) => f.write_str("not told: too few rounds"),
            Self::NotTold(Reason::PairDiffers(share)) => {
                write!(f, "not told: the A/A pair differs by {:.1} %", share * 100.0)
            }
            Self::NotTold(Reason::TooClose) => f.write_str("not told: the interval includes the bound"),
        }
    }
}

#[cfg(test)]
mod tests;
