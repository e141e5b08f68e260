//! Lines of a file, each with its number, for any bytes that the file holds; and the JSON objects in them.
//!
//! No line is held beyond [`LONGEST`], so a wrong file, such as a disk image without a single line feed, costs little
//! memory.

use std::io::{self, BufRead, Read};

use crate::domain::{BadJson, Json, Object};

/// The longest line, in bytes without its end.
pub(super) const LONGEST: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a line is not valid text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadLine {
    #[error("longer than {LONGEST} bytes")]
    TooLong,
    #[error("not valid UTF-8")]
    NotUtf8,
}

/// Why a line is not a JSON object. Shows only the position, and no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadObject {
    #[error(transparent)]
    Text(#[from] BadLine),
    #[error("not a JSON object, see column {column}")]
    Syntax { column: usize },
    #[error("not a JSON object")]
    NotAnObject,
    #[error("nests too deep")]
    TooDeep,
    #[error("the same field twice, see column {column}")]
    RepeatedField { column: usize },
}

/// Reads lines that end in LF or CRLF, or with the file. A byte order mark at the start is dropped.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    number: usize,
    buffer: Vec<u8>,
}

/// A line's number, counted from 1, and its text.
pub(super) type Numbered<'a> = (usize, Result<&'a str, BadLine>);

/// Reads `line` as a JSON object, as strictly as the service reads bodies.
pub(super) fn object(line: &str) -> Result<Object, BadObject> {
    let Json::Object(object) = Json::parse(line.as_bytes())? else {
        return Err(BadObject::NotAnObject);
    };
    Ok(object)
}

impl From<BadJson> for BadObject {
    fn from(bad: BadJson) -> Self {
        match bad {
            BadJson::Empty => Self::NotAnObject,
            BadJson::NotUtf8 => BadLine::NotUtf8.into(),
            BadJson::Syntax { column, .. } => Self::Syntax { column },
            BadJson::TooDeep => Self::TooDeep,
            BadJson::RepeatedKey { column, .. } => Self::RepeatedField { column },
        }
    }
}

// ===== impl Lines =====

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, number: 0, buffer: Vec::new() }
    }

    /// The next line that is not blank; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Numbered<'_>>> {
        loop {
            let Some(whole) = self.read()? else {
                return Ok(None);
            };
            if !whole {
                return Ok(Some((self.number, Err(BadLine::TooLong))));
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        let text = std::str::from_utf8(&self.buffer).map_err(|_| BadLine::NotUtf8);
        Ok(Some((self.number, text)))
    }

    /// Reads a line into the buffer, without its end. Returns whether the whole line fitted; `None` at the end of the
    /// file.
    fn read(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        // Two more for CRLF.
        let limit = LONGEST + 2;
        let read = self.input.by_ref().take(limit as u64).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            if self.buffer.last() == Some(&b'\r') {
                self.buffer.pop();
            }
        } else if read == limit {
            self.input.skip_until(b'\n')?;
        }
        let whole = self.buffer.len() <= LONGEST;
        if self.number == 1 && self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        Ok(Some(whole))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn all(bytes: &[u8]) -> Vec<(usize, Result<String, BadLine>)> {
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some((number, line)) = lines.next().unwrap() {
            found.push((number, line.map(str::to_owned)));
        }
        found
    }

    fn texts(lines: &[(usize, &str)]) -> Vec<(usize, Result<String, BadLine>)> {
        lines.iter().map(|&(number, text)| (number, Ok(text.to_owned()))).collect()
    }

    #[rstest]
    #[case::nothing(b"", &[])]
    #[case::one(b"a\n", &[(1, "a")])]
    #[case::no_end(b"a\nb", &[(1, "a"), (2, "b")])]
    #[case::crlf(b"a\r\nb\r\n", &[(1, "a"), (2, "b")])]
    #[case::lone_cr(b"a\rb\n", &[(1, "a\rb")])]
    #[case::blank_ones_count(b"\n \t\r\na\n\n", &[(3, "a")])]
    #[case::byte_order_mark(b"\xef\xbb\xbfa\n", &[(1, "a")])]
    #[case::only_a_byte_order_mark(b"\xef\xbb\xbf", &[])]
    #[case::later_it_is_a_character(b"a\n\xef\xbb\xbfb", &[(1, "a"), (2, "\u{feff}b")])]
    fn lines_are_numbered_as_an_editor_does(#[case] bytes: &[u8], #[case] expected: &[(usize, &str)]) {
        assert_eq!(all(bytes), texts(expected));
    }

    #[test]
    fn a_line_that_is_not_utf8_is_bad_and_the_next_is_not() {
        let found = all(b"a\n\xff\nb");
        assert_eq!(found[1], (2, Err(BadLine::NotUtf8)));
        assert_eq!(found[2], (3, Ok("b".to_owned())));
    }

    #[rstest]
    #[case::lf("\n")]
    #[case::crlf("\r\n")]
    #[case::end_of_file("")]
    fn a_line_may_be_as_long_as_the_limit_and_no_longer(#[case] end: &str) {
        let longest = "x".repeat(LONGEST);
        assert_eq!(all(format!("{longest}{end}").as_bytes()), texts(&[(1, &longest)]));
        for excess in [1, 2, 3, LONGEST] {
            let too_long = format!("{longest}{}{end}", "x".repeat(excess));
            assert_eq!(all(too_long.as_bytes()), [(1, Err(BadLine::TooLong))], "{excess}");
        }
        let then = format!("{longest}xxxx\nb{end}");
        assert_eq!(all(then.as_bytes())[1], (2, Ok("b".to_owned())));
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut lines = Lines::new(io::BufReader::new(io::repeat(b'x').take(64 << 20)));
        assert!(matches!(lines.next(), Ok(Some((1, Err(BadLine::TooLong))))));
        assert!(lines.buffer.capacity() <= 4 * LONGEST, "{}", lines.buffer.capacity());
    }

    proptest! {
        #[test]
        fn any_bytes_at_all_are_read(bytes: Vec<u8>) {
            all(&bytes);
        }
    }
}
