//! The runbook as a page: `docs/operations.md`, so that the links of alerts and of the status page lead to the instructions of
//! this version, also from a phone.
//!
//! Sections have the anchors that GitHub gives them. Links to other documents become plain text, because the service does not
//! have these documents.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html::push_html};

use super::html::escaped;

const RUNBOOK: &str = include_str!("../../../../docs/operations.md");

/// The page around the runbook.
const PAGE: &str = include_str!("page/runbook.html");

/// The place of the runbook in it.
const PLACE: &str = "<!-- runbook -->";

/// The page, rendered at its first use.
static RENDERED: LazyLock<Bytes> = LazyLock::new(|| {
    let (before, after) = PAGE.split_once(PLACE).unwrap_or((PAGE, ""));
    Bytes::from([before, &Rendered::of(RUNBOOK).page(), after].concat())
});

/// A document whose links work outside the repository.
struct Rendered<'a> {
    events: Vec<Event<'a>>,
    /// The anchor and the heading of each section, with its level.
    sections: Vec<(HeadingLevel, String, String)>,
}

/// The page.
pub(super) fn page() -> Bytes {
    RENDERED.clone()
}

/// Whether the runbook has a section with this anchor.
#[cfg(test)]
pub(super) fn has_section(anchor: &str) -> bool {
    Rendered::of(RUNBOOK).sections.iter().any(|(_, known, _)| known == anchor)
}

// ===== impl Rendered =====

impl<'a> Rendered<'a> {
    fn of(markdown: &'a str) -> Self {
        let mut rendered = Self { events: Vec::new(), sections: Vec::new() };
        let mut anchors = HashMap::new();
        // The place of an open heading, and its text.
        let mut heading: Option<(usize, String)> = None;
        // For each open link, whether it is kept.
        let mut links = Vec::new();
        let mut images = 0_usize;
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            if let (Some((_, text)), Event::Text(part) | Event::Code(part)) = (&mut heading, &event) {
                text.push_str(part);
            }
            match event {
                Event::Start(Tag::Image { .. }) => images += 1,
                Event::End(TagEnd::Image) => images = images.saturating_sub(1),
                _ if images > 0 => {}
                Event::Start(Tag::Link { ref dest_url, .. }) => {
                    let is_kept = dest_url.starts_with('#') || dest_url.contains("://");
                    links.push(is_kept);
                    rendered.events.extend(is_kept.then_some(event));
                }
                Event::End(TagEnd::Link) => {
                    let is_kept = links.pop().unwrap_or(false);
                    rendered.events.extend(is_kept.then_some(event));
                }
                Event::Start(Tag::Heading { .. }) => {
                    heading = Some((rendered.events.len(), String::new()));
                    rendered.events.push(event);
                }
                Event::End(TagEnd::Heading(level)) => {
                    if let Some((place, text)) = heading.take() {
                        let anchor = anchor(&text, &mut anchors);
                        if let Some(Event::Start(Tag::Heading { id, .. })) = rendered.events.get_mut(place) {
                            *id = Some(CowStr::from(anchor.clone()));
                        }
                        rendered.sections.push((level, anchor, text));
                    }
                    rendered.events.push(event);
                }
                // Wide tables scroll by themselves.
                Event::Start(Tag::Table(_)) => {
                    rendered.events.push(Event::Html("<div class=\"scroll\">".into()));
                    rendered.events.push(event);
                }
                Event::End(TagEnd::Table) => {
                    rendered.events.push(event);
                    rendered.events.push(Event::Html("</div>".into()));
                }
                // Shown, not interpreted.
                Event::Html(text) | Event::InlineHtml(text) => rendered.events.push(Event::Text(text)),
                Event::Start(_)
                | Event::End(_)
                | Event::Text(_)
                | Event::Code(_)
                | Event::InlineMath(_)
                | Event::DisplayMath(_)
                | Event::FootnoteReference(_)
                | Event::SoftBreak
                | Event::HardBreak
                | Event::Rule
                | Event::TaskListMarker(_) => rendered.events.push(event),
            }
        }
        rendered
    }

    /// The list of sections, and the text.
    fn page(self) -> String {
        let Self { events, sections } = self;
        let mut page = String::from("<ul class=\"sections\">");
        for (_, anchor, heading) in sections.iter().filter(|(level, ..)| *level == HeadingLevel::H2) {
            page.push_str(&format!("<li><a href=\"#{}\">{}</a></li>", escaped(anchor), escaped(heading)));
        }
        page.push_str("</ul>");
        push_html(&mut page, events.into_iter());
        page
    }
}

/// The anchor that GitHub gives to a heading; a second one of the same text gets a number.
fn anchor(heading: &str, anchors: &mut HashMap<String, usize>) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    let anchor: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
    let count = anchors.entry(anchor.clone()).or_default();
    *count += 1;
    if *count > 1 { format!("{anchor}-{}", *count - 1) } else { anchor }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rendered(markdown: &str) -> String {
        let page = Rendered::of(markdown).page();
        page.split_once("</ul>").unwrap().1.trim().to_owned()
    }

    #[rstest]
    #[case::words("## Roll, drain and stop", "roll-drain-and-stop")]
    #[case::alert("### ScoringDown", "scoringdown")]
    #[case::code("## Set `store.url`", "set-storeurl")]
    #[case::letters("## Größe_x-1", "größe_x-1")]
    #[case::second("## A\n## A", "a-1")]
    fn a_section_has_the_anchor_that_github_gives_it(#[case] markdown: &str, #[case] anchor: &str) {
        let page = rendered(markdown);
        assert!(page.contains(&format!(" id=\"{anchor}\"")), "{page}");
    }

    #[rstest]
    #[case::section("[a](#b)", r##"<p><a href="#b">a</a></p>"##)]
    #[case::web("[a](https://b.example)", r#"<p><a href="https://b.example">a</a></p>"#)]
    #[case::document("see [a `b`](c.md#d) too", "<p>see a <code>b</code> too</p>")]
    #[case::image("x ![a *b*](c.png) y", "<p>x  y</p>")]
    #[case::markup("a <b onclick=x>c</b>", "<p>a &lt;b onclick=x&gt;c&lt;/b&gt;</p>")]
    fn only_links_that_work_here_are_links(#[case] markdown: &str, #[case] html: &str) {
        assert_eq!(rendered(markdown), html);
    }

    #[test]
    fn the_page_lists_its_sections_and_every_link_leads_to_one() {
        let page = String::from_utf8(page().to_vec()).unwrap();
        assert!(page.contains("<li><a href=\"#alerts\">Alerts</a></li>") && !page.contains(PLACE));
        let targets = page.split("href=\"#").skip(1).filter_map(|rest| rest.split_once('"'));
        let targets: Vec<_> = targets.map(|(target, _)| target).collect();
        assert!(targets.len() > 30, "{targets:?}");
        for target in targets {
            assert!(page.contains(&format!(" id=\"{target}\"")), "no section {target}");
        }
    }
}
