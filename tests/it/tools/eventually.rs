//! Waits for a condition instead of for a time.
//!
//! A sleep is either too short on a busy machine or too long on an idle one. A condition with a deadline is neither, and
//! what it took is a measurement that a test can hold against a bound.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Polls `condition` every 5 ms until it holds, and returns how long that took.
///
/// A poll that hangs counts as one that does not hold: the deadline cuts it off.
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
        let mut ticks = interval(POLL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let held = timeout_at(start + deadline, async {
            ticks.tick().await;
            while !condition().await {
                ticks.tick().await;
            }
        });
        if held.await.is_err() {
            panic!("{caller}: still not so after {:?}: {what}", start.elapsed());
        }
        start.elapsed()
    }
}

mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_polls_until_the_condition_holds() {
        let mut polls = 0;
        let took = eventually(Duration::from_secs(1), "the third poll", async || {
            polls += 1;
            polls == 3
        });
        assert_eq!(took.await, 2 * POLL_EVERY);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still not so after 1s: pigs fly")]
    async fn it_panics_with_what_it_waited_for() {
        eventually(Duration::from_secs(1), "pigs fly", async || false).await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "still not so after 1s: an answer")]
    async fn a_poll_that_hangs_is_cut_off() {
        eventually(Duration::from_secs(1), "an answer", async || std::future::pending().await).await;
    }
}
