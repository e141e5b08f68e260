//! Rates and times from counters that are given second by second.

use rstest::rstest;

use super::*;

/// Counters `seconds` after the start: `calls` answers of `online_score`, of which `failed` are 503.
fn counters(start: Instant, seconds: f64, calls: u64, failed: u64) -> Counters {
    let mut failures = vec![0; FailureReason::ALL.len()];
    failures[FailureReason::ALL.iter().position(|reason| *reason == FailureReason::Overload).unwrap()] =
        failed;
    let score = MethodCounts {
        method: "online_score",
        answers: vec![(200, calls - failed), (503, failed)],
        within: all_within(0.01, calls),
    };
    let other = MethodCounts { method: OTHER, answers: Vec::new(), within: Buckets::default() };
    Counters {
        taken: start + Duration::from_secs_f64(seconds),
        methods: vec![score, other],
        failures,
        lookups: [0, calls, 2 * calls, 0],
    }
}

/// `count` observations in the bucket that ends at `upper`.
fn all_within(upper: f64, count: u64) -> Buckets {
    let mut within = Buckets::default();
    for (place, bucket) in within.iter_mut().enumerate() {
        if LATENCY_BUCKETS.get(place).is_none_or(|bound| *bound >= upper) {
            *bucket = count;
        }
    }
    within
}

/// A history with 10 calls a second for `seconds`, of which one is a 503.
fn steady(seconds: u32) -> History {
    let (start, mut history) = (Instant::now(), History::default());
    for second in 0..=seconds {
        let second = u64::from(second);
        history.push(counters(start, second as f64, 10 * second, second), Vec::new());
    }
    history
}

#[test]
fn the_first_moment_has_no_rates() {
    let mut history = History::default();
    history.push(counters(Instant::now(), 0.0, 7, 1), Vec::new());
    assert_eq!(history.of_calls(), CallHistory::default());
    let methods = history.methods();
    assert_eq!((methods[0].per_second, methods[0].p50_ms), (0.0, None));
    assert_eq!(history.reasons()[0].total, 1);
}

#[test]
fn a_rate_is_that_of_the_last_second() {
    let (start, mut history) = (Instant::now(), History::default());
    history.push(counters(start, 0.0, 0, 0), Vec::new());
    history.push(counters(start, 1.0, 100, 0), Vec::new());
    // This tick came late.
    history.push(counters(start, 3.0, 120, 5), Vec::new());
    let methods = history.methods();
    assert_eq!(methods[0].per_second, 10.0);
    assert_eq!(methods[0].codes, BTreeMap::from([("200".into(), 7.5), ("503".into(), 2.5)]));
    assert_eq!(history.lookups(), Lookups { near_hit: 0.0, hit: 10.0, miss: 20.0, degraded: 0.0 });
    assert_eq!(history.of_calls().calls, [100.0, 10.0]);
    assert_eq!(history.of_calls().failed, [0.0, 2.5]);
}

#[test]
fn a_sum_over_a_minute_forgets_the_seconds_before_it() {
    let history = steady(100);
    let [overload] = &history.reasons()[..] else { panic!("{:?}", history.reasons()) };
    assert_eq!((&*overload.reason, overload.last_minute, overload.total), ("overload", 60, 100));
    assert_eq!(overload.per_second, 1.0);
    assert!(history.recent.len() <= 62, "{}", history.recent.len());
}

#[test]
fn the_last_ten_seconds_are_neither_fewer_nor_more() {
    let history = steady(100);
    let recent = history.over(RECENT).unwrap();
    assert_eq!((recent.growth(Counters::calls), recent.growth(Counters::errors)), (100, 10));
    let young = steady(4);
    assert_eq!(young.over(RECENT).unwrap().growth(Counters::calls), 40, "all of it, after a start");
}

#[test]
fn sparklines_have_five_minutes_and_no_more() {
    let history = steady(310).of_calls();
    assert_eq!(history.calls.len(), POINTS);
    assert!(history.calls.iter().all(|calls| *calls == 10.0));
    assert!(history.interests_p99_ms.iter().all(Option::is_none), "there were no such calls");
}

#[test]
fn a_counter_that_became_smaller_has_grown_from_0() {
    let (start, mut history) = (Instant::now(), History::default());
    history.push(counters(start, 0.0, 1_000, 100), Vec::new());
    history.push(counters(start, 1.0, 30, 3), Vec::new());
    assert_eq!(history.methods()[0].per_second, 30.0);
    assert_eq!(history.reasons()[0].last_minute, 3);
    let actor = |handled, waited| ActorCounts { actor: (0, "scoring".into()), handled, waited };
    let rates = rates_of(&[actor(50, SECOND)], &[actor(2, SECOND / 10)], SECOND);
    assert_eq!(rates[&(0, "scoring".into())].handled, 2.0);
}

#[test]
fn an_actor_has_the_mean_wait_of_the_messages_of_a_second() {
    let actor = |worker, handled, waited_ms| ActorCounts {
        actor: (worker, "scoring".into()),
        handled,
        waited: Duration::from_millis(waited_ms),
    };
    let before = [actor(0, 100, 5_000), actor(1, 100, 0)];
    let after = [actor(0, 104, 5_010), actor(1, 100, 0), actor(2, 3, 3)];
    let rates = rates_of(&before, &after, 2 * SECOND);
    assert_eq!(rates[&(0, "scoring".into())], ActorRate { handled: 2.0, waited_ms: 2.5 });
    assert_eq!(rates[&(1, "scoring".into())], ActorRate::default());
    assert_eq!(rates[&(2, "scoring".into())], ActorRate { handled: 1.5, waited_ms: 1.0 }, "it is new");
}

#[test]
fn requests_without_a_method_are_shown_once_there_are_some() {
    let (start, mut history) = (Instant::now(), History::default());
    let mut counters = counters(start, 0.0, 0, 0);
    history.push(counters.clone(), Vec::new());
    assert_eq!(history.methods().len(), 1);
    counters.methods[1].answers = vec![(404, 1)];
    counters.taken += SECOND;
    history.push(counters, Vec::new());
    assert_eq!(history.methods()[1].method, OTHER);
    assert_eq!(history.methods()[1].promise_ms, None);
}

#[rstest]
#[case::none(Buckets::default(), None)]
#[case::half_of_a_bucket(all_within(0.1, 8), Some(0.075))]
#[case::the_first_bucket(all_within(50e-6, 4), Some(25e-6))]
#[case::beyond_the_last_bound(all_within(f64::INFINITY, 9), Some(10.0))]
fn a_median_lies_within_its_bucket(#[case] after: Buckets, #[case] expected: Option<f64>) {
    let found = quantile(&Buckets::default(), &after, 0.5);
    let is_near = |found: f64| expected.is_some_and(|expected| (found - expected).abs() < 1e-9);
    assert!(found.map_or(expected.is_none(), is_near), "{found:?}");
}

#[test]
fn a_quantile_counts_only_the_calls_between_two_moments() {
    let before = all_within(10.0, 1_000);
    let mut after = before;
    for (bucket, fast) in after.iter_mut().zip(all_within(0.001, 100)) {
        *bucket += fast;
    }
    let found = quantile(&before, &after, 0.99).unwrap();
    assert!((0.0005..=0.001).contains(&found), "{found}");
}

#[test]
fn each_method_has_its_promise() {
    assert_eq!(promise_ms("online_score"), Some(100));
    assert_eq!(promise_ms("clients_interests"), Some(600));
    assert_eq!(promise_ms(OTHER), None);
}
