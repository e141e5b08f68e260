//! The circuit breaker: rejects requests at once while the store does not answer, so that callers do not wait for a
//! timeout.
//!
//! A pure state machine over a clock that is passed in. It opens after consecutive failures. Failures that overlap in
//! time count as one, because one stall fails all requests in flight and may be over the next moment. It closes after
//! consecutive successful *probes*, which the link sends itself: user requests are never used as probes. Each state
//! lasts for a minimum time, so a store that flaps does not make the breaker flap.

use std::time::{Duration, Instant};

/// When a [`Breaker`] opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// The number of consecutive failures that open it, each begun after the one before it ended; at least 1.
    pub failures: u32,
    /// The number of consecutive successful probes that close it; at least 1.
    pub probes: u32,
    /// The minimum time that it stays open. The less, the sooner a store that has recovered is in use again.
    pub hold_open: Duration,
    /// The minimum time that it stays closed after it was open. With the time above at least a second, so that there are at most
    /// two changes in any second.
    pub hold_closed: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        let (hold_open, hold_closed) = (Duration::from_millis(300), Duration::from_millis(700));
        Self { failures: 4, probes: 3, hold_open, hold_closed }
    }
}

impl BreakerPolicy {
    /// The minimum time open, or closed.
    pub fn hold(&self, is_open: bool) -> Duration {
        if is_open { self.hold_open } else { self.hold_closed }
    }
}

/// One role's breaker. See the [module](self).
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    /// The time of the last change; `None` before the first change, which does not wait.
    changed: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed { failures: u32, last: Option<Instant> },
    Open { good_probes: u32 },
}

impl State {
    const CLOSED: Self = Self::Closed { failures: 0, last: None };
}

/// A change of the breaker's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It opened: only probes are sent to the store.
    Opened,
    /// It closed: the store serves again.
    Closed,
}

// ===== impl Breaker =====

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::CLOSED, changed: None }
    }

    /// Whether requests are rejected without asking the store.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// The store answered a request. Ignored while open, because that request was sent before.
    pub fn succeeded(&mut self) {
        if !self.is_open() {
            self.state = State::CLOSED;
        }
    }

    /// An operation that began at `begun` failed: a request, a probe or an attempt to connect.
    pub fn failed(&mut self, begun: Instant, now: Instant) -> Option<Change> {
        match &mut self.state {
            State::Open { good_probes } => {
                *good_probes = 0;
                None
            }
            State::Closed { failures, last } => {
                if last.is_some_and(|last| begun < last) {
                    return None;
                }
                *last = Some(now);
                *failures = failures.saturating_add(1);
                let due = *failures >= self.policy.failures && self.held(now);
                due.then(|| self.change(State::Open { good_probes: 0 }, now, Change::Opened))
            }
        }
    }

    /// The store rejects this service itself. Attempts are few then, and more of them would prove nothing more.
    pub fn rejected(&mut self, now: Instant) -> Option<Change> {
        if let State::Closed { failures, last } = &mut self.state {
            (*failures, *last) = (self.policy.failures.saturating_sub(1), None);
        }
        self.failed(now, now)
    }

    /// The store answered a probe in time.
    pub fn probed(&mut self, now: Instant) -> Option<Change> {
        match &mut self.state {
            State::Closed { .. } => {
                self.state = State::CLOSED;
                None
            }
            State::Open { good_probes } => {
                *good_probes = good_probes.saturating_add(1);
                let due = *good_probes >= self.policy.probes && self.held(now);
                due.then(|| self.change(State::CLOSED, now, Change::Closed))
            }
        }
    }

    fn held(&self, now: Instant) -> bool {
        let hold = self.policy.hold(self.is_open());
        self.changed.is_none_or(|changed| now.saturating_duration_since(changed) >= hold)
    }

    fn change(&mut self, to: State, now: Instant, change: Change) -> Change {
        self.state = to;
        self.changed = Some(now);
        change
    }
}

#[cfg(test)]
mod tests;
