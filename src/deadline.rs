//! The time by which a call must be answered.

use std::time::Duration;

use tokio::time::Instant;

/// A point in time that travels with every message of a call. Code that waits for the call stops waiting then.
///
/// Every method takes `now`, so that one reading of the clock serves a whole decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// A deadline `budget` after `now`. A budget beyond the range of the clock counts as zero.
    #[must_use]
    pub fn after(now: Instant, budget: Duration) -> Self {
        Self(now.checked_add(budget).unwrap_or(now))
    }

    /// The time left at `now`; zero once the deadline has passed.
    #[must_use]
    pub fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// Whether the deadline has passed at `now`.
    #[must_use]
    pub fn has_passed(self, now: Instant) -> bool {
        self.remaining(now).is_zero()
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn earlier(self, other: Self) -> Self {
        self.min(other)
    }

    /// The point in time itself, for timers.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const BUDGET: Duration = Duration::from_millis(600);

    #[rstest]
    #[case::at_once(Duration::ZERO, BUDGET, false)]
    #[case::half_way(Duration::from_millis(300), Duration::from_millis(300), false)]
    #[case::one_nanosecond_before(BUDGET - Duration::from_nanos(1), Duration::from_nanos(1), false)]
    #[case::on_the_deadline(BUDGET, Duration::ZERO, true)]
    #[case::long_after(BUDGET * 100, Duration::ZERO, true)]
    fn counts_down_to_nothing(#[case] passed: Duration, #[case] left: Duration, #[case] is_over: bool) {
        let start = Instant::now();
        let deadline = Deadline::after(start, BUDGET);
        assert_eq!(deadline.remaining(start + passed), left);
        assert_eq!(deadline.has_passed(start + passed), is_over);
    }

    #[test]
    fn the_earlier_of_two_holds() {
        let now = Instant::now();
        let (soon, late) = (Deadline::after(now, BUDGET), Deadline::after(now, BUDGET * 2));
        assert_eq!(soon.earlier(late), soon);
        assert_eq!(late.earlier(soon), soon);
        assert_eq!(soon.instant(), now + BUDGET);
    }

    #[test]
    fn a_budget_beyond_the_clock_does_not_panic() {
        let now = Instant::now();
        assert!(Deadline::after(now, Duration::MAX).has_passed(now));
    }
}
