//! Intervals against tables of the binomial distribution, and every verdict.

use rstest::rstest;

use super::{
    Bound::{self, AtLeast, AtMost},
    Interval, Pair, enclosing_rank, ratios,
};

/// The published ranks, counted from 1, of 95 % intervals of a median, as numbers to leave out.
#[rstest]
#[case(0, None)]
#[case(1, None)]
#[case(5, None)]
#[case(6, Some(0))]
#[case(8, Some(0))]
#[case(9, Some(1))]
#[case(10, Some(1))]
#[case(12, Some(2))]
#[case(15, Some(3))]
#[case(20, Some(5))]
#[case(25, Some(7))]
#[case(100, Some(39))]
fn ranks_are_those_of_the_published_tables(#[case] count: usize, #[case] outside: Option<usize>) {
    assert_eq!(enclosing_rank(count), outside);
}

#[test]
fn an_interval_does_not_depend_on_the_order() {
    let numbers = [7.0, 1.0, 9.0, 3.0, 5.0, 2.0, 8.0, 4.0, 10.0, 6.0];
    assert_eq!(Interval::of(numbers), Some(Interval { median: 5.5, low: 2.0, high: 9.0 }));
}

#[test]
fn one_outlier_in_ten_rounds_does_not_widen_the_interval() {
    let numbers = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.0, 1.0, 20.0];
    assert_eq!(Interval::of(numbers), Some(Interval { median: 1.0, low: 0.99, high: 1.02 }));
}

#[test]
fn five_rounds_are_too_few_for_an_interval() {
    assert_eq!(Interval::of([1.0; 5]), None);
    assert_eq!(Interval::of([]), None);
}

#[test]
fn ratios_are_of_the_same_round() {
    let ones = [(0, 10.0), (1, 30.0), (3, 1.0)];
    assert_eq!(ratios(&ones, &[(1, 10.0), (0, 20.0), (2, 1.0)]), [0.5, 3.0]);
}

#[test]
fn a_range_needs_one_number() {
    assert_eq!(Interval::range([3.0, 1.0]), Some(Interval { median: 2.0, low: 1.0, high: 3.0 }));
    assert_eq!(Interval::range([]), None);
}

#[test]
fn nineteen_in_twenty_intervals_contain_the_true_median() {
    let mut random = fastrand::Rng::with_seed(1);
    let runs = 4_000;
    // Skewed, with the median at ln 2.
    let mut interval = || Interval::of((0..20).map(|_| -(1.0 - random.f64()).ln())).unwrap();
    let hits = (0..runs).filter(|_| interval().contains(std::f64::consts::LN_2)).count();
    let share = hits as f64 / f64::from(runs);
    assert!((0.95..0.97).contains(&share), "{share}");
}

fn interval(low: f64, median: f64, high: f64) -> Option<Interval> {
    Some(Interval { median, low, high })
}

#[rstest]
#[case::above(AtLeast(0.92), interval(0.93, 0.94, 0.95), "met")]
#[case::exactly_at(AtLeast(0.92), interval(0.92, 0.94, 0.95), "met")]
#[case::below(AtLeast(0.92), interval(0.88, 0.90, 0.91), "**not met**")]
#[case::around(AtLeast(0.92), interval(0.91, 0.93, 0.95), "not told: the interval includes the bound")]
#[case::under_a_maximum(AtMost(0.6), interval(0.4, 0.5, 0.6), "met")]
#[case::over_a_maximum(AtMost(0.6), interval(0.61, 0.7, 0.8), "**not met**")]
#[case::around_a_maximum(AtMost(0.6), interval(0.5, 0.55, 0.7), "not told: the interval includes the bound")]
#[case::few_rounds(AtMost(0.6), None, "not told: too few rounds")]
fn the_whole_interval_decides(
    #[case] bound: Bound,
    #[case] measured: Option<Interval>,
    #[case] verdict: &str,
) {
    assert_eq!(bound.judge(measured, 20, None).to_string(), verdict);
}

#[test]
fn a_number_without_rounds_was_not_measured() {
    assert_eq!(AtLeast(1.0).judge(None, 0, None).to_string(), "not measured");
}

#[rstest]
#[case::equal(interval(0.99, 1.0, 1.01), "met")]
#[case::equal_within_the_noise(interval(0.96, 1.04, 1.09), "met")]
#[case::far_above(interval(0.98, 1.06, 1.10), "not told: the A/A pair differs by 6.0 %")]
#[case::far_below(interval(0.88, 0.93, 1.02), "not told: the A/A pair differs by 7.0 %")]
#[case::surely_different(interval(1.01, 1.02, 1.03), "not told: the A/A pair differs by 2.0 %")]
#[case::few_rounds(None, "not told: too few rounds")]
fn a_pair_that_differs_refuses_the_verdict(#[case] ratio: Option<Interval>, #[case] verdict: &str) {
    let pair = Pair { ratio, tolerance: 0.05 };
    assert_eq!(AtLeast(0.92).judge(interval(0.93, 0.94, 0.95), 20, Some(pair)).to_string(), verdict);
}

#[test]
fn a_pair_that_differs_refuses_a_failure_too() {
    let pair = Pair { ratio: interval(1.06, 1.1, 1.2), tolerance: 0.05 };
    let verdict = AtLeast(0.92).judge(interval(0.5, 0.6, 0.7), 20, Some(pair));
    assert_eq!(verdict.to_string(), "not told: the A/A pair differs by 10.0 %");
}
