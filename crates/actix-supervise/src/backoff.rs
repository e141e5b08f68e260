//! Exponential backoff with full jitter.
//!
//! Full jitter, a uniform choice between zero and the exponential step, spreads clients that failed together best; see
//! Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

/// The bounds of the wait between attempts. Has no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// Waits of up to `base` at first, doubling with each failure up to `cap`.
    ///
    /// A `base` above `cap` counts as `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait after `failures` failures in a row (0 counts as 1).
    pub fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// A wait after `failures` failures in a row: uniform between zero and [`Backoff::ceiling`].
    pub fn delay(&self, failures: u32, random: &mut fastrand::Rng) -> Duration {
        self.ceiling(failures).mul_f64(random.f64())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(800));

    #[rstest]
    #[case::no_failure_counts_as_one(0, 10)]
    #[case::first(1, 10)]
    #[case::doubles(2, 20)]
    #[case::doubles_again(3, 40)]
    #[case::just_below_the_cap(7, 640)]
    #[case::capped(8, 800)]
    #[case::far_beyond_the_cap(u32::MAX, 800)]
    fn the_ceiling_doubles_up_to_the_cap(#[case] failures: u32, #[case] millis: u64) {
        assert_eq!(BACKOFF.ceiling(failures), Duration::from_millis(millis));
    }

    #[test]
    fn delays_fill_the_whole_range_below_the_ceiling() {
        let mut random = fastrand::Rng::with_seed(7);
        let delays: Vec<_> = (0..1_000).map(|_| BACKOFF.delay(8, &mut random)).collect();
        let mean = delays.iter().sum::<Duration>() / 1_000;
        assert!((Duration::from_millis(360)..Duration::from_millis(440)).contains(&mean), "{mean:?}");
        assert!(delays.iter().min() < Some(&Duration::from_millis(20)));
        assert!(delays.iter().max() > Some(&Duration::from_millis(780)));
    }

    proptest! {
        #[test]
        fn a_delay_never_exceeds_the_cap(base in 0u64..10_000, cap in 0u64..10_000, failures: u32, seed: u64) {
            let backoff = Backoff::new(Duration::from_millis(base), Duration::from_millis(cap));
            let delay = backoff.delay(failures, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(delay <= Duration::from_millis(cap));
        }
    }
}
