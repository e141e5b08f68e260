//! Waits for a condition instead of for a time.
//!
//! A sleep is either too short on a busy machine or too long on an idle one. A condition with a deadline is neither, and
//! what it took is a measurement that a test can hold against a bound.

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
pub fn eventually<C>(deadline: Duration, what: &str, condition: C) -> impl Future<Output = Duration>
where
    C: AsyncFnMut() -> bool,
{
    let stopwatch = Stopwatch::start();
    extended(move || stopwatch.lateness(), deadline, what, condition)
}

#[track_caller]
fn extended<C>(
    lateness: impl Fn() -> Duration,
    deadline: Duration,
    what: &str,
    mut condition: C,
) -> impl Future<Output = Duration>
where
    C: AsyncFnMut() -> bool,
{
    // An `async fn` would report this file as the place of the panic.
    let caller = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut holds = pin!(async {
            ticks.tick().await;
            while !condition().await {
                ticks.tick().await;
            }
        });
        let mut until = start + deadline;
        while timeout_at(until, holds.as_mut()).await.is_err() {
            let extended = start + deadline + lateness();
            assert!(extended > until, "{caller}: still not so after {:?}: {what}", start.elapsed());
            until = extended;
        }
        start.elapsed()
    }
}

mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn on_an_idle_machine() -> Duration {
        Duration::ZERO
    }

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
    #[should_panic(expected = "still not so after 1s: pigs fly")]
    async fn it_panics_with_what_it_waited_for() {
        extended(on_an_idle_machine, SECOND, "pigs fly", async || false).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still not so after 1s: an answer")]
    async fn a_poll_that_hangs_is_cut_off() {
        extended(on_an_idle_machine, SECOND, "an answer", async || std::future::pending().await).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_is_extended_by_the_lateness_of_the_machine() {
        let start = Instant::now();
        let late = move || start.elapsed() / 2;
        let took = extended(late, SECOND, "it is late", async || start.elapsed() > SECOND * 19 / 10);
        assert!(took.await > SECOND * 19 / 10);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still not so after 2s: pigs fly")]
    async fn a_condition_that_never_holds_ends_on_a_busy_machine_too() {
        let start = Instant::now();
        extended(move || start.elapsed() / 2, SECOND, "pigs fly", async || false).await;
    }
}
