//! The parts of the settings in effect that no running part names: the registered partners and the last reload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::model::{LastReload, PartnersStatus, ReloadOutcome};
use crate::wall_clock;

/// The last reload, and the partners in effect. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Reloads(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    last: Option<LastReload>,
    partners: PartnersStatus,
}

// ===== impl Reloads =====

impl Reloads {
    /// `count` partners are in effect, of a file with this digest; it is empty without a file.
    pub fn set_partners(&self, count: usize, digest: &str) {
        let digest = (!digest.is_empty()).then(|| digest.to_owned());
        self.lock().partners = PartnersStatus { count, digest };
    }

    /// New settings are in effect; these keys have changed.
    pub fn succeeded<'a>(&self, changed: impl IntoIterator<Item = &'a str>) {
        self.ended(ReloadOutcome::Succeeded, changed.into_iter().map(str::to_owned).collect());
    }

    /// All settings stay as they were.
    pub fn failed(&self) {
        self.ended(ReloadOutcome::Failed, Vec::new());
    }

    /// The last reload, and the partners in effect.
    pub(super) fn now(&self) -> (Option<LastReload>, PartnersStatus) {
        let state = self.lock();
        (state.last.clone(), state.partners.clone())
    }

    fn ended(&self, outcome: ReloadOutcome, changed: Vec<String>) {
        self.lock().last = Some(LastReload { at: wall_clock::now().into(), outcome, changed });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
