//! CSV: the header `id,interests`, then a row for each interest of each client.
//!
//! ```text
//! id,interests
//! 1,books
//! 1,hi-tech
//! 2,
//! ```
//!
//! Rows with the same id add up, in their order; a row with an empty second cell is a client without interests. So an
//! interest may contain any character, and no separator is needed. Cells are quoted as in RFC 4180, but a row ends
//! with its line: an unclosed quote costs only that line, not the rest of the file. For this, and because a stray
//! quote is an error, the parser is our own: CSV libraries accept both.

use crate::{cli::line_fault::LineFault, domain::ClientId};

/// The first line.
pub(super) const HEADER: &str = "id,interests";

/// Whether `line` is the header, quoted or not.
pub(super) fn header(line: &str) -> Result<(), LineFault> {
    let is_header = cells(line).is_ok_and(|cells| cells == ["id", "interests"]);
    if is_header { Ok(()) } else { Err(LineFault::Header(HEADER)) }
}

/// Reads one row: a client, and at most one interest.
pub(super) fn parse(line: &str) -> Result<(ClientId, Option<String>), LineFault> {
    let cells = cells(line)?;
    let [id, interest] = <[String; 2]>::try_from(cells).map_err(|cells| LineFault::Columns(cells.len()))?;
    let number: i64 = id.parse().map_err(|_| LineFault::Id)?;
    // `parse` alone would accept `+1` and `007`, which JSON does not.
    if number.to_string() != id {
        return Err(LineFault::Id);
    }
    Ok((ClientId(number), (!interest.is_empty()).then_some(interest)))
}

fn cells(line: &str) -> Result<Vec<String>, LineFault> {
    let mut cells = Vec::new();
    let mut rest = Some(line);
    while let Some(text) = rest {
        let (cell, after) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = text.find(',').unwrap_or(text.len());
                let (cell, after) = text.split_at_checked(end).ok_or(LineFault::Quotes)?;
                if cell.contains('"') {
                    return Err(LineFault::Quotes);
                }
                (cell.to_owned(), after)
            }
        };
        cells.push(cell);
        rest = match after.strip_prefix(',') {
            Some(next) => Some(next),
            None if after.is_empty() => None,
            None => return Err(LineFault::Quotes),
        };
    }
    Ok(cells)
}

/// The cell whose opening quote was before `text`, and the text after its closing quote.
fn unquote(text: &str) -> Result<(String, &str), LineFault> {
    let (mut cell, mut rest) = (String::new(), text);
    loop {
        let (part, after) = rest.split_once('"').ok_or(LineFault::Quotes)?;
        cell.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                cell.push('"');
                rest = after;
            }
            None => return Ok((cell, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::plain("1,books", 1, Some("books"))]
    #[case::none("1,", 1, None)]
    #[case::quoted_none("1,\"\"", 1, None)]
    #[case::negative("-7,a", -7, Some("a"))]
    #[case::quoted("\"1\",\"books\"", 1, Some("books"))]
    #[case::comma("1,\"books, old\"", 1, Some("books, old"))]
    #[case::quotes("1,\"\"\"old\"\" books\"", 1, Some("\"old\" books"))]
    #[case::other_separators("1,a|b;c", 1, Some("a|b;c"))]
    #[case::blanks_belong_to_it("1, a ", 1, Some(" a "))]
    #[case::largest("9223372036854775807,a", i64::MAX, Some("a"))]
    fn reads(#[case] line: &str, #[case] id: i64, #[case] interest: Option<&str>) {
        assert_eq!(parse(line), Ok((ClientId(id), interest.map(str::to_owned))));
    }

    #[rstest]
    #[case::one_column("1", LineFault::Columns(1))]
    #[case::three_columns("1,a,b", LineFault::Columns(3))]
    #[case::semicolon("1;a", LineFault::Columns(1))]
    #[case::no_id(",a", LineFault::Id)]
    #[case::id_as_text("x,a", LineFault::Id)]
    #[case::id_with_plus("+1,a", LineFault::Id)]
    #[case::id_with_zero("01,a", LineFault::Id)]
    #[case::id_with_blank(" 1,a", LineFault::Id)]
    #[case::id_too_large("9223372036854775808,a", LineFault::Id)]
    #[case::open_quote("1,\"a", LineFault::Quotes)]
    #[case::stray_quote("1,a\"b", LineFault::Quotes)]
    #[case::text_after_quote("1,\"a\"b", LineFault::Quotes)]
    fn refuses(#[case] line: &str, #[case] fault: LineFault) {
        assert_eq!(parse(line), Err(fault));
    }

    #[rstest]
    #[case::plain("id,interests", true)]
    #[case::quoted("\"id\",\"interests\"", true)]
    #[case::data("1,books", false)]
    #[case::capitals("ID,Interests", false)]
    #[case::other_order("interests,id", false)]
    #[case::semicolon("id;interests", false)]
    fn the_header_is_told_from_data(#[case] line: &str, #[case] is_header: bool) {
        assert_eq!(header(line).is_ok(), is_header);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(line: String) {
            let _ = (header(&line), parse(&line));
        }

        #[test]
        fn a_quoted_cell_reads_back(cells_given in proptest::collection::vec("[a-c\", ]*", 1..4)) {
            let line: Vec<_> = cells_given.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            prop_assert_eq!(cells(&line.join(",")), Ok(cells_given));
        }
    }
}
