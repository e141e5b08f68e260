//! Notifications to systemd for a service of `Type=notify`, or to another listener at `$NOTIFY_SOCKET`.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::Phase;

/// Reports the phase that the service has entered.
pub(super) fn entered(phase: Phase) {
    match phase {
        Phase::Serving => tell(&[NotifyState::Ready]),
        Phase::Draining => tell(&[NotifyState::Stopping]),
        Phase::Starting | Phase::Closing => {}
    }
}

/// Reports that the settings are being reloaded. A call of [`reloaded`] must follow, for every outcome.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        // systemd would end a service that reports this without the time.
        Err(error) => tracing::warn!(%error, "systemd is not told of the reload"),
    }
}

/// Reports that the reload is over, with or without a change.
pub(super) fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Notifies the watchdog, twice as often as it asks for, while the service is well. Never resolves.
pub(super) async fn keep_watchdog_calm(is_well: impl Fn() -> bool) {
    match sd_notify::watchdog_enabled().filter(|patience| !patience.is_zero()) {
        Some(patience) => keep_calm(patience, is_well, || tell(&[NotifyState::Watchdog])).await,
        None => std::future::pending().await,
    }
}

async fn keep_calm(patience: Duration, is_well: impl Fn() -> bool, tell: impl Fn()) {
    // At least once a second, as the health of the actors asks for.
    let mut ticks = interval((patience / 2).clamp(Duration::from_millis(1), Duration::from_secs(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if is_well() {
            tell();
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_nothing_while_an_actor_is_stuck() {
        let (told, is_well) = (Cell::new(0), Cell::new(true));
        let for_a_second = async || {
            let before = told.get();
            let calming =
                keep_calm(Duration::from_millis(200), || is_well.get(), || told.set(told.get() + 1));
            _ = timeout(Duration::from_millis(1050), calming).await;
            told.get() - before
        };
        assert_eq!(for_a_second().await, 11, "twice as often as asked for, and at once");
        is_well.set(false);
        assert_eq!(for_a_second().await, 0);
    }
}
