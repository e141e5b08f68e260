use proptest::prelude::*;

use super::*;

const HOLD: Duration = Duration::from_millis(300);

fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..3 {
        assert_eq!(breaker.failed(now, now), None);
    }
    assert_eq!(breaker.failed(now, now), Some(Change::Opened));
    breaker
}

#[test]
fn it_opens_at_the_fourth_failure_in_a_row() {
    assert!(opened(Instant::now()).is_open());
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let now = Instant::now();
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..100 {
        for _ in 0..3 {
            assert_eq!(breaker.failed(now, now), None);
        }
        breaker.succeeded();
    }
    assert!(!breaker.is_open());
}

#[test]
fn one_stall_that_fails_everything_under_way_counts_once() {
    let begun = Instant::now();
    let now = begun + Duration::from_millis(150);
    let mut breaker = Breaker::new(BreakerPolicy::default());
    for _ in 0..1_000 {
        assert_eq!(breaker.failed(begun, now), None);
    }
    assert!(!breaker.is_open());
}

#[test]
fn it_closes_after_three_good_probes_once_the_hold_is_over() {
    let now = Instant::now();
    let mut breaker = opened(now);
    assert_eq!(breaker.probed(now + HOLD), None);
    assert_eq!(breaker.probed(now + HOLD), None);
    assert_eq!(breaker.probed(now + HOLD), Some(Change::Closed));
    assert!(!breaker.is_open());
}

#[test]
fn good_probes_before_the_hold_is_over_do_not_close_it() {
    let now = Instant::now();
    let mut breaker = opened(now);
    for _ in 0..100 {
        assert_eq!(breaker.probed(now + HOLD - Duration::from_millis(1)), None);
    }
    assert_eq!(breaker.probed(now + HOLD), Some(Change::Closed));
}

#[test]
fn a_bad_probe_starts_the_count_again() {
    let now = Instant::now();
    let mut breaker = opened(now);
    breaker.probed(now + HOLD);
    breaker.probed(now + HOLD);
    breaker.failed(now + HOLD, now + HOLD);
    assert_eq!(breaker.probed(now + HOLD), None);
    assert!(breaker.is_open());
}

#[test]
fn a_late_success_of_a_request_does_not_close_it() {
    let mut breaker = opened(Instant::now());
    for _ in 0..100 {
        breaker.succeeded();
    }
    assert!(breaker.is_open());
}

/// A store that is lost and found again every hour for a month: each time the breaker is open after four tries,
/// stays open during half recoveries, and is closed within 650 ms of the end.
#[test]
fn over_a_month_of_outages_it_opens_and_closes_each_time() {
    const TRY: Duration = Duration::from_millis(150);
    const PROBE: Duration = Duration::from_millis(50);
    let mut random = fastrand::Rng::with_seed(1);
    let mut breaker = Breaker::new(BreakerPolicy::default());
    let mut now = Instant::now();
    for _ in 0..30 * 24 {
        now += BreakerPolicy::default().hold_closed;
        for _ in 0..random.u32(..100) {
            now += Duration::from_secs(random.u64(..60));
            breaker.succeeded();
            assert_eq!(breaker.probed(now), None);
        }
        for failure in 1..=4 {
            let begun = now;
            now += TRY;
            let change = breaker.failed(begun, now);
            assert_eq!(change, (failure == 4).then_some(Change::Opened));
        }
        for _ in 0..random.u32(..50) {
            for _ in 0..random.u32(..3) {
                now += PROBE;
                assert_eq!(breaker.probed(now), None, "two good probes are not three");
            }
            now += PROBE;
            assert_eq!(breaker.failed(now, now), None);
        }
        let found = now;
        while breaker.is_open() {
            now += PROBE;
            breaker.probed(now);
        }
        assert!(now - found <= HOLD + 3 * PROBE, "{:?}", now - found);
    }
}

proptest! {
    /// Row 10 of the fault table, over any history.
    #[test]
    fn it_never_changes_more_than_twice_in_any_second(
        events in proptest::collection::vec((0u64..120, 0u8..3), 1..2_000)
    ) {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let mut at = Duration::ZERO;
        let mut changes = Vec::new();
        for (step, event) in events {
            at += Duration::from_millis(step);
            let change = match event {
                0 => breaker.failed(start + at, start + at),
                1 => breaker.probed(start + at),
                _ => { breaker.succeeded(); None }
            };
            if change.is_some() {
                changes.push(at);
            }
        }
        for window in changes.windows(3) {
            prop_assert!(window[2] - window[0] >= Duration::from_secs(1), "{window:?}");
        }
    }
}
