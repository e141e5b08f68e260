//! The retry budget: retries may add only a tenth to the load, so that they do not multiply an outage.
//!
//! A token bucket: each first try earns a tenth of a retry, up to a small reserve that lets a quiet service retry
//! too.

/// Earned per first try: retries are at most 10 % of recent requests.
const EARNED: f64 = 0.1;

/// The maximum reserve. A full reserve exists at the start, for a service without requests so far.
const RESERVE: f64 = 10.0;

/// Counts the allowed retries. Pure: the requests themselves are its clock.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tokens: f64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tokens: RESERVE }
    }
}

impl RetryBudget {
    /// A request is tried for the first time.
    pub(super) fn earn(&mut self) {
        self.tokens = (self.tokens + EARNED).min(RESERVE);
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

    #[test]
    fn a_quiet_service_may_retry_from_the_reserve_and_no_further() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }

    #[test]
    fn ten_requests_earn_one_retry() {
        let mut budget = RetryBudget::default();
        while budget.spend() {}
        (0..9).for_each(|_| budget.earn());
        assert!(!budget.spend());
        budget.earn();
        assert!(budget.spend());
        assert!(!budget.spend());
    }

    proptest! {
        /// Not only from the start: an outage may come at any time.
        #[test]
        fn retries_never_exceed_a_tenth_and_the_reserve_in_any_period(
            events in proptest::collection::vec(0u8..4, 0..2_000)
        ) {
            let mut budget = RetryBudget::default();
            // The largest excess so far of the retries over a tenth of the requests.
            let mut excess = 0.0f64;
            for event in events {
                if event == 0 {
                    budget.earn();
                    excess = (excess - EARNED).max(0.0);
                } else if budget.spend() {
                    excess += 1.0;
                }
                prop_assert!(excess <= RESERVE + 1e-6, "{excess}");
            }
        }

        #[test]
        fn retries_never_exceed_a_tenth_of_the_requests_and_the_reserve(
            events in proptest::collection::vec(any::<bool>(), 0..5_000)
        ) {
            let mut budget = RetryBudget::default();
            let (mut requests, mut retries) = (0u32, 0u32);
            for is_request in events {
                if is_request {
                    budget.earn();
                    requests += 1;
                } else if budget.spend() {
                    retries += 1;
                }
            }
            prop_assert!(f64::from(retries) <= f64::from(requests) * EARNED + RESERVE + 1e-6);
        }
    }
}
