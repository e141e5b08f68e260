//! Time bounds that hold on a machine that is starved of its processors.
//!
//! One thread measures how late it is scheduled: it sleeps 10 ms, does half a millisecond of work, and adds up the delay.
//! A [`Stopwatch`] subtracts the delay of its own window from the elapsed time. So `took <= bound` means
//! `elapsed <= bound + lateness`. Only bounds in time are extended; a test never excuses a wrong answer.

use std::{
    hint::black_box,
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

const NAP: Duration = Duration::from_millis(10);

/// About half a millisecond without optimisation. A thread that only sleeps is preferred by the scheduler and was late by
/// a tenth of the delay that working threads had.
const WORK: u32 = 50_000;

/// The thread runs for a twentieth of the time, and threads under test run for more of theirs. Beside 12 busy loops on 2
/// cores, chains of 6 to 20 wake-ups were delayed by up to 1.7 times the measured lateness.
const FACTOR: u32 = 2;

static WATCHER: LazyLock<&'static Watcher> = LazyLock::new(|| {
    let watcher: &Watcher = Box::leak(Box::default());
    thread::spawn(|| watcher.watch(nap, || work(WORK)));
    watcher
});

/// A measurement of time that subtracts the delay caused by a busy machine.
#[derive(Debug)]
pub struct Stopwatch {
    watcher: &'static Watcher,
    begun: Instant,
    late_before: Duration,
}

/// The delay of the measuring thread so far.
#[derive(Debug, Default)]
struct Watcher {
    state: Mutex<State>,
    watched: Condvar,
}

#[derive(Debug)]
struct State {
    /// The thread rests without any, so that it costs benchmarks nothing.
    stopwatches: usize,
    /// One round of the thread on an idle machine.
    round: Duration,
    /// The sum over the rounds that have ended.
    late: Duration,
    /// The end of the current round on an idle machine.
    due: Option<Instant>,
}

// ===== impl Stopwatch =====

impl Stopwatch {
    pub fn start() -> Self {
        Self::by(*WATCHER)
    }

    fn by(watcher: &'static Watcher) -> Self {
        let begun = Instant::now();
        let late_before = watcher.begin(begun);
        Self { watcher, begun, late_before }
    }

    /// The time since the start, less the machine's lateness. For upper bounds.
    pub fn took(&self) -> Duration {
        let elapsed = self.elapsed();
        elapsed - self.lateness_in(elapsed)
    }

    /// The time since the start. For lower bounds.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// How much later than on an idle machine a deadline in this window may be met.
    pub fn lateness(&self) -> Duration {
        self.lateness_in(self.elapsed())
    }

    /// Whether the machine was so busy since the start that the service may have missed time limits of its own.
    pub fn is_starved(&self) -> bool {
        let elapsed = self.elapsed();
        self.lateness_in(elapsed) > elapsed / 5
    }

    /// # Panics
    ///
    /// When `what` took longer than `bound` and the machine's lateness together.
    #[track_caller]
    pub fn assert_within(&self, bound: Duration, what: &str) {
        let (took, elapsed) = (self.took(), self.elapsed());
        assert!(took <= bound, "{what} took {took:?} of {elapsed:?}, and has {bound:?}");
    }

    /// At most nine tenths of the window: a condition that never holds ends a wait after ten times its deadline.
    fn lateness_in(&self, elapsed: Duration) -> Duration {
        let late = self.watcher.state().late_by(self.begun + elapsed).saturating_sub(self.late_before);
        (late * FACTOR).min(elapsed * 9 / 10)
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        self.watcher.state().stopwatches -= 1;
    }
}

// ===== impl Watcher =====

impl Watcher {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a stopwatch in, and returns the lateness until now.
    fn begin(&self, now: Instant) -> Duration {
        let mut state = self.state();
        state.stopwatches += 1;
        if state.due.is_none() {
            // The thread may be late for its first round.
            state.due = Some(now + state.round);
            self.watched.notify_one();
        }
        state.late_by(now)
    }

    fn watch(&self, nap: impl Fn(), work: impl Fn()) {
        let timed = || {
            let begun = Instant::now();
            work();
            begun.elapsed()
        };
        let mut cost = (0..10).map(|_| timed()).min().unwrap_or_default();
        loop {
            let state = self.watched.wait_while(self.state(), |state| state.due.is_none());
            drop(state.unwrap_or_else(PoisonError::into_inner));
            nap();
            cost = cost.min(timed());
            self.state().end_round(Instant::now(), NAP + cost);
        }
    }
}

// ===== impl State =====

impl Default for State {
    fn default() -> Self {
        Self { stopwatches: 0, round: NAP, late: Duration::ZERO, due: None }
    }
}

impl State {
    fn late_by(&self, now: Instant) -> Duration {
        self.late + self.due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due))
    }

    fn end_round(&mut self, now: Instant, next: Duration) {
        self.late = self.late_by(now);
        self.round = next;
        self.due = (self.stopwatches > 0).then(|| now + next);
    }
}

fn nap() {
    let begun = Instant::now();
    while let Some(left) = NAP.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

fn work(rounds: u32) {
    for round in 0..rounds {
        black_box(round);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn lateness_counts_past_rounds_and_the_current_one() {
        let begun = Instant::now();
        let mut state = State { stopwatches: 1, due: Some(begun + 10 * MILLI), ..State::default() };
        assert_eq!(state.late_by(begun + 10 * MILLI), Duration::ZERO);
        assert_eq!(state.late_by(begun + 13 * MILLI), 3 * MILLI);
        state.end_round(begun + 15 * MILLI, 10 * MILLI);
        assert_eq!(state.late_by(begun + 25 * MILLI), 5 * MILLI);
        assert_eq!(state.late_by(begun + 26 * MILLI), 6 * MILLI);
        state.stopwatches = 0;
        state.end_round(begun + 26 * MILLI, 10 * MILLI);
        assert_eq!(state.late_by(begun + 90 * MILLI), 6 * MILLI);
    }

    /// The thread is scripted: it does not come back from its nap until it is told to.
    #[test]
    fn a_window_is_excused_the_lateness_of_the_thread_in_it() {
        let (wake, woken) = sync_channel::<()>(0);
        let watcher: &Watcher = Box::leak(Box::default());
        thread::spawn(move || watcher.watch(|| _ = woken.recv(), || ()));
        let before = Stopwatch::by(watcher);
        while before.elapsed() < 100 * MILLI {
            thread::yield_now();
        }
        assert!(before.lateness() >= 80 * MILLI, "{before:?}");
        assert!(before.took() <= before.elapsed() / 2, "{before:?}");
        before.assert_within(before.elapsed() / 2, "a wait on a starved machine");

        // Of lateness before a window begins, it is excused nothing.
        wake.send(()).unwrap();
        let state = watcher.state();
        let at_first = state.late_by(Instant::now());
        drop(state);
        assert!(at_first >= 80 * MILLI);
        let after = Stopwatch::by(watcher);
        assert!(after.late_before >= 80 * MILLI, "{after:?}");
        assert!(after.lateness() <= after.elapsed());
    }

    #[test]
    #[should_panic(expected = "a wait took")]
    fn a_bound_that_is_exceeded_is_a_panic() {
        let stopwatch = Stopwatch::start();
        while stopwatch.took() < MILLI {
            thread::yield_now();
        }
        stopwatch.assert_within(Duration::ZERO, "a wait");
    }
}
