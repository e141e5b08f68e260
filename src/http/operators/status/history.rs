//! The last five minutes: counters of one moment after the other, and the rates and times that follow from their differences.
//!
//! Nothing is counted for this on the path of calls: the counters are those of the metrics, read once a second.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    model::{CallHistory, Lookups, MethodStatus, ReasonStatus, Text},
    words::of_reason,
};
use crate::{
    domain::{FailureReason, Method},
    http::metrics::{Buckets, MethodCounts, OTHER},
    units::LATENCY_BUCKETS,
};

/// The number of points of a sparkline, one a second.
pub const POINTS: usize = 300;

/// Counters are kept for this long, for sums over a minute.
const MINUTE: Duration = Duration::from_secs(60);

/// The time that words and latencies are about: in a single second there may be too few calls.
pub(super) const RECENT: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// All counters at one moment.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    /// The moment.
    pub(super) taken: Instant,
    /// Answers by method.
    pub(super) methods: Vec<MethodCounts>,
    /// Answers that are not 200, in the order of [`FailureReason::ALL`].
    pub(super) failures: Vec<u64>,
    /// Look-ups of scores: near hits, hits, misses, degraded.
    pub(super) lookups: [u64; 4],
}

/// The counters of one actor.
#[derive(Debug, Clone)]
pub(super) struct ActorCounts {
    /// Its worker and its name.
    pub(super) actor: (usize, Text),
    /// The messages that it has taken.
    pub(super) handled: u64,
    /// The time that these have waited, together.
    pub(super) waited: Duration,
}

/// The work of an actor in the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct ActorRate {
    /// Messages a second.
    pub(super) handled: f64,
    /// The mean time that one of them waited, in milliseconds.
    pub(super) waited_ms: f64,
}

/// The last five minutes. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    /// The counters of the last minute, oldest first.
    recent: VecDeque<Counters>,
    actors: Vec<ActorCounts>,
    actor_rates: BTreeMap<(usize, Text), ActorRate>,
}

/// One second of the sparklines.
#[derive(Debug, Clone, Copy)]
struct Point {
    calls: f64,
    failed: f64,
    score_p99_ms: Option<f64>,
    interests_p99_ms: Option<f64>,
}

/// Two moments, to compare their counters.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    before: &'a Counters,
    after: &'a Counters,
}

// ===== impl History =====

impl History {
    /// Adds the counters of this moment.
    pub(super) fn push(&mut self, counters: Counters, actors: Vec<ActorCounts>) {
        if let Some(before) = self.recent.back() {
            self.actor_rates = rates_of(&self.actors, &actors, counters.taken - before.taken);
        }
        self.actors = actors;
        let taken = counters.taken;
        self.recent.push_back(counters);
        // The oldest one is at least a minute old, so that a minute can be told.
        while self.recent.get(1).is_some_and(|second| taken - second.taken >= MINUTE) {
            self.recent.pop_front();
        }
        if let Some(span) = self.over(SECOND) {
            self.points.push_back(Point {
                calls: rounded(span.rate(Counters::calls)),
                failed: rounded(span.rate(Counters::not_ok)),
                score_p99_ms: span.quantile_ms(Method::OnlineScore.as_str(), 0.99),
                interests_p99_ms: span.quantile_ms(Method::ClientsInterests.as_str(), 0.99),
            });
            while self.points.len() > POINTS {
                self.points.pop_front();
            }
        }
    }

