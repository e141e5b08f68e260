//! Rate limits, by account and by client address.
//!
//! A caller is hashed into a fixed number of cells, and a cell that is full again is forgotten: memory stays bounded
//! however many names attackers make up. Two callers in one cell share its rate; with ten thousand active callers, this
//! happens to one in a hundred.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use governor::{
    DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota,
    clock::{Clock, DefaultClock},
};

use crate::units::Rate;

/// A power of two. All cells together take some 40 MiB, if an attacker fills them.
const CELLS: u64 = 1 << 20;

/// Full cells are forgotten once in this many calls.
const SWEEP_EVERY: u32 = 1 << 16;

/// Limits how often each of many callers may call.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate: Rate,
    cells: DefaultKeyedRateLimiter<u32>,
    /// Seeded at random, so that a caller cannot choose to share a cell.
    hasher: RandomState,
    calls: AtomicU32,
}

// ===== impl RateLimit =====

impl RateLimit {
    /// A limit that has not counted a call yet.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            cells: DefaultKeyedRateLimiter::keyed(quota(rate)),
            hasher: RandomState::new(),
            calls: AtomicU32::new(0),
        }
    }

    /// The rate.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts a call by `caller`.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next call is allowed.
    pub(super) fn check(&self, caller: &(impl Hash + ?Sized)) -> Result<(), Duration> {
        if self.calls.fetch_add(1, Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.cells.retain_recent();
        }
        // Less than 2^20, so the conversion is lossless.
        let cell = u32::try_from(self.hasher.hash_one(caller) % CELLS).unwrap_or(0);
        self.cells.check_key(&cell).map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }
}

/// Limits how often one caller may call.
#[derive(Debug)]
pub(super) struct OneRate {
    rate: Rate,
    cell: DefaultDirectRateLimiter,
}

// ===== impl OneRate =====

impl OneRate {
    /// A limit that has not counted a call yet.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, cell: DefaultDirectRateLimiter::direct(quota(rate)) }
    }

    /// The rate.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts a call.
    ///
    /// # Errors
    ///
    /// If it exceeds the rate: the time until the next call is allowed.
    pub(super) fn check(&self) -> Result<(), Duration> {
        self.cell.check().map_err(|refused| refused.wait_time_from(DefaultClock::default().now()))
    }
}

fn quota(rate: Rate) -> Quota {
    let each = rate.period / rate.count.get();
    // Only a rate above one per nanosecond has no period; the fastest rate with a period serves as well.
    Quota::with_period(each.max(Duration::from_nanos(1)))
        .unwrap_or(Quota::per_second(rate.count))
        .allow_burst(rate.burst)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn limit(count: u32, seconds: u64, burst: u32) -> RateLimit {
        let [count, burst] = [count, burst].map(|number| NonZeroU32::new(number).unwrap());
        RateLimit::new(Rate { count, period: Duration::from_secs(seconds), burst })
    }

    #[test]
    fn a_burst_passes_and_one_more_is_told_how_long_to_wait() {
        let limit = limit(2, 3600, 3);
        for _ in 0..3 {
            assert_eq!(limit.check("a"), Ok(()));
        }
        let wait = limit.check("a").unwrap_err();
        assert!(wait > Duration::from_secs(1700) && wait <= Duration::from_secs(1800), "{wait:?}");
        assert_eq!(limit.check("b"), Ok(()), "another caller has a rate of its own");
    }

    #[test]
    fn callers_are_forgotten_after_a_pause() {
        let limit = limit(1_000_000, 1, 1);
        for caller in 0..4 * SWEEP_EVERY {
            // A few callers share a cell, and are rejected.
            _ = limit.check(&caller);
        }
        assert!(limit.cells.len() <= SWEEP_EVERY as usize, "{}", limit.cells.len());
    }

    #[test]
    fn callers_without_number_take_bounded_memory() {
        let limit = limit(1, 3600, 1);
        for caller in 0..(CELLS as u32 * 3 / 2) {
            _ = limit.check(&caller);
        }
        assert!(limit.cells.len() <= CELLS as usize);
    }

    #[test]
    fn the_fastest_rate_there_is_works() {
        assert_eq!(limit(u32::MAX, 1, u32::MAX).check("a"), Ok(()));
    }

    #[test]
    fn a_reload_keeps_the_counts_of_an_equal_rate() {
        let settings = crate::admission::LimitSettings::default();
        let admission = crate::admission::Admission::new(&settings, &prometheus::Registry::new()).unwrap();
        let rate = |count| Rate {
            count: NonZeroU32::new(count).unwrap(),
            period: Duration::from_secs(3600),
            burst: NonZeroU32::new(count).unwrap(),
        };
        let own = |count| [(std::sync::Arc::from("ownpartner"), rate(count))];
        let check =
            || (admission.check_partner("ownpartner").is_ok(), admission.check_account("a", "b").is_ok());
        assert_eq!(check(), (true, true), "nothing is limited yet");
        admission.set_rates(Some(rate(1)), &own(2));
        assert_eq!([check(), check(), check()], [(true, true), (true, false), (false, false)]);
        admission.set_rates(Some(rate(1)), &own(2));
        assert_eq!(check(), (false, false));
        admission.set_rates(None, &own(1));
        assert_eq!([check(), check()], [(true, true), (false, true)]);
        // Without a rate of its own, a partner shares that of its joined text.
        admission.set_rates(Some(rate(1)), &[]);
        assert!(admission.check_partner("ab").is_ok());
        assert!(admission.check_account("a", "b").is_err());
    }
}
