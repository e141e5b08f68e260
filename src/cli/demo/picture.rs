//! The picture of a run, as SVG: the phases in words, and the measured numbers below them.
//!
//! It is drawn from the rows of the table, so it shows only measured numbers. It follows the reader's light or dark scheme.

use std::fmt::Write;

use super::table::Row;
use crate::http::status::escaped;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 500.0;
/// The edges of all charts.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 782.0;
/// The first line of the phases' names, and the distance of lines.
const NAMES: f64 = 56.0;
const LINE: f64 = 14.0;
/// The edges of the bands of the phases.
const BANDS: (f64, f64) = (40.0, 446.0);
/// The width of a character of the names, at most.
const CHARACTER: f64 = 6.4;
/// The promised time of a score, in milliseconds.
const PROMISE: f64 = 100.0;

/// Both schemes. The ground is the picture's own, so that its texts can be read on any page.
const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.last{font-size:18px;font-weight:600}.quiet{fill:#59636e}.end{text-anchor:end}\
.middle{text-anchor:middle}.ground{fill:#fff}.band{fill:#eef1f4}.grid{stroke:#d1d9e0}\
polyline{fill:none;stroke-width:2;stroke-linejoin:round}\
polyline.right{stroke:#1a7f37}polyline.found{stroke:#0969da}polyline.away{stroke:#bc4c00}polyline.time{stroke:#8250df}\
line.limit{stroke:#cf222e;stroke-dasharray:5 4}\
tspan.right{fill:#1a7f37}tspan.found{fill:#0969da}tspan.away{fill:#bc4c00}tspan.time{fill:#8250df}tspan.limit{fill:#cf222e}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.quiet{fill:#9198a1}.ground{fill:#0d1117}.band{fill:#1a2029}\
.grid{stroke:#3d444d}polyline.right{stroke:#3fb950}polyline.found{stroke:#58a6ff}polyline.away{stroke:#f0883e}\
polyline.time{stroke:#d2a8ff}line.limit{stroke:#ff7b72}tspan.right{fill:#3fb950}tspan.found{fill:#58a6ff}\
tspan.away{fill:#f0883e}tspan.time{fill:#d2a8ff}tspan.limit{fill:#ff7b72}}";

/// A chart: its edges, and the number at its upper edge.
#[derive(Clone, Copy)]
struct Chart {
    top: f64,
    bottom: f64,
    most: f64,
}

/// The time axis of all charts.
#[derive(Clone, Copy)]
struct Axis {
    seconds: f64,
}

/// Draws the rows of a run. `last_line` is the run's result.
pub(super) fn svg(rows: &[Row], last_line: &str) -> String {
    let axis = Axis { seconds: rows.last().map_or(1.0, |row| row.at.as_secs_f64().max(1.0)) };
    let slowest = rows.iter().filter_map(Row::p99_ms).fold(0.0, f64::max);
    let scores = Chart { top: 146.0, bottom: 216.0, most: 60.0 };
    let interests = Chart { top: 252.0, bottom: 322.0, most: 60.0 };
    let times = Chart { top: 358.0, bottom: 428.0, most: (1.2 * PROMISE).max(1.1 * slowest) };

    let mut body = String::new();
    for (at, (name, begin, end)) in phases(rows).iter().enumerate() {
        body += &band(axis, name, *begin, *end, at.is_multiple_of(2));
    }
    let right = span("right", "right scores, a second");
    let found = span("found", "interests, a second: answered 200");
    let away = span("away", "refused with 503, as the store is away");
    let time = span("time", "99 of 100 scores are there within, in milliseconds");
    let limit = span("limit", "promised: 100");
    body += &scores.frame(&right, &[0.0, 50.0]);
    body += &interests.frame(&format!("{found} · {away}"), &[0.0, 50.0]);
    body += &times.frame(&format!("{time} · {limit}"), &[0.0, PROMISE]);
    body += &line(LEFT, times.y(PROMISE), RIGHT, times.y(PROMISE), "limit");
    body += &scores.curve(axis, rows, "right", |row| Some(row.rate(row.counts.scores)));
    body += &interests.curve(axis, rows, "found", |row| Some(row.rate(row.counts.interests)));
    body += &interests.curve(axis, rows, "away", |row| Some(row.rate(row.counts.away)));
    body += &times.curve(axis, rows, "time", Row::p99_ms);
    for ten in (0..).map(|ten| f64::from(ten) * 10.0).take_while(|seconds| *seconds <= axis.seconds) {
        body += &text(axis.x(ten), BANDS.1 + LINE, "quiet middle", &format!("{ten} s"));
    }
    body += &text(LEFT, HEIGHT - 14.0, "last", last_line);
    let note = "measured by scoring-api demo --record";
    body += &text(RIGHT, HEIGHT - 14.0, "quiet end", note);

    let title = "scoring-api demo: the store fails, an actor panics, and no answer is wrong";
    let heading = text(LEFT, 26.0, "title", title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"8\"/>\n{heading}{body}</svg>\n",
        escaped(&format!("{title}: {last_line}")),
    )
}

/// The phases, with the seconds of their beginnings and ends.
fn phases(rows: &[Row]) -> Vec<(&'static str, f64, f64)> {
    let mut phases: Vec<(&'static str, f64, f64)> = Vec::new();
    for row in rows {
        let (begin, end) = (row.at.saturating_sub(row.took).as_secs_f64(), row.at.as_secs_f64());
        match phases.last_mut() {
            Some((name, _, last)) if *name == row.phase => *last = end,
            Some(_) | None => phases.push((row.phase, begin, end)),
        }
    }
    phases
}

fn band(axis: Axis, name: &str, begin: f64, end: f64, is_shaded: bool) -> String {
    let (from, to) = (axis.x(begin), axis.x(end));
    let (top, bottom) = BANDS;
    let mut band = String::new();
    if is_shaded {
        // Writing to a string cannot fail.
        _ = writeln!(
            band,
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"{}\"/>",
            to - from,
            bottom - top
        );
    }
    for (at, words) in wrapped(name, (to - from - 6.0) / CHARACTER).iter().enumerate() {
        band += &text(from + 4.0, NAMES + LINE * at as f64, "", words);
    }
    band
}

/// Breaks a text into lines of at most `most` characters. A longer word has a line of its own.
fn wrapped(text: &str, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if (line.chars().count() + 1 + word.chars().count()) as f64 <= most => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

// ===== impl Axis =====

impl Axis {
    fn x(self, seconds: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * seconds / self.seconds
    }
}

// ===== impl Chart =====

impl Chart {
    fn y(self, value: f64) -> f64 {
        self.bottom - (self.bottom - self.top) * (value / self.most).clamp(0.0, 1.0)
    }

    /// The name, and a line at each of `marks`.
    fn frame(self, name: &str, marks: &[f64]) -> String {
        let mut frame =
            format!("<text x=\"{LEFT}\" y=\"{}\" class=\"quiet\">{name}</text>\n", self.top - 8.0);
        for mark in marks {
            let y = self.y(*mark);
            frame += &line(LEFT, y, RIGHT, y, "grid");
            frame += &text(LEFT - 6.0, y + 4.0, "quiet end", &format!("{mark}"));
        }
        frame
    }

    /// A point in the middle of each row that has a value.
    fn curve(self, axis: Axis, rows: &[Row], class: &str, value: impl Fn(&Row) -> Option<f64>) -> String {
        let point = |row: &Row| {
            let middle = row.at.saturating_sub(row.took / 2).as_secs_f64();
            Some(format!("{:.1},{:.1}", axis.x(middle), self.y(value(row)?)))
        };
        let points: Vec<_> = rows.iter().filter_map(point).collect();
        format!("<polyline class=\"{class}\" points=\"{}\"/>\n", points.join(" "))
    }
}

fn line(x1: f64, y1: f64, x2: f64, y2: f64, class: &str) -> String {
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n")
}

fn text(x: f64, y: f64, class: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>\n", escaped(words))
}

fn span(class: &str, words: &str) -> String {
    format!("<tspan class=\"{class}\">{}</tspan>", escaped(words))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::demo::check::Counts;

    fn rows() -> Vec<Row> {
        let row = |second: u64, phase, interests, away| Row {
            phase,
            at: Duration::from_secs(second),
            took: Duration::from_secs(1),
            counts: Counts { scores: 50, interests, away, ..Counts::default() },
            readiness: "ready".to_owned(),
        };
        vec![
            row(1, "all is <well>", 50, 0),
            row(2, "all is <well>", 50, 0),
            row(3, "the store & more", 0, 50),
        ]
    }

    #[test]
    fn it_shows_the_phases_the_curves_and_the_result() {
        let picture = svg(&rows(), "12 calls, 0 wrong");
        assert_eq!(picture.matches("<rect class=\"band\"").count(), 1, "{picture}");
        assert_eq!(picture.matches("<polyline").count(), 4);
        assert!(picture.contains(">12 calls, 0 wrong</text>"), "{picture}");
        assert!(picture.contains("prefers-color-scheme:dark"));
        // Both lines of interests change places in the third second.
        let curve = |class: &str| {
            let (_, rest) = picture.split_once(&format!("<polyline class=\"{class}\" points=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let heights = |class| {
            curve(class)
                .split(' ')
                .map(|point| point.split(',').nth(1).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (found, away) = (heights("found"), heights("away"));
        assert_eq!((found.len(), &found[0], &found[2]), (3, &away[2], &away[0]));
        assert_eq!(curve("time"), "", "no score was timed");
    }

    #[test]
    fn texts_are_escaped() {
        let picture = svg(&rows(), "\"<script>\" & more");
        assert!(!picture.contains("<script"), "{picture}");
        assert!(!picture.contains("<well"), "{picture}");
        assert!(picture.contains("&quot;&lt;script&gt;&quot; &amp; more"), "{picture}");
    }

    #[test]
    fn no_rows_give_a_picture_without_curves() {
        let picture = svg(&[], "0 calls, 0 wrong");
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
    }

    #[test]
    fn names_are_wrapped_at_words() {
        assert_eq!(wrapped("the store is killed", 9.5), ["the store", "is killed"]);
        assert_eq!(wrapped("SIGTERM under", 3.0), ["SIGTERM", "under"]);
    }
}
