//! The keys of a TOML text with their line numbers, so that an error can name its line.

use toml::de::DeTable;
use toml::{Table, Value};

use super::error::Problem;

/// A key of a TOML text.
pub(super) struct Leaf {
    /// `store.timeout`, or a bare name for a key outside all sections.
    pub(super) key: String,
    /// Whether it is in a section; a quoted key may have a dot and not be in a section.
    pub(super) in_section: bool,
    /// Counted from 1.
    pub(super) line: Option<usize>,
    /// Its value; an empty table for a section without keys.
    pub(super) value: Value,
}

/// The keys of a TOML text, in its order; or the line and the problem.
///
/// Parses twice: only the parser's own tree has line numbers, and only the plain one has values.
pub(super) fn parse(text: &str) -> Result<Vec<Leaf>, (Option<usize>, Problem)> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let at = |error: &toml::de::Error| error.span().map(|span| line(span.start));
    let located =
        DeTable::parse(text).map_err(|error| (at(&error), Problem::Syntax(error.message().to_owned())))?;
    // The only possible error here is an integer beyond 64 bits. The message would repeat it, and it may be a salt
    // without its quotes.
    let table: Table = toml::from_str(text)
        .map_err(|error| (at(&error), Problem::Syntax("number out of range".to_owned())))?;

    let mut leaves = Vec::new();
    gather("", table, Some(located.get_ref()), &line, &mut leaves);
    leaves.sort_by_key(|leaf| leaf.line);
    Ok(leaves)
}

/// Adds the leaves of `table`, whose own key is `path`.
fn gather(
    path: &str,
    table: Table,
    located: Option<&DeTable<'_>>,
    line: &impl Fn(usize) -> usize,
    leaves: &mut Vec<Leaf>,
) {
    for (name, value) in table {
        let place = located.and_then(|table| table.get(name.as_str()));
        let key = if path.is_empty() { name } else { format!("{path}.{name}") };
        if let Value::Table(inner) = &value
            && !inner.is_empty()
        {
            let place = place.and_then(|place| place.get_ref().as_table());
            gather(&key, inner.clone(), place, line, leaves);
        } else {
            let line = place.map(|place| line(place.span().start));
            leaves.push(Leaf { key, in_section: !path.is_empty(), line, value });
        }
    }
}
