//! The places of a partners' file: its entries and their lines.

/// An entry's text, or the text before the first entry.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// From its header line to the next one.
    pub text: &'a str,
    /// Where it begins in the file, in bytes.
    pub start: usize,
    /// The number of its first line, from 1.
    pub line: usize,
    /// Whether it begins with `[[partner]]`.
    pub is_entry: bool,
}

/// Cuts a file into its entries, in their order.
pub fn chunks(text: &str) -> impl Iterator<Item = Chunk<'_>> {
    let (mut start, mut line) = (0, 1);
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let mut end = 0;
        let mut lines = 0;
        for (number, one) in rest.split_inclusive('\n').enumerate() {
            if number > 0 && is_header(one) {
                break;
            }
            end += one.len();
            lines += 1;
        }
        let chunk = rest.get(..end)?;
        let is_entry = chunk.lines().next().is_some_and(is_header);
        let found = Chunk { text: chunk, start, line, is_entry };
        start += end;
        line += lines;
        Some(found)
    })
}

/// Whether a line is `[[partner]]`, perhaps with blanks and a comment.
fn is_header(line: &str) -> bool {
    let name = || {
        let inner = line.trim().strip_prefix("[[")?;
        let (name, rest) = inner.split_once("]]")?;
        (rest.trim().is_empty() || rest.trim_start().starts_with('#')).then_some(name.trim())
    };
    matches!(name(), Some("partner" | "\"partner\"" | "'partner'"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_header_begins_an_entry_with_its_line() {
        let text = "# x\n\n[[partner]]\na = 1\n [[ partner ]] # y\r\n[[partner.tokens]]\n[[\"partner\"]]";
        let found: Vec<_> = chunks(text).map(|chunk| (chunk.line, chunk.is_entry, chunk.start)).collect();
        assert_eq!(found, [(1, false, 0), (3, true, 5), (5, true, 23), (7, true, 62)]);
    }

    proptest! {
        #[test]
        fn the_entries_make_up_the_file(text in "(\\[{0,2}partner\\]{0,2}\n?|\\PC|\n){0,20}") {
            prop_assert_eq!(chunks(&text).map(|chunk| chunk.text).collect::<String>(), text);
        }
    }
}
