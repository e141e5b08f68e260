//! The summary of a batch of calls.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;

use crate::client::{CallAnswer, ClientError};

/// Maximum recorded latency, in microseconds: more than the longest deadline.
const LONGEST: u64 = 2 * 3_600_000_000;

/// Counts and latencies, in constant memory.
#[derive(Debug, Default)]
pub(super) struct Summary {
    calls: u64,
    bad_lines: u64,
    /// Calls by the service's code; `None` for calls without an answer.
    codes: BTreeMap<Option<u16>, u64>,
    latencies: Latencies,
}

/// In microseconds, to three digits. `None` if it could not be created, which its range makes impossible.
#[derive(Debug)]
struct Latencies(Option<Histogram<u64>>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 3).ok())
    }
}

// ===== impl Summary =====

impl Summary {
    pub(super) fn answered(&mut self, outcome: &Result<CallAnswer, ClientError>, took: Duration) {
        self.calls += 1;
        let code = outcome.as_ref().map_or_else(ClientError::code, |_| Some(200));
        *self.codes.entry(code).or_default() += 1;
        if let Some(histogram) = &mut self.latencies.0 {
            histogram.saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    pub(super) fn bad_line(&mut self) {
        self.bad_lines += 1;
    }

    pub(super) fn bad_lines(&self) -> u64 {
        self.bad_lines
    }

    /// Calls without an answer, and invalid lines.
    pub(super) fn failed(&self) -> u64 {
        self.bad_lines + self.calls - self.codes.get(&Some(200)).copied().unwrap_or(0)
    }

    /// All lines.
    pub(super) fn lines(&self) -> u64 {
        self.calls + self.bad_lines
    }

    /// The text at the end, after `took`, with `repeats` more tries than calls.
    pub(super) fn told(&self, took: Duration, repeats: u64) -> String {
        let rate = if took.is_zero() { 0.0 } else { self.calls as f64 / took.as_secs_f64() };
        let mut text = format!("{} calls in {:.2} s, {rate:.0} a second", self.calls, took.as_secs_f64());
        if repeats > 0 {
            text += &format!(", {repeats} tried again");
        }
        for (code, count) in &self.codes {
            match code {
                Some(code) => text += &format!("\n  code {code}: {count}"),
                None => text += &format!("\n  no answer: {count}"),
            }
        }
        if self.bad_lines > 0 {
            text += &format!("\n  bad lines: {}", self.bad_lines);
        }
        if self.calls > 0 {
            text += &format!("\n  latency: {}", self.latencies);
        }
        text
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(histogram) = &self.0 else { return f.write_str("unknown") };
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            let separator = if name == "p50" { "" } else { ", " };
            write!(f, "{separator}{name} {:.1} ms", histogram.value_at_quantile(quantile) as f64 / 1000.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Score, Transport};

    #[test]
    fn it_counts_by_code_and_ranks_latencies() {
        let mut summary = Summary::default();
        let answer = || Ok(CallAnswer::Score(Score::new(1.0).unwrap()));
        for millis in 1..=1000 {
            summary.answered(&answer(), Duration::from_millis(millis));
        }
        summary.answered(&Err(ClientError::Forbidden), Duration::ZERO);
        summary.answered(&Err(Transport::TimedOut.into()), Duration::ZERO);
        summary.bad_line();
        assert_eq!((summary.lines(), summary.failed()), (1003, 3));
        let expected = "1002 calls in 2.00 s, 501 a second, 5 tried again\n  no answer: 1\n  code 200: 1000\n  \
            code 403: 1\n  bad lines: 1\n  latency: p50 499.2 ms, p90 900.1 ms, p99 990.2 ms, p99.9 999.4 ms, \
            max 1000.4 ms";
        assert_eq!(summary.told(Duration::from_secs(2), 5), expected);
    }

    #[test]
    fn nothing_at_all_is_no_division_by_zero() {
        assert_eq!(Summary::default().told(Duration::ZERO, 0), "0 calls in 0.00 s, 0 a second");
    }
}
