//! What a person at a terminal sees while clients are written, and what the store asks before it commits.

use indicatif::ProgressBar;

use crate::{
    cli::{progress, signals::Gate},
    store::Watch,
};

const ENTRIES: &str = "writing {bar:30} {human_pos}/{human_len}";

/// Counts the entries that are written, and leaves the last word to the gate.
#[derive(Debug)]
pub(super) struct Writing {
    bar: ProgressBar,
    gate: Gate,
}

// ===== impl Writing =====

impl Writing {
    pub(super) fn new(entries: usize, gate: Gate) -> Self {
        Self { bar: progress::bar(Some(entries as u64), ENTRIES), gate }
    }
}

impl Watch for Writing {
    fn written(&self, entries: usize) {
        self.bar.inc(entries as u64);
    }

    fn may_commit(&self) -> bool {
        self.gate.commit()
    }
}

/// A bar goes when it is dropped, so that only the summary stays.
impl Drop for Writing {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
