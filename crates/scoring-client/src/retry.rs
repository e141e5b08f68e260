//! Retries within one deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    Policy,
    error::{ClientError, Transport},
};

/// Tries until there is an answer, a permanent error, as many tries as the policy allows, or no time left.
///
/// Between tries it waits as long as the service asked for, plus a full-jitter backoff: otherwise all clients that
/// were rejected together would return together. A wait that would end after the deadline is not started; then the
/// last error is the outcome, which says more than a timeout.
pub(crate) async fn within<T, F>(
    policy: &Policy,
    random: &mut fastrand::Rng,
    mut attempt: impl FnMut() -> F,
) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let deadline = after(policy.deadline);
    let mut failures = 0;
    loop {
        let until = deadline.min(after(policy.attempt_timeout));
        let failure = match timeout_at(until, attempt()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(failure)) => failure,
            Err(_) if until == deadline => return Err(ClientError::DeadlineExceeded),
            Err(_) => Transport::TimedOut.into(),
        };
        failures += 1;
        let Some(asked_for) = failure.may_pass_after() else {
            return Err(failure);
        };
        let wait = asked_for.saturating_add(jittered(policy, failures, random));
        let again = after(wait);
        if failures >= policy.attempts || again >= deadline || wait >= policy.deadline {
            return Err(failure);
        }
        sleep_until(again).await;
    }
}

/// Full jitter: uniform between zero and a ceiling that doubles with each failure.
fn jittered(policy: &Policy, failures: u32, random: &mut fastrand::Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(31);
    policy.first_wait.saturating_mul(1 << doublings).min(policy.longest_wait).mul_f64(random.f64())
}

/// A duration beyond the clock's range counts as zero.
fn after(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now)
}

#[cfg(test)]
mod tests;
