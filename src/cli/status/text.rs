//! A report as lines for a terminal.

use std::fmt::Write as _;

use crate::http::status::{Chart, Level, Row, StatusReport, Table, sections, service_line, word};

/// The width of a sparkline: a character for each five seconds.
const WIDTH: usize = 60;

/// The heights of a sparkline.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The last changes that are printed. The page shows more.
const CHANGES: usize = 10;

/// Writes lines, in colours or without.
struct Lines {
    text: String,
    coloured: bool,
}

/// The report in lines; `origin` is where the runbook is.
pub(super) fn of(report: &StatusReport, origin: &str, coloured: bool) -> String {
    let mut lines = Lines { text: String::new(), coloured };
    // Writing to a string cannot fail.
    _ = lines.report(report, origin);
    lines.text
}

// ===== impl Lines =====

impl Lines {
    fn report(&mut self, report: &StatusReport, origin: &str) -> std::fmt::Result {
        let verdict = &report.verdict;
        writeln!(self.text, "{} {}", report.service.name, service_line(report))?;
        let level = self.painted(verdict.level, word(verdict.level));
        writeln!(self.text, "{level}: {}", plain(&verdict.sentence))?;
        if let Some(link) = &verdict.link {
            writeln!(self.text, "{origin}{link}")?;
        }
        for mut section in sections(report) {
            writeln!(self.text, "\n{}", section.title.to_uppercase())?;
            let width = section.charts.iter().map(|chart| columns(&chart.title)).max().unwrap_or(0);
            for chart in &section.charts {
                self.chart(chart, width)?;
            }
            for table in &mut section.tables {
                if section.id == "changes" {
                    table.groups.iter_mut().for_each(|group| group.rows.truncate(CHANGES));
                }
                self.table(table)?;
            }
        }
        Ok(())
    }

    fn chart(&mut self, chart: &Chart, width: usize) -> std::fmt::Result {
        let line = sparkline(&chart.points);
        let value = self.painted(chart.level, &format!("{:>9}", chart.value));
        writeln!(self.text, "  {:width$} {value}  {line}  {}", chart.title, chart.highest)
    }

    fn table(&mut self, table: &Table) -> std::fmt::Result {
        if table.groups.iter().all(|group| group.rows.is_empty()) {
            return writeln!(self.text, "  {}", table.empty);
        }
        let head = table.head.iter().map(|name| (*name).to_owned()).collect();
        let head = Row { level: Level::Ok, cells: head };
        let rows = || table.groups.iter().flat_map(|group| &group.rows);
        let widths: Vec<_> = (0..table.head.len())
            .map(|place| {
                let cells = rows().chain([&head]).filter_map(|row| row.cells.get(place));
                cells.map(|cell| columns(cell)).max().unwrap_or(0)
            })
            .collect();
        self.row(&head, &widths)?;
        for group in &table.groups {
            if let Some(title) = &group.title {
                writeln!(self.text, "  {title}")?;
            }
            for row in &group.rows {
                self.row(row, &widths)?;
            }
        }
        Ok(())
    }

    fn row(&mut self, row: &Row, widths: &[usize]) -> std::fmt::Result {
        let cells = row.cells.iter().zip(widths).map(|(cell, width)| format!("{:width$}", plain(cell)));
        let line = cells.collect::<Vec<_>>().join("  ");
        let line = line.trim_end();
        let line = if row.level == Level::Ok { line.to_owned() } else { self.painted(row.level, line) };
        writeln!(self.text, "  {line}")
    }

    fn painted(&self, level: Level, text: &str) -> String {
        if !self.coloured {
            return text.to_owned();
        }
        let colour = match level {
            Level::Ok => 32,
            Level::Warn => 33,
            Level::Bad => 31,
        };
        format!("\x1b[{colour}m{text}\x1b[0m")
    }
}

/// The last five minutes. Each character shows the highest of its points, or a gap without points.
fn sparkline(points: &[Option<f64>]) -> String {
    let highest = points.iter().flatten().copied().fold(0.0, f64::max);
    let each = crate::http::status::POINTS / WIDTH;
    // The newest points fill a character first.
    let newest_first: Vec<_> = points.iter().rev().copied().collect();
    let bars = newest_first.chunks(each).map(|chunk| {
        let most = chunk.iter().flatten().copied().reduce(f64::max);
        most.map_or(' ', |most| {
            let share = if highest > 0.0 { most / highest } else { 0.0 };
            let place = (share * 7.0).round() as usize;
            BARS.get(place).copied().unwrap_or('█')
        })
    });
    let mut line: Vec<_> = bars.collect();
    line.resize(WIDTH, ' ');
    line.iter().rev().collect()
}

/// A text that cannot steer the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// The width of a text.
fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }

    #[test]
    fn a_sparkline_ends_with_the_newest_point() {
        let points: Vec<_> = (0..10).map(|point| Some(f64::from(point))).collect();
        assert_eq!(sparkline(&points).trim_start(), "▄█");
        assert_eq!(sparkline(&points).chars().count(), WIDTH);
        let quiet = [Some(0.0); 5].into_iter().chain([None; 5]).collect::<Vec<_>>();
        assert_eq!(sparkline(&quiet).trim_start(), "▁ ");
    }
}
