//! The table of a run: a row a second, or, in a smoke test, a row for each phase.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use super::check::Counts;
use crate::telemetry;

/// One row: a part of a phase, and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The name of the phase.
    pub(super) phase: &'static str,
    /// The time at the end of the row, since the beginning of the run.
    pub(super) at: Duration,
    /// The length of the row.
    pub(super) took: Duration,
    /// The counts of that time.
    pub(super) counts: Counts,
    /// The readiness at the end of the row; empty if there was no answer.
    pub(super) readiness: String,
}

/// Prints rows.
pub(super) struct Table {
    output: Box<dyn Write>,
    is_coloured: bool,
}

// ===== impl Row =====

impl Row {
    /// A count of the row as a number a second.
    pub(super) fn rate(&self, count: u64) -> f64 {
        let seconds = self.took.as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }

    /// The 99th percentile of scores, in milliseconds.
    pub(super) fn p99_ms(&self) -> Option<f64> {
        self.counts.p99().map(|p99| p99.as_secs_f64() * 1000.0)
    }

    /// The row as a line of the table.
    fn line(&self, is_coloured: bool) -> String {
        let Self { phase, at, counts, readiness, .. } = self;
        let (minutes, seconds) = (at.as_secs() / 60, at.as_secs() % 60);
        let [scores, interests, away] =
            [counts.scores, counts.interests, counts.away].map(|count| self.rate(count));
        let p99 = self.p99_ms().map_or("-".to_owned(), |p99| format!("{p99:.1}"));
        let wrong = counts.wrong;
        let readiness = if readiness.is_empty() { "no answer" } else { readiness.as_str() };
        let numbers = format!("{scores:>5.0} {p99:>6} {interests:>5.0} {away:>5.0}");
        let start = format!("{minutes}:{seconds:02}  {phase:<30} {numbers}");
        if !is_coloured {
            return format!("{start} {wrong:>5}  {readiness}\n");
        }
        let colour = if readiness == "ready" { GREEN } else { YELLOW };
        let alarm = if wrong > 0 { RED } else { PLAIN };
        format!("{start} {alarm}{wrong:>5}{PLAIN}  {colour}{readiness}{PLAIN}\n")
    }
}

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

/// The head of the table. It fits 80 columns, as every row does.
fn head() -> String {
    let names = format!(
        "{:<4}  {:<30} {:>5} {:>6} {:>5} {:>5} {:>5}  readiness",
        "time", "phase", "200", "p99 ms", "200", "503", "wrong"
    );
    format!("{:>41} {:>18}\n{names}\n", "scores/s", "interests/s")
}

// ===== impl Table =====

impl Table {
    /// A table on standard output; coloured on a terminal, unless `NO_COLOR` is set.
    pub(super) fn on_stdout() -> Self {
        let output = io::stdout();
        let is_coloured = telemetry::colours(output.is_terminal());
        Self { output: Box::new(output), is_coloured }
    }

    /// A table that is not shown.
    #[cfg(test)]
    pub(super) fn hidden() -> Self {
        Self { output: Box::new(io::sink()), is_coloured: false }
    }

    /// Prints the head.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.print(&head())
    }

    /// Prints a row.
    pub(super) fn row(&mut self, row: &Row) -> io::Result<()> {
        self.print(&row.line(self.is_coloured))
    }

    /// Prints lines at once. A reader that has gone, as `head` does, does not end the run: its verdict and its picture come later.
    pub(super) fn print(&mut self, text: &str) -> io::Result<()> {
        let printed = self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush());
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(wrong: u64, readiness: &str) -> Row {
        Row {
            phase: "the store accepts writes again",
            at: Duration::from_secs(67),
            took: Duration::from_secs(2),
            counts: Counts { scores: 100, interests: 60, away: 40, wrong, ..Counts::default() },
            readiness: readiness.to_owned(),
        }
    }

    #[test]
    fn a_row_stands_below_its_head_and_fits_80_columns() {
        let line = row(3, "degraded").line(false);
        let expected = [
            "                                 scores/s        interests/s",
            "time  phase                            200 p99 ms   200   503 wrong  readiness",
            "1:07  the store accepts writes again    50      -    30    20     3  degraded",
        ];
        assert!(expected.iter().all(|line| line.len() <= 80));
        assert_eq!((head() + &line).lines().collect::<Vec<_>>(), expected);
        assert!(row(3, "").line(false).ends_with("  no answer\n"));
    }

    #[test]
    fn colours_are_for_terminals() {
        assert!(!row(1, "").line(false).contains('\x1b'));
        assert!(row(1, "ready").line(true).contains(RED));
        assert!(!row(0, "ready").line(true).contains(RED));
    }
}
