//! Writes the lines of the log; several at once if several wait.
//!
//! Under load, the thread that writes the log finds many lines in its queue, and one system call writes them all. It
//! flushes when the queue is empty, so a single line is written at once. Then it pauses. If it waited for each line
//! instead, a logging thread would have to wake it, and it would take the processor from calls every few microseconds.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

use super::dropped_lines::Unwritten;

/// Maximum bytes of one write, in whole lines. A pipe takes this many as one piece (`PIPE_BUF`), even with other
/// writers.
const AT_ONCE: usize = 4096;

/// Takes whole lines, and counts those that it cannot write. Its caller flushes it when it has no more lines.
pub(super) struct BatchingWriter<W> {
    writer: W,
    /// How long lines are collected after a flush.
    pause: Duration,
    /// Whole lines, except that the first may be partly written.
    waiting: Vec<u8>,
    unwritten: Unwritten,
}

// ===== impl BatchingWriter =====

impl<W: Write> BatchingWriter<W> {
    pub(super) fn new(writer: W, pause: Duration, unwritten: Unwritten) -> Self {
        Self { writer, pause, waiting: Vec::with_capacity(AT_ONCE), unwritten }
    }

    /// Whether `line` would have to wait for another write.
    fn is_full_for(&self, line: &[u8]) -> bool {
        !self.waiting.is_empty() && self.waiting.len() + line.len() > AT_ONCE
    }

    /// Writes the waiting lines. Returns the number of bytes written, and the error that ended the write.
    fn write_waiting(&mut self) -> (usize, io::Result<()>) {
        let mut written = 0;
        loop {
            let rest = self.waiting.get(written..).unwrap_or_default();
            if rest.is_empty() {
                return (written, Ok(()));
            }
            match self.writer.write(rest) {
                Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (written, Err(error)),
            }
        }
    }

    /// Writes the waiting lines. They wait on if the writer would block; on any other error they are lost, so that
    /// later lines have a chance.
    fn empty(&mut self) {
        let (written, outcome) = self.write_waiting();
        self.waiting.drain(..written);
        if outcome.is_err_and(|error| error.kind() != ErrorKind::WouldBlock) {
            self.unwritten.add(self.waiting.iter().filter(|&&byte| byte == b'\n').count());
            self.waiting.clear();
        }
    }
}

impl<W: Write> Write for BatchingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line).map(|()| line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_full_for(line) {
            // Lines lost here are counted, and this line can still be written.
            self.empty();
        }
        if self.is_full_for(line) {
            self.unwritten.add(1);
        } else {
            self.waiting.extend_from_slice(line);
        }
        Ok(())
    }

    /// Never an error: on one, the thread that writes the log would end its round, and miss the request to end.
    #[expect(clippy::disallowed_methods, reason = "the log's thread is its own")]
    fn flush(&mut self) -> io::Result<()> {
        self.empty();
        thread::sleep(self.pause);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
