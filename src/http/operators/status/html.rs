//! The report as HTML: the page as it is without a script. Every text is escaped.

use std::fmt::Write as _;

use super::{
    history::POINTS,
    model::StatusReport,
    view::{Chart, Section, Table, sections, service_line, word},
};

/// The page around the report.
const PAGE: &str = include_str!("page/index.html");

/// The place of the report in it.
const REPORT: &str = "<!-- report -->";

/// The height of a sparkline, in units of its own.
const HEIGHT: f64 = 40.0;

/// The page with the report.
pub(super) fn page(report: &StatusReport) -> String {
    let (before, after) = PAGE.split_once(REPORT).unwrap_or((PAGE, ""));
    let mut page = String::with_capacity(32 << 10);
    page.push_str(before);
    // Writing to a string cannot fail.
    _ = write_report(&mut page, report);
    page.push_str(after);
    page
}

/// Replaces the characters that mean something in HTML, also within the quotes of an attribute.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

fn write_report(page: &mut String, report: &StatusReport) -> std::fmt::Result {
    let verdict = &report.verdict;
    write!(
        page,
        "<header><h1>{}</h1><p>{}</p></header>",
        escaped(&report.service.name),
        escaped(&service_line(report))
    )?;
    write!(
        page,
        "<div id=\"verdict\" class=\"{}\"><strong>{}</strong><span>{}</span>",
        verdict.level.as_str(),
        word(verdict.level),
        escaped(&verdict.sentence)
    )?;
    if let Some(link) = &verdict.link {
        // Relative, so that the page works behind a proxy's prefix.
        write!(page, "<a href=\"{}\">Runbook</a>", escaped(link.trim_start_matches('/')))?;
    }
    page.push_str("</div>");
    for section in sections(report) {
        write_section(page, &section)?;
    }
    Ok(())
}

fn write_section(page: &mut String, section: &Section) -> std::fmt::Result {
    write!(page, "<section id=\"{}\"><h2>{}</h2>", section.id, escaped(section.title))?;
    if !section.charts.is_empty() {
        page.push_str("<div class=\"charts\">");
        for chart in &section.charts {
            write_chart(page, chart)?;
        }
        page.push_str("</div>");
    }
    for table in &section.tables {
        write_table(page, table)?;
    }
    page.push_str("</section>");
    Ok(())
}

fn write_table(page: &mut String, table: &Table) -> std::fmt::Result {
    if table.groups.iter().all(|group| group.rows.is_empty()) {
        return write!(page, "<p>{}</p>", escaped(table.empty));
    }
    page.push_str("<table><thead><tr>");
    for column in table.head {
        write!(page, "<th scope=\"col\">{}</th>", escaped(column))?;
    }
    page.push_str("</tr></thead>");
    for group in &table.groups {
        page.push_str("<tbody>");
        if let Some(title) = &group.title {
            let columns = table.head.len();
            write!(
                page,
                "<tr class=\"group\"><th colspan=\"{columns}\" scope=\"rowgroup\">{}</th></tr>",
                escaped(title)
            )?;
        }
        for row in &group.rows {
            write!(page, "<tr class=\"{}\">", row.level.as_str())?;
            for (column, cell) in table.head.iter().zip(&row.cells) {
                write!(page, "<td data-label=\"{}\">{}</td>", escaped(column), escaped(cell))?;
            }
            page.push_str("</tr>");
        }
        page.push_str("</tbody>");
    }
    page.push_str("</table>");
    Ok(())
}

