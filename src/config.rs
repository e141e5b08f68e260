//! Settings: composed of the structs that the parts own, loaded in layers, then checked as a whole.
//!
//! # Layout
//!
//! - [`error`]: one fault of a configuration
//! - `layers`: defaults, file, environment and flags, merged; the keys and their types
//! - `leaves`: the keys of a TOML text, and their lines
//! - `cards`: scorecards, which are files of their own
//! - `secrets`: salts and passwords that are kept in files
//! - `partners`: the file of the registered partners
//! - `rules`: conditions between keys
//! - `show`: the result, for `check-config`
//! - [`auth`], [`metrics`], [`shutdown`]: settings of parts that take plain values instead of a struct of their own
//!
//! This module does not read the environment by itself, so a test controls everything that matters.

pub mod auth;
mod cards;
pub mod error;
mod layers;
mod leaves;
pub mod metrics;
pub mod partners;
mod rules;
mod secrets;
mod show;
pub mod shutdown;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::actors::settings::ScoringSettings;
use crate::admission::settings::LimitSettings;
use crate::http::settings::{AdminSettings, HttpSettings};
use crate::store::settings::{CacheSettings, StoreSettings};
use crate::store::url::StoreUrl;
use crate::telemetry::settings::{LogSettings, TraceSettings};
use auth::AuthSettings;
pub(crate) use cards::read_card;
use error::{ConfigErrors, Problem};
use layers::Layers;
use metrics::MetricsSettings;
use partners::PartnersFile;
use shutdown::ShutdownSettings;

/// All settings, checked. Their `Debug` shows no secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The public listener.
    pub http: HttpSettings,
    /// The operators' listener.
    pub admin: AdminSettings,
    /// Authentication.
    pub auth: AuthSettings,
    /// The persistent store.
    pub store: StoreSettings,
    /// The cache of scores.
    pub cache: CacheSettings,
    /// How scores are computed.
    pub scoring: ScoringSettings,
    /// Limits of one process.
    pub limits: LimitSettings,
    /// Metrics that cost extra.
    pub metrics: MetricsSettings,
    /// How the service stops.
    pub shutdown: ShutdownSettings,
    /// The log.
    pub log: LogSettings,
    /// Whether and where spans are exported.
    pub trace: TraceSettings,
    /// Made while loading, when the origins are still known, so that no secret has to be kept for it.
    #[serde(skip)]
    effective: String,
    /// The origins of the keys that are not defaults.
    #[serde(skip)]
    origins: BTreeMap<String, String>,
    /// The shown value of each key, without secrets.
    #[serde(skip)]
    shown: BTreeMap<String, String>,
}

/// The keys of all settings, in the order of `config/default.toml`.
pub(crate) fn keys() -> Result<Vec<String>, ConfigErrors> {
    Ok(Layers::built_in()?.entries().iter().map(|entry| entry.key.clone()).collect())
}

/// The settings that a reload changes: keys, and sections, which end with a dot.
const RELOADED: [&str; 6] =
    ["auth.", "scoring.", "http.tls.cert", "http.tls.key", "log.level", "limits.account_rate"];

/// Whether a reload changes the setting `key`, if the service can: it cannot turn TLS on or off.
#[must_use]
pub fn is_reloaded(key: &str) -> bool {
    RELOADED.iter().any(|one| if one.ends_with('.') { key.starts_with(one) } else { key == *one })
}

// ===== impl Settings =====