    /// The newest counters and those of `length` before, or the oldest; `None` until there are two.
    pub(super) fn over(&self, length: Duration) -> Option<Span<'_>> {
        let after = self.recent.back()?;
        // A tick may come a little early.
        let least = length.saturating_sub(SECOND / 2);
        let long_ago = |counters: &&Counters| after.taken - counters.taken >= least;
        let before = self.recent.iter().rev().skip(1).find(long_ago);
        let before = before.or(self.recent.front()).filter(|before| before.taken < after.taken)?;
        Some(Span { before, after })
    }

    /// The calls of each method. Requests without a valid method are left out until there is one.
    pub(super) fn methods(&self) -> Vec<MethodStatus> {
        let Some(newest) = self.recent.back() else { return Vec::new() };
        let (second, recent) = (self.over(SECOND), self.over(RECENT));
        let shown = newest.methods.iter().filter(|method| method.method != OTHER || method.all() > 0);
        let status = shown.map(|MethodCounts { method, answers, .. }| {
            let rate = |count: &dyn Fn(&MethodCounts) -> u64| {
                second.map_or(0.0, |span| rounded(span.rate(|counters| counters.of(method).map_or(0, count))))
            };
            let codes = answers.iter().map(|(code, _)| {
                (Text::from(code.to_string()), rate(&|method: &MethodCounts| method.with_code(*code)))
            });
            MethodStatus {
                method: (*method).into(),
                per_second: rate(&MethodCounts::all),
                p50_ms: recent.and_then(|span| span.quantile_ms(method, 0.5)),
                p99_ms: recent.and_then(|span| span.quantile_ms(method, 0.99)),
                promise_ms: promise_ms(method),
                codes: codes.collect(),
            }
        });
        status.collect()
    }

    /// The reasons that have occurred.
    pub(super) fn reasons(&self) -> Vec<ReasonStatus> {
        let (second, minute) = (self.over(SECOND), self.over(MINUTE));
        let all = FailureReason::ALL.into_iter().enumerate().map(|(place, reason)| {
            let count = |counters: &Counters| counters.failures.get(place).copied().unwrap_or_default();
            ReasonStatus {
                reason: reason.as_str().into(),
                words: of_reason(reason).into(),
                per_second: second.map_or(0.0, |span| rounded(span.rate(count))),
                last_minute: minute.map_or(0, |span| span.growth(count)),
                total: self.recent.back().map_or(0, count),
            }
        });
        all.filter(|reason| reason.total > 0).collect()
    }

    /// Look-ups of scores a second.
    pub(super) fn lookups(&self) -> Lookups {
        let rates = [0, 1, 2, 3].map(|place| {
            let count = |counters: &Counters| counters.lookups.get(place).copied().unwrap_or_default();
            self.over(SECOND).map_or(0.0, |span| rounded(span.rate(count)))
        });
        let [near_hit, hit, miss, degraded] = rates;
        Lookups { near_hit, hit, miss, degraded }
    }

    /// The work of an actor in the last second.
    pub(super) fn actor(&self, worker: usize, name: &Text) -> ActorRate {
        self.actor_rates.get(&(worker, name.clone())).copied().unwrap_or_default()
    }

    /// The points of the sparklines.
    pub(super) fn of_calls(&self) -> CallHistory {
        CallHistory {
            calls: self.points.iter().map(|point| point.calls).collect(),
            failed: self.points.iter().map(|point| point.failed).collect(),
            score_p99_ms: self.points.iter().map(|point| point.score_p99_ms).collect(),
            interests_p99_ms: self.points.iter().map(|point| point.interests_p99_ms).collect(),
        }
    }
}

// ===== impl Counters =====

impl Counters {
    fn of(&self, method: &str) -> Option<&MethodCounts> {
        self.methods.iter().find(|counts| counts.method == method)
    }

    /// All answers.
    pub(super) fn calls(&self) -> u64 {
        self.methods.iter().map(MethodCounts::all).sum()
    }

    /// Answers that are not 200.
    pub(super) fn not_ok(&self) -> u64 {
        self.with_code(|code| code != 200)
    }

    /// Answers 500 and above.
    pub(super) fn errors(&self) -> u64 {
        self.with_code(|code| code >= 500)
    }

    /// Answers from 400 to 499.
    pub(super) fn refused(&self) -> u64 {
        self.with_code(|code| (400..500).contains(&code))
    }