fn write_chart(page: &mut String, chart: &Chart) -> std::fmt::Result {
    write!(
        page,
        "<figure class=\"{}\"><figcaption>{}</figcaption><b>{}</b>\
         <svg viewBox=\"0 0 {POINTS} {HEIGHT}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">",
        chart.level.as_str(),
        escaped(&chart.title),
        escaped(&chart.value)
    )?;
    let highest = chart.points.iter().flatten().copied().fold(chart.limit.unwrap_or(0.0), f64::max).max(0.1);
    let y = |number: f64| HEIGHT - 1.0 - number / highest * (HEIGHT - 2.0);
    if let Some(limit) = chart.limit {
        let y = y(limit);
        write!(page, "<line x1=\"0\" x2=\"{POINTS}\" y1=\"{y:.1}\" y2=\"{y:.1}\"></line>")?;
    }
    for line in lines(&chart.points) {
        page.push_str("<polyline points=\"");
        for (x, number) in line {
            write!(page, "{x},{:.1} ", y(number))?;
        }
        page.push_str("\"></polyline>");
    }
    write!(page, "</svg><small>{}</small></figure>", escaped(&chart.highest))
}

/// The points in runs without a gap. The newest point is at the right end.
fn lines(points: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let start = POINTS.saturating_sub(points.len());
    let mut lines: Vec<Vec<_>> = vec![Vec::new()];
    for (place, point) in points.iter().enumerate() {
        match (point, lines.last_mut()) {
            (Some(number), Some(line)) => line.push((start + place, *number)),
            (None, Some(line)) if line.is_empty() => {}
            (Some(_) | None, _) => lines.push(Vec::new()),
        }
    }
    lines.retain(|line| !line.is_empty());
    for line in &mut lines {
        // A single point would not be drawn.
        if let [(x, number)] = line[..] {
            line.push((x + 1, number));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::operators::status::{
        model::{Change, Severity},
        testing::{down, report},
    };

    const EVIL: &str = r#"<script>alert("&'1")</script>"#;

    #[test]
    fn every_text_of_the_report_is_escaped() {
        let mut report = report();
        report.verdict.sentence = EVIL.to_owned();
        report.verdict.link = Some(EVIL.into());
        report.service.version = EVIL.into();
        report.card.version = EVIL.to_owned();
        report.stores[0] = down(report.stores[0].clone(), EVIL);
        report.stores[0].address = EVIL.to_owned();
        report.stores[0].note = Some(EVIL.to_owned());
        report.calls.methods[0].codes.insert(EVIL.into(), 1.0);
        report.actors[0].actors[0].actor = EVIL.into();
        report.changes =
            vec![Change { at: report.service.now, level: Severity::Info, text: EVIL.to_owned() }];
        let page = page(&report);
        assert!(!page.contains(EVIL) && !page.contains("<script>"), "{page}");
        let escaped = "&lt;script&gt;alert(&quot;&amp;&#39;1&quot;)&lt;/script&gt;";
        assert_eq!(page.matches(escaped).count(), 10, "{page}");
    }

    #[test]
    fn the_page_has_each_section_and_each_row() {
        let page = page(&report());
        for part in ["online_score", "cache (redis)", "dispatcher", "Connections", "Card", "id=\"changes\""] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains(REPORT));
    }

    #[test]
    fn charts_tell_that_there_were_no_calls_and_that_most_were_refused() {
        let mut report = report();
        let page_of_none = page(&report);
        assert!(page_of_none.contains("<small>5 min: no calls; promised: 100 ms</small>"), "{page_of_none}");
        let refused = "<figure class=\"warn\"><figcaption>Not 200, a second</figcaption>";
        assert!(!page_of_none.contains(refused), "{page_of_none}");
        report.calls.history.score_p99_ms = vec![Some(3.4)];
        report.calls.methods[0].codes.insert("403".into(), 12.4);
        let page = page(&report);
        assert!(page.contains("5 min: up to 3.4 ms; promised: 100 ms") && page.contains(refused), "{page}");
    }

    #[test]
    fn a_sparkline_ends_at_the_right_and_has_gaps() {
        let points = [Some(1.0), None, None, Some(2.0), Some(3.0)];
        let expected = vec![vec![(295, 1.0), (296, 1.0)], vec![(298, 2.0), (299, 3.0)]];
        assert_eq!(lines(&points), expected);
        assert!(lines(&[]).is_empty());
    }
}
