//! The progress bar of an import, and the confirmation before the commit.

use indicatif::ProgressBar;

use crate::{
    cli::{progress, signals::Gate},
    store::Watch,
};

const ENTRIES: &str = "writing {bar:30} {human_pos}/{human_len}";

/// Counts the written entries, and asks the gate before the commit.
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

/// A bar disappears when it is dropped, so that only the summary stays.
impl Drop for Writing {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