impl Settings {
    /// Loads and checks the settings. Later layers win: the built-in defaults, then `file`, then `environment` (for the
    /// process' own, [`std::env::vars_os`]), then `assignments` such as `store.url=memory:`.
    ///
    /// Reads only `file` and the files that hold secrets, scorecards and partners; it opens no connection and resolves
    /// no name.
    ///
    /// # Errors
    ///
    /// All faults, not only the first: unknown keys, wrong types, values out of range, unreadable files, keys that
    /// contradict each other.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        assignments: &[String],
    ) -> Result<Self, ConfigErrors> {
        Self::load_layers(file, environment, assignments, true)
    }

    /// As [`load`](Self::load), but leaves the partners' file and the cards unread: for a command that makes or edits the
    /// partners' file, even if the others have faults.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_without_files(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        assignments: &[String],
    ) -> Result<Self, ConfigErrors> {
        Self::load_layers(file, environment, assignments, false)
    }

    fn load_layers(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        assignments: &[String],
        reads_files: bool,
    ) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut layers = Layers::built_in()?;
        if let Some(path) = file {
            layers.add_file(path, &mut errors);
        }
        layers.add_environment(environment, &mut errors);
        layers.add_flags(assignments, &mut errors);

        let Some(mut settings) = Self::read(&mut layers, &mut errors) else {
            return Err(errors);
        };
        secrets::resolve(&mut settings, &layers, &mut errors);
        if reads_files {
            cards::read(&mut settings.scoring, &layers, &mut errors);
        }
        if let Some(path) = settings.auth.partners_file.as_deref().filter(|_| reads_files) {
            match PartnersFile::read(path, &settings.auth.admin_login) {
                Ok(file) => settings.auth.partners = file,
                Err(faults) => errors.extend(faults),
            }
        }
        rules::check(&settings, &layers, &mut errors);
        settings.effective = show::effective_toml(&layers);
        settings.origins = show::origins(&layers);
        settings.shown = show::values(&layers);
        errors.or(settings)
    }

    /// The URL of the score cache. Equal to `store.url` unless `cache.url` is set.
    pub fn cache_url(&self) -> &StoreUrl {
        self.cache.url.as_ref().unwrap_or(&self.store.url)
    }

    /// The place where `key` was set, unless it is a default: a file and its line, a variable, or the command line.
    pub fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(key).map(String::as_str)
    }

    /// The keys, in alphabetical order, whose values differ between these settings and `other`. A salt counts under its
    /// own key, even if it comes from a file. A card counts by its contents, and the partners' file by its path and its
    /// meaning. A password file counts by its path: its text is read again at each connect.
    pub fn differing(&self, other: &Self) -> Vec<&str> {
        let differs = |key: &str| match key {
            "store.url" => self.store.url.without_files() != other.store.url.without_files(),
            "cache.url" => {
                let url = |settings: &Self| settings.cache.url.as_ref().map(StoreUrl::without_files);
                url(self) != url(other)
            }
            "scoring.card" => self.scoring.cards.active != other.scoring.cards.active,
            "scoring.shadow_card" => self.scoring.cards.shadow != other.scoring.cards.shadow,
            "auth.salt" => self.auth.salt.expose_secret() != other.auth.salt.expose_secret(),
            "auth.previous_salt" => {
                let salt = |settings: &Self| {
                    settings.auth.previous_salt.as_ref().map(|salt| salt.expose_secret().to_owned())
                };
                salt(self) != salt(other)
            }
            "auth.admin_salt" => {
                self.auth.admin_salt.expose_secret() != other.auth.admin_salt.expose_secret()
            }
            "auth.partners_file" if self.auth.partners.digest != other.auth.partners.digest => true,
            key => self.shown.get(key) != other.shown.get(key),
        };
        self.shown.keys().map(String::as_str).filter(|key| differs(key)).collect()
    }

    /// Whether the salts may be used on the address `bound`: public salts only on a loopback address.
    pub fn salts_may_serve(&self, bound: SocketAddr) -> bool {
        rules::is_loopback(bound) || !self.auth.has_public_salt() || self.auth.allow_public_salts
    }

    /// The settings in effect as TOML, in the order of `config/default.toml`. Lines with a secret hide it and are
    /// comments. A comment names the origin of each value that is not a default.
    pub fn effective_toml(&self) -> &str {
        &self.effective
    }

    /// A key that its part rejects is reset to its default, so that the rest is checked in the same run.
    fn read(layers: &mut Layers, errors: &mut ConfigErrors) -> Option<Self> {
        loop {
            match serde_path_to_error::deserialize(layers.to_table()) {
                Ok(settings) => return Some(settings),
                Err(refused) => {
                    let key = refused.path().to_string();
                    let problem = Problem::Refused(refused.inner().message().to_owned());
                    errors.add(layers.origin(&key), key.clone(), problem);
                    if !layers.reset(&key) {
                        return None;
                    }
                }
            }
        }
    }
}
