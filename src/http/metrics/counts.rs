//! The counters at one moment, for the status page.

use prometheus::core::Metric as _;

use super::{CODES, HttpMetrics, OfMethod};
use crate::units::LATENCY_BUCKETS;

/// The answers within each of [`LATENCY_BUCKETS`], and all answers.
pub(in crate::http) type Buckets = [u64; LATENCY_BUCKETS.len() + 1];

/// The counters of one method.
#[derive(Debug, Clone)]
pub(in crate::http) struct MethodCounts {
    /// Its name.
    pub(in crate::http) method: &'static str,
    /// Answers by status code; codes that have not occurred are left out.
    pub(in crate::http) answers: Vec<(u16, u64)>,
    /// Answers by duration.
    pub(in crate::http) within: Buckets,
}

// ===== impl MethodCounts =====

impl MethodCounts {
    /// All answers.
    pub(in crate::http) fn all(&self) -> u64 {
        self.answers.iter().map(|(_, count)| count).sum()
    }

    /// Answers with this code.
    pub(in crate::http) fn with_code(&self, code: u16) -> u64 {
        self.answers.iter().filter(|(known, _)| *known == code).map(|(_, count)| count).sum()
    }

    fn of(method: &OfMethod) -> Self {
        let answers = CODES.iter().zip(&method.answers).map(|(code, answers)| (*code, answers.get()));
        let metric = method.durations.metric();
        let histogram = metric.get_histogram();
        let mut within = Buckets::default();
        let counted = histogram.get_bucket().iter().map(|bucket| bucket.cumulative_count());
        for (count, counted) in within.iter_mut().zip(counted) {
            *count = counted;
        }
        if let Some(all) = within.last_mut() {
            *all = histogram.get_sample_count();
        }
        Self { method: method.name, answers: answers.filter(|(_, count)| *count > 0).collect(), within }
    }
}

// ===== impl HttpMetrics =====

impl HttpMetrics {
    /// The counters of each method, and of requests without one.
    pub(in crate::http) fn counts(&self) -> Vec<MethodCounts> {
        self.methods.iter().chain([&*self.other]).map(MethodCounts::of).collect()
    }

    /// Answers that are not 200, in the order of [`FailureReason::ALL`](crate::domain::FailureReason::ALL).
    pub(in crate::http) fn failures(&self) -> Vec<u64> {
        self.failed.iter().map(|count| count.get()).collect()
    }

    /// The open connections of a listener, and their maximum.
    pub(in crate::http) fn connections_of(&self, listener: &str) -> (u64, u64) {
        let [open, limit] = [&self.connections, &self.connection_limits]
            .map(|gauge| gauge.with_label_values(&[listener]).get().try_into().unwrap_or_default());
        (open, limit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::Registry;

    use super::*;
    use crate::domain::FailureReason;

    #[test]
    fn answers_are_counted_by_code_reason_and_duration() {
        let metrics = HttpMetrics::register(&Registry::new()).unwrap();
        metrics.answered("online_score", 200, None, Duration::from_millis(3));
        metrics.answered("online_score", 503, Some(FailureReason::Overload), Duration::from_secs(60));
        let counts = metrics.counts();
        let names: Vec<_> = counts.iter().map(|counts| counts.method).collect();
        assert_eq!(names, ["online_score", "clients_interests", super::super::OTHER]);
        assert_eq!(counts[0].answers, [(200, 1), (503, 1)]);
        assert_eq!((counts[0].all(), counts[0].with_code(503), counts[1].all()), (2, 1, 0));
        let at = |bound: f64| LATENCY_BUCKETS.iter().position(|known| *known == bound).unwrap();
        let within = counts[0].within;
        assert_eq!([within[at(2.5e-3)], within[at(5e-3)], within[at(10.0)]], [0, 1, 1]);
        assert_eq!(within.last(), Some(&2), "longer than any bound");
        let overload =
            FailureReason::ALL.iter().position(|reason| *reason == FailureReason::Overload).unwrap();
        assert_eq!((metrics.failures()[overload], metrics.failures().iter().sum::<u64>()), (1, 1));
    }
}
