//! What a person at a terminal sees while an import goes on. Anybody else sees nothing of it.

use std::{
    io::{IsTerminal, Read, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{cli::signals::Gate, store::Watch};

const BYTES: &str = "reading {bar:30} {bytes}/{total_bytes}";
const BYTES_OF_UNKNOWN: &str = "reading {spinner} {bytes}";
const ENTRIES: &str = "writing {bar:30} {human_pos}/{human_len}";

/// Counts the bytes that are read from `input`, out of `size` if that is known.
pub(super) fn reading<R: Read>(input: R, size: Option<u64>) -> impl Read {
    let template = if size.is_some() { BYTES } else { BYTES_OF_UNKNOWN };
    bar(size, template).wrap_read(input)
}

/// Counts the entries that are written, and leaves the last word to the gate.
#[derive(Debug)]
pub(super) struct Writing {
    bar: ProgressBar,
    gate: Gate,
}

// ===== impl Writing =====

impl Writing {
    pub(super) fn new(entries: usize, gate: Gate) -> Self {
        Self { bar: bar(Some(entries as u64), ENTRIES), gate }
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

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    let target =
        if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(length, target);
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
