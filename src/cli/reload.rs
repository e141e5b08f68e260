//! SIGHUP: reloads the settings, and takes over the changes that need no restart.

use tokio::task::spawn_blocking;

use super::{audit, failure::Failure, source::Source};
use crate::{app::Reloader, config::Settings, telemetry::Log};

/// The settings in effect, and the source of newer ones.
pub(super) struct Reload<'a> {
    pub(super) source: &'a Source,
    /// The settings at the start: settings that need a restart still have these values.
    pub(super) started: Settings,
    /// The settings as last loaded.
    pub(super) loaded: Settings,
    pub(super) reloader: Reloader,
    pub(super) log: &'a Log,
}

impl Reload<'_> {
    /// Reloads all settings, or changes nothing, and logs which of the two.
    pub(super) async fn reload(&mut self) {
        if let Err(failure) = self.try_reload().await {
            let errors = failure.to_string();
            for error in errors.lines() {
                tracing::error!(error, "the settings stay as they were");
            }
            audit::not_reloaded(errors.lines().count());
            self.reloader.ended(None);
        }
    }

    async fn try_reload(&mut self) -> Result<(), Failure> {
        let source = self.source.clone();
        // On a thread of its own: large files must not delay a signal to stop, or the watchdog.
        let loaded = spawn_blocking(move || source.load()).await;
        let settings = loaded.map_err(|panic| Failure::Start(panic.into()))??;
        self.reloader.apply(&settings).map_err(|error| Failure::build(error, &settings))?;
        self.log.set_level(settings.log.level);

        let changes = |key: &&str| self.reloader.can_change(key, &settings);
        let mut applied = settings.differing(&self.loaded);
        applied.retain(changes);
        let mut waiting = settings.differing(&self.started);
        waiting.retain(|key| !changes(key));
        self.reloader.ended(Some(&applied));
        let applied = applied.join(" ");
        tracing::info!(changed = applied, "settings reloaded, salts and certificate included");
        audit::reloaded(&applied, &settings);
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(" "), "changed settings wait for a restart");
        }
        self.loaded = settings;
        Ok(())
    }
}
