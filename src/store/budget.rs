//! The retry budget: retries may add only a tenth to the load, so that they do not multiply an outage.
//!
//! A token bucket: each first try earns a tenth of a retry. The bucket holds what the requests of some seconds earn, so
//! that all reads in flight can be sent again after their connection was lost, and at least a small reserve that lets a
//! quiet service retry too.

use std::time::{Duration, Instant};

/// Earned per first try: retries are at most 10 % of recent requests.
const EARNED: f64 = 0.1;

/// The minimum size of the bucket, which is full at the start, for a service without requests so far.
const RESERVE: f64 = 10.0;

/// The bucket holds what was earned in the longest of this window and the one before it.
const WINDOW: Duration = Duration::from_secs(10);

/// Counts the allowed retries. Pure: the caller's clock is passed in.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
    window: Option<Instant>,
    earned: f64,
    earned_before: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: RESERVE, window: None, earned: 0.0, earned_before: 0.0 }
    }
}

impl RetryBudget {
    /// A request is tried for the first time.
    pub(super) fn earn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(*self.window.get_or_insert(now));
        if age >= WINDOW {
            self.earned_before = if age < 2 * WINDOW { self.earned } else { 0.0 };
            (self.window, self.earned) = (Some(now), 0.0);
        }
        self.earned += EARNED;
        let size = RESERVE.max(self.earned).max(self.earned_before);
        self.tokens = (self.tokens + EARNED).min(size);
    }

    /// Takes a retry off the budget; false if none is left.
    #[must_use]
    pub(super) fn spend(&mut self) -> bool {
        // Ten tenths add up to slightly less than one.
        let may = self.tokens >= 1.0 - 1e-9;
        if may {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn left(budget: &mut RetryBudget) -> usize {
        (0..1_000).filter(|_| budget.spend()).count()
    }

    #[test]
    fn a_quiet_service_may_retry_from_the_reserve_and_no_further() {
        assert_eq!(left(&mut RetryBudget::default()), 10);
    }

    #[test]
    fn ten_requests_earn_one_retry() {
        let (mut budget, now) = (RetryBudget::default(), Instant::now());
        while budget.spend() {}
        (0..9).for_each(|_| budget.earn(now));
        assert!(!budget.spend());
        budget.earn(now);
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    /// A hundred requests a second: those in flight when a connection goes silent are some 35.
    #[test]
    fn a_busy_service_may_send_all_reads_in_flight_again() {
        let (mut budget, start) = (RetryBudget::default(), Instant::now());
        (0..2_000).for_each(|number| budget.earn(start + number * 10 * MILLI));
        assert_eq!(left(&mut budget), 100);
        // What was earned long ago does not count.
        budget.earn(start + 3 * WINDOW);
        (0..2_000).for_each(|_| budget.earn(start + 3 * WINDOW));
        budget.earn(start + 6 * WINDOW);
        assert_eq!(left(&mut budget), 10);
    }

    proptest! {
        /// Not only from the start: an outage may come at any time.
        #[test]
        fn retries_never_exceed_a_tenth_of_recent_requests_and_the_reserve_in_any_period(
            events in proptest::collection::vec((0u8..4, 0u32..30), 0..2_000)
        ) {
            let (mut budget, mut now) = (RetryBudget::default(), Instant::now());
            let mut requests = Vec::new();
            // The largest excess so far of the retries over a tenth of the requests.
            let mut excess = 0.0f64;
            for (event, pause) in events {
                now += pause * MILLI;
                if event == 0 {
                    budget.earn(now);
                    requests.push(now);
                    excess = (excess - EARNED).max(0.0);
                } else if budget.spend() {
                    excess += 1.0;
                }
                let recent = requests.iter().filter(|at| now - **at <= 2 * WINDOW).count();
                prop_assert!(excess <= RESERVE.max(recent as f64 * EARNED) + 1e-6, "{excess}");
            }
        }

        #[test]
        fn retries_never_exceed_a_tenth_of_the_requests_and_the_reserve(
            events in proptest::collection::vec(any::<bool>(), 0..5_000)
        ) {
            let (mut budget, now) = (RetryBudget::default(), Instant::now());
            let (mut requests, mut retries) = (0u32, 0u32);
            for is_request in events {
                if is_request {
                    budget.earn(now);
                    requests += 1;
                } else if budget.spend() {
                    retries += 1;
                }
            }
            prop_assert!(f64::from(retries) <= f64::from(requests) * EARNED + RESERVE + 1e-6);
        }
    }
}
