//! Operators' acts, as lines of the log with a target of their own: `scoring_api::audit`.
//!
//! The service writes them into its log, a subcommand to standard error. They name accounts, numbers and digests, never
//! a token, an id or a stored value.

use std::path::Path;

use crate::{actors::settings::Cards, config::Settings, domain::Card, store::url::StoreUrl, telemetry};

/// Starts the lines of a subcommand. `log.level` does not hide them.
pub(super) fn to_stderr(settings: &Settings) {
    telemetry::init_audit(&settings.log);
}

/// The service has taken over new settings, of which these keys differ.
pub(super) fn reloaded(changed: &str, settings: &Settings) {
    let partners = &settings.auth.partners;
    let (digest, count) = (&partners.digest, partners.partners.len());
    let Cards { active, shadow } = &settings.scoring.cards;
    tracing::info!(
        target: telemetry::AUDIT,
        outcome = "succeeded",
        changed,
        partners = count,
        partners_digest = digest,
        card = active.version(),
        card_digest = active.digest(),
        shadow_card = shadow.as_deref().map(Card::version),
        "settings reloaded"
    );
}

/// The service has kept its settings, because the new ones have this many faults. Other lines name these.
pub(super) fn not_reloaded(faults: usize) {
    tracing::info!(target: telemetry::AUDIT, outcome = "failed", faults, "settings not reloaded");
}

/// An import has written `written` clients.
pub(super) fn imported(store: &StoreUrl, written: usize) {
    tracing::info!(target: telemetry::AUDIT, uid = uid(), %store, written, "interests imported");
}

/// An import has written `written` clients and deleted all others, `deleted` of them.
pub(super) fn replaced(store: &StoreUrl, written: usize, deleted: usize) {
    tracing::info!(target: telemetry::AUDIT, uid = uid(), %store, written, deleted, "interests replaced");
}

/// `deleted` clients are deleted.
pub(super) fn deleted(store: &StoreUrl, deleted: usize) {
    tracing::info!(target: telemetry::AUDIT, uid = uid(), %store, deleted, "interests deleted");
}

/// The entry of a partner has changed: `act` is new, rotate, disable or enable.
pub(super) fn partner(act: &'static str, file: &Path, account: &str, login: &str) {
    let file = file.display().to_string();
    tracing::info!(target: telemetry::AUDIT, uid = uid(), act, account, login, file, "partner changed");
}

/// The user who runs this process.
fn uid() -> u32 {
    rustix::process::getuid().as_raw()
}