    /// Answers with this reason.
    pub(super) fn with_reason(&self, reason: FailureReason) -> u64 {
        let mut counts = FailureReason::ALL.iter().zip(&self.failures);
        counts.find(|(known, _)| **known == reason).map_or(0, |(_, count)| *count)
    }

    fn with_code(&self, is_counted: impl Fn(u16) -> bool) -> u64 {
        let answers = self.methods.iter().flat_map(|method| &method.answers);
        answers.filter(|(code, _)| is_counted(*code)).map(|(_, count)| count).sum()
    }
}

// ===== impl Span =====

impl Span<'_> {
    /// The growth of a counter. One that has become smaller was reset, and has grown from 0.
    pub(super) fn growth(&self, count: impl Fn(&Counters) -> u64) -> u64 {
        let (before, after) = (count(self.before), count(self.after));
        after.checked_sub(before).unwrap_or(after)
    }

    /// The growth of a counter a second.
    fn rate(&self, count: impl Fn(&Counters) -> u64) -> f64 {
        per_second(self.growth(count), self.after.taken - self.before.taken)
    }

    /// The time in which the share `quantile` of a method's calls was answered; `None` without calls.
    pub(super) fn quantile_ms(&self, method: &str, quantile: f64) -> Option<f64> {
        let (before, after) = (self.before.of(method)?, self.after.of(method)?);
        Some(rounded(self::quantile(&before.within, &after.within, quantile)? * 1_000.0))
    }
}

/// The promised time to an answer, in milliseconds.
pub(super) fn promise_ms(method: &str) -> Option<u64> {
    Method::named(method).map(|method| match method {
        Method::OnlineScore => 100,
        Method::ClientsInterests => 600,
    })
}

/// A quantile of the observations between two moments, in seconds, as Prometheus computes it: evenly distributed within a
/// bucket. The last bucket has no upper bound, and counts as its lower one. `None` without observations.
fn quantile(before: &Buckets, after: &Buckets, quantile: f64) -> Option<f64> {
    let grown = after.iter().zip(before).map(|(after, before)| after.checked_sub(*before).unwrap_or(*after));
    let grown: Vec<_> = grown.collect();
    let all = grown.last().copied().filter(|all| *all > 0)?;
    let rank = quantile * as_f64(all);
    let (mut lower, mut below) = (0.0, 0);
    for (upper, within) in LATENCY_BUCKETS.into_iter().zip(grown) {
        if as_f64(within) >= rank && within > below {
            let share = (rank - as_f64(below)) / as_f64(within - below);
            return Some(lower + (upper - lower) * share.clamp(0.0, 1.0));
        }
        (lower, below) = (upper, within);
    }
    Some(lower)
}

fn rates_of(
    before: &[ActorCounts],
    after: &[ActorCounts],
    took: Duration,
) -> BTreeMap<(usize, Text), ActorRate> {
    let before: BTreeMap<_, _> = before.iter().map(|counts| (&counts.actor, counts)).collect();
    let rates = after.iter().map(|counts| {
        let earlier = before.get(&counts.actor).filter(|earlier| earlier.handled <= counts.handled);
        let handled = counts.handled - earlier.map_or(0, |earlier| earlier.handled);
        let waited = counts.waited.saturating_sub(earlier.map_or(Duration::ZERO, |earlier| earlier.waited));
        let mean = if handled == 0 { 0.0 } else { waited.as_secs_f64() * 1_000.0 / as_f64(handled) };
        let rate = ActorRate { handled: rounded(per_second(handled, took)), waited_ms: rounded(mean) };
        (counts.actor.clone(), rate)
    });
    rates.collect()
}

fn per_second(count: u64, took: Duration) -> f64 {
    let seconds = took.as_secs_f64();
    if seconds > 0.0 { as_f64(count) / seconds } else { 0.0 }
}

/// With two digits after the point, so that the report stays small.
fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
