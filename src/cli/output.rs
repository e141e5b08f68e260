//! Standard output, which may be closed at any time.
//!
//! `println!` panics when the reader has gone, as in `… | head`. Here that is an ordinary error;
//! [`Failure`](super::failure::Failure) treats it as the normal end of the output.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Bytes that are collected before a write.
const BUFFER: usize = 64 << 10;

/// Standard output for many lines. Call `flush` at the end, since dropping it hides errors.
pub(super) fn buffered() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER, io::stdout().lock())
}

/// Writes `text` at once.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}
