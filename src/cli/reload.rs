//! SIGHUP: loads the settings again, and takes over what can be changed without a restart.

use std::mem;

use super::{failure::Failure, source::Source};
use crate::{app::Reloader, config::Settings, telemetry::Log};

/// The settings that the service runs by, and where to get newer ones.
pub(super) struct Reload<'a> {
    pub(super) source: &'a Source,
    /// As last loaded.
    pub(super) settings: Settings,
    pub(super) reloader: Reloader,
    pub(super) log: &'a Log,
}

impl Reload<'_> {
    /// Loads all settings, or changes nothing, and says in the log which.
    pub(super) fn reload(&mut self) {
        if let Err(failure) = self.try_reload() {
            for error in failure.to_string().lines() {
                tracing::error!(error, "the settings stay as they were");
            }
        }
    }

    fn try_reload(&mut self) -> Result<(), Failure> {
        let mut settings = self.source.load()?;
        // The address stays as it is, so it is this one that salts have to be fit for.
        let bound = self.settings.http.bind;
        if !settings.salts_may_serve(bound) {
            let why = format!("auth: public salts cannot serve {bound}, which other hosts may reach");
            return Err(Failure::Usage(why));
        }
        self.reloader.apply(&settings).map_err(|error| Failure::build(error, &settings))?;
        self.log.set_level(settings.log.level);

        let differing = settings.differing(&self.settings);
        let (applied, waiting): (Vec<_>, Vec<_>) =
            differing.into_iter().partition(|key| self.reloader.can_change(key, &settings));
        tracing::info!(changed = applied.join(" "), "settings reloaded, secrets and certificate included");
        if !waiting.is_empty() {
            tracing::warn!(keys = waiting.join(" "), "changed settings wait for a restart");
        }
        // Compared with these next time, but the socket is where it was.
        settings.http.bind = bound;
        drop(mem::replace(&mut self.settings, settings));
        Ok(())
    }
}
