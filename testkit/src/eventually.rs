//! Waits for a condition instead of for a time.
//!
//! A sleep is either too short on a busy machine or too long on an idle one. A condition with a deadline is neither,
//! and its duration is a measurement that a test can compare with a bound.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::Stopwatch;

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Polls `condition` every 5 ms until it holds, and returns how long that took.
///
/// A poll that hangs counts as one that does not hold: the deadline cuts it off. The deadline is extended by the
/// [lateness](Stopwatch::lateness) of a busy machine.
///
/// # Panics
///
/// When `condition` does not hold within `deadline`; the message says `what` was waited for.
#[track_caller]
pub fn eventually<C>(deadline: Duration, what: &str, mut condition: C) -> impl Future<Output = Duration>
where
    C: AsyncFnMut() -> bool,
{
    // An `async fn` would report this file as the place of the panic.
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        let held = in_time(deadline, async {
            let mut ticks = interval(POLL_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.tick().await;
            while !condition().await {
                ticks.tick().await;
            }
        });
        if held.await.is_none() {
            panic!("{caller}: still not so after {:?}: {what}", start.elapsed());
        }
        start.elapsed()
    }
}

/// The output of `future`, or `None` after `deadline`, which is extended by the [lateness](Stopwatch::lateness) of a busy
/// machine.
pub async fn in_time<F: Future>(deadline: Duration, future: F) -> Option<F::Output> {
    let stopwatch = Stopwatch::start();
    extended(deadline, || stopwatch.lateness(), future).await
}

async fn extended<F: Future>(
    deadline: Duration,
    lateness: impl Fn() -> Duration,
    future: F,
) -> Option<F::Output> {
    let deadline = Instant::now() + deadline;
    let (mut until, mut future) = (deadline, pin!(future));
    loop {
        if let Ok(output) = timeout_at(until, future.as_mut()).await {
            return Some(output);
        }
        // The lateness may grow with every look, so it is compared with the clock and not with the last deadline.
        until = deadline + lateness();
        if until <= Instant::now() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use rstest::rstest;
    use tokio::time::{advance, sleep};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn it_polls_until_the_condition_holds() {
        let mut polls = 0;
        let took = eventually(SECOND, "the third poll", async || {
            polls += 1;
            polls == 3
        });
        assert_eq!(took.await, 2 * POLL_EVERY);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = ": pigs fly")]
    async fn the_panic_names_the_condition() {
        eventually(SECOND, "pigs fly", async || false).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = ": an answer")]
    async fn a_poll_that_hangs_is_cut_off() {
        eventually(SECOND, "an answer", async || pending().await).await;
    }

    #[rstest]
    #[case::on_an_idle_machine(0, 1_000)]
    #[case::on_a_machine_that_was_late_once(300, 1_300)]
    #[tokio::test(start_paused = true)]
    async fn a_future_is_dropped_after_its_deadline_and_the_lateness(#[case] late: u64, #[case] ms: u64) {
        let start = Instant::now();
        let output = extended(SECOND, || Duration::from_millis(late), pending::<()>());
        assert_eq!((output.await, start.elapsed()), (None, Duration::from_millis(ms)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_output_before_the_extended_deadline_counts() {
        let start = Instant::now();
        let output = extended(SECOND, || start.elapsed() / 2, sleep(SECOND * 19 / 10));
        assert_eq!(output.await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_that_stays_late_ends_the_wait_too() {
        let start = Instant::now();
        assert_eq!(extended(SECOND, || start.elapsed() * 9 / 10, pending::<()>()).await, None);
        assert!(start.elapsed() <= 10 * SECOND, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn lateness_that_grows_behind_the_clock_ends_the_wait() {
        let looks = Cell::new(0);
        let grows = || {
            looks.set(looks.get() + 1);
            Duration::from_nanos(looks.get())
        };
        let output = extended(SECOND, grows, async {
            advance(5 * SECOND).await;
            pending::<()>().await;
        });
        assert_eq!((output.await, looks.get()), (None, 1));
    }
}
