//! When a failed actor may run again: restart intensity and backoff, as a pure state machine over a clock passed in.
//!
//! The idea is Erlang/OTP's: an actor that fails too often within a window is not well, and restarting it faster does
//! not help. Unlike OTP, we never give up on it: we report it and slow down.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::backoff::Backoff;

/// How restarts are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartPolicy {
    /// More restarts than this within the window mark the actor as failing.
    pub max_restarts: usize,
    /// How long a restart counts.
    pub window: Duration,
    /// The wait before each restart, by the number of restarts within the window.
    pub backoff: Backoff,
    /// An actor marked as failing that has run for this long is well again.
    pub stable_after: Duration,
}

impl Default for RestartPolicy {
    /// The first few restarts come within 100 ms; an actor that keeps failing is restarted about every half second.
    fn default() -> Self {
        Self {
            max_restarts: 5,
            window: Duration::from_secs(10),
            backoff: Backoff::new(Duration::from_millis(10), Duration::from_millis(800)),
            stable_after: Duration::from_millis(500),
        }
    }
}

/// The restarts of one actor. See the [module](self).
#[derive(Debug)]
pub(crate) struct Restarts {
    policy: RestartPolicy,
    recent: VecDeque<Instant>,
}

/// The reaction to a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Restart {
    /// The wait before the restart.
    pub(crate) delay: Duration,
    /// Whether to mark the actor as failing.
    pub(crate) failing: bool,
}

// ===== impl Restarts =====

impl Restarts {
    /// No restarts so far.
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        Self { policy, recent: VecDeque::new() }
    }

    /// The actor failed at `now` and is restarted.
    pub(crate) fn restarted(&mut self, now: Instant, random: &mut fastrand::Rng) -> Restart {
        let window = self.policy.window;
        self.recent.push_back(now);
        // One more than needed, to know that there were too many and that the longest wait is reached.
        let keep = self.policy.max_restarts.max(31) + 1;
        while self.recent.len() > keep
            || self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) > window)
        {
            self.recent.pop_front();
        }
        let failures = u32::try_from(self.recent.len()).unwrap_or(u32::MAX);
        Restart {
            delay: self.policy.backoff.delay(failures, random),
            failing: self.recent.len() > self.policy.max_restarts,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn too_many_restarts_within_the_window_mark_it_as_failing() {
        let (mut restarts, now) = (Restarts::new(RestartPolicy::default()), Instant::now());
        let mut random = fastrand::Rng::with_seed(1);
        let failing: Vec<_> = (0..7).map(|_| restarts.restarted(now, &mut random).failing).collect();
        assert_eq!(failing, [false, false, false, false, false, true, true]);
    }

    #[test]
    fn restarts_far_apart_are_never_held_against_it() {
        let (mut restarts, now) = (Restarts::new(RestartPolicy::default()), Instant::now());
        let mut random = fastrand::Rng::with_seed(1);
        for day in 0..1_000 {
            let restart = restarts.restarted(now + SECOND * 86_400 * day, &mut random);
            assert!(!restart.failing);
            assert!(restart.delay <= Duration::from_millis(10));
        }
    }

    #[test]
    fn four_restarts_take_100_ms_each_at_most_later_ones_back_off() {
        for seed in 0..200 {
            let (mut restarts, now) = (Restarts::new(RestartPolicy::default()), Instant::now());
            let mut random = fastrand::Rng::with_seed(seed);
            for _ in 0..4 {
                assert!(restarts.restarted(now, &mut random).delay <= Duration::from_millis(100));
            }
        }
        let (mut restarts, now) = (Restarts::new(RestartPolicy::default()), Instant::now());
        let mut random = fastrand::Rng::with_seed(1);
        let total: Duration = (0..100).map(|_| restarts.restarted(now, &mut random).delay).sum();
        assert!(total > 20 * SECOND, "100 restarts would be over in {total:?}");
    }

    #[test]
    fn an_actor_that_falls_for_ever_costs_no_memory() {
        let (mut restarts, now) = (Restarts::new(RestartPolicy::default()), Instant::now());
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            restarts.restarted(now, &mut random);
        }
        assert!(restarts.recent.len() <= 64);
    }

    proptest! {
        /// Days of failures, some in bursts, against the rule as written: more than the maximum within the window.
        #[test]
        fn it_is_failing_exactly_with_too_many_restarts_in_the_window(
            gaps_ms in proptest::collection::vec(
                prop_oneof![0u64..500, 0u64..5_000, 9_900u64..10_100, 0u64..86_400_000], 1..200
            ),
            seed: u64,
        ) {
            let policy = RestartPolicy::default();
            let (mut restarts, start) = (Restarts::new(policy), Instant::now());
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut at, mut failures) = (Duration::ZERO, Vec::new());
            for gap in gaps_ms {
                at += Duration::from_millis(gap);
                failures.push(at);
                let within = failures.iter().filter(|failure| at - **failure <= policy.window).count();
                let restart = restarts.restarted(start + at, &mut random);
                prop_assert_eq!(restart.failing, within > policy.max_restarts);
                let ceiling = policy.backoff.ceiling(u32::try_from(within).unwrap());
                prop_assert!(restart.delay <= ceiling, "{:?} after {within} failures", restart.delay);
            }
        }
    }
}
