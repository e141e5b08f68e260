//! The terminal's alternate screen: a report fills it without scrolling, and its end brings back the contents before it.

use std::io;

use rustix::termios::tcgetwinsize;

use super::super::output;

/// To the alternate screen, without a cursor, and cut at the right edge.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// Undoes it.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The size of a terminal that does not tell it.
const USUAL: Size = Size { rows: 24, columns: 80 };

/// The alternate screen of standard output, until it is dropped.
#[derive(Debug)]
pub(super) struct Screen(());

/// The size of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Size {
    rows: usize,
    columns: usize,
}

// ===== impl Screen =====

impl Screen {
    /// Enters it.
    pub(super) fn enter() -> io::Result<Self> {
        output::print(ENTER)?;
        Ok(Self(()))
    }

    /// Shows this report in place of the one before, as much of it as fits.
    pub(super) fn show(&self, report: &str) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout()).map_or(USUAL, |size| Size {
            rows: if size.ws_row > 0 { size.ws_row.into() } else { USUAL.rows },
            columns: if size.ws_col > 0 { size.ws_col.into() } else { USUAL.columns },
        });
        // Each line replaces the one before, so that nothing flickers.
        let lines: Vec<_> = fitted(report, size).into_iter().map(|line| format!("\x1b[K{line}")).collect();
        // The rest is cleared from the last line's end on, which is a column that may hold a letter.
        output::print(&format!("\x1b[H{}", lines.join("\r\n")))?;
        if lines.len() < size.rows { output::print("\r\n\x1b[J") } else { Ok(()) }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing.
        _ = output::print(LEAVE);
    }
}

/// The lines that fit: those before the first empty line are the most important ones, and are broken; others are cut.
fn fitted(report: &str, Size { rows, columns }: Size) -> Vec<String> {
    let important = report.lines().take_while(|line| !line.is_empty()).count();
    let mut lines = Vec::new();
    for (place, line) in report.lines().enumerate() {
        if place < important {
            lines.extend(broken(line, columns));
        } else {
            lines.push(cut(line, columns));
        }
    }
    if lines.len() > rows {
        let shown = rows.saturating_sub(1);
        let more = lines.len() - shown;
        lines.truncate(shown);
        lines.push(cut(&format!("… {more} more lines"), columns));
    }
    lines
}

/// The line in lines of at most `columns`, broken between words. A longer word is cut.
fn broken(line: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match lines.last_mut() {
            Some(last) if width(last) + 1 + width(word) <= columns => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(cut(word, columns)),
        }
    }
    lines
}

/// The first `columns` of a line, and all of its colours.
fn cut(line: &str, columns: usize) -> String {
    let mut column = 0;
    let letters = letters(line).filter(|(_, is_shown)| {
        column += usize::from(*is_shown);
        !is_shown || column <= columns
    });
    letters.map(|(letter, _)| letter).collect()
}

fn width(line: &str) -> usize {
    letters(line).filter(|(_, is_shown)| *is_shown).count()
}

/// Each letter, and whether it is shown: those of a colour's sequence, from ESC to `m`, are not.
fn letters(line: &str) -> impl Iterator<Item = (char, bool)> {
    let mut is_colour = false;
    line.chars().map(move |letter| {
        is_colour |= letter == '\x1b';
        let is_shown = !is_colour;
        is_colour &= letter != 'm';
        (letter, is_shown)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_report_is_cut_to_the_screen() {
        let row = "x".repeat(137);
        let report = format!("first\n\n{}", format!("{row}\n").repeat(65));
        let lines = fitted(&report, Size { rows: 20, columns: 60 });
        assert_eq!((lines.len(), &*lines[0], lines[2].len()), (20, "first", 60));
        assert_eq!(lines[19], "… 48 more lines");
        let all = fitted(&report, Size { rows: 67, columns: 200 });
        assert_eq!((all.len(), &*all[66]), (67, &*row));
    }

    #[test]
    fn the_sentence_at_the_top_is_broken_between_words() {
        let report = "\x1b[31mFailing\x1b[0m: the store is down\n\nx";
        let expected = ["\x1b[31mFailing\x1b[0m: the", "store is", "down", "", "x"];
        assert_eq!(fitted(report, Size { rows: 9, columns: 12 }), expected);
    }

    #[test]
    fn colours_have_no_width_and_are_not_cut() {
        assert_eq!(cut("\x1b[31mabc\x1b[0m", 2), "\x1b[31mab\x1b[0m");
    }
}
