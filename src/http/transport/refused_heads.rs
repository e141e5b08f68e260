//! Heads that are rejected before there is a request. Each is counted, but few are logged, because any client can
//! send many.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use actix_web::rt::spawn;
use tokio::time::{Instant, sleep_until};

use crate::http::{
    envelope::Refusal,
    metrics::{HttpMetrics, OTHER},
    request_id::RequestId,
};

/// Maximum lines in a second. One more line then reports the number of lines left out.
const LINES: u32 = 10;

const SECOND: Duration = Duration::from_secs(1);

/// Counts the rejected heads of one listener.
#[derive(Debug)]
pub(in crate::http) struct RefusedHeads {
    metrics: HttpMetrics,
    lines: Mutex<Lines>,
}

/// The lines of the current second.
#[derive(Debug, Default)]
struct Lines {
    ends: Option<Instant>,
    written: u32,
    left_out: u64,
}

/// The decision about the log line of one rejected head.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Write,
    LeaveOut,
    /// Leave it out, and report the number of lines left out at this time.
    LeaveOutFirst(Instant),
}

// ===== impl RefusedHeads =====

impl RefusedHeads {
    pub(in crate::http) fn new(metrics: HttpMetrics) -> Self {
        Self { metrics, lines: Mutex::default() }
    }

    /// A head was rejected with `code`, and the response has the id `id`.
    pub(in crate::http) fn add(self: &std::sync::Arc<Self>, id: &RequestId, refusal: &Refusal) {
        let (code, reason) = (refusal.status().as_u16(), refusal.reason());
        self.metrics.refused_head(code, reason);
        match self.lines().add(Instant::now()) {
            Line::Write => {
                let reason = reason.as_str();
                tracing::info!(request_id = id.as_str(), method = OTHER, code, reason, "head refused");
            }
            Line::LeaveOut => {}
            Line::LeaveOutFirst(ends) => {
                let heads = self.clone();
                spawn(async move {
                    sleep_until(ends).await;
                    let left_out = std::mem::take(&mut heads.lines().left_out);
                    tracing::info!(left_out, "more heads refused");
                });
            }
        }
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Lines =====

impl Lines {
    fn add(&mut self, now: Instant) -> Line {
        let ends = match self.ends {
            Some(ends) if now < ends => ends,
            Some(_) | None => {
                self.written = 0;
                *self.ends.insert(now + SECOND)
            }
        };
        if self.written < LINES {
            self.written += 1;
            return Line::Write;
        }
        self.left_out += 1;
        if self.left_out == 1 { Line::LeaveOutFirst(ends) } else { Line::LeaveOut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_60_lines_are_bounded_and_those_left_out_are_counted() {
        let mut lines = Lines::default();
        let begun = Instant::now();
        for _ in 0..LINES {
            assert_eq!(lines.add(begun), Line::Write);
        }
        assert_eq!(lines.add(begun), Line::LeaveOutFirst(begun + SECOND));
        assert_eq!(lines.add(begun), Line::LeaveOut);
        assert_eq!(lines.left_out, 2);
        assert_eq!(lines.add(begun + SECOND), Line::Write);
    }
}
