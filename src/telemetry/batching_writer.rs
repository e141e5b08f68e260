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
mod tests {
    use std::{collections::VecDeque, time::Instant};

    use super::*;

    /// Handles each write as scripted, and accepts everything after the script's end.
    #[derive(Default)]
    struct Pipe {
        acts: VecDeque<Result<usize, ErrorKind>>,
        writes: Vec<String>,
        last: Option<Instant>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.acts.pop_front().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.writes.push(String::from_utf8(bytes[..taken].to_vec()).unwrap());
            self.last = Some(Instant::now());
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn batching_writer(acts: &[Result<usize, ErrorKind>]) -> BatchingWriter<Pipe> {
        let pipe = Pipe { acts: acts.iter().copied().collect(), ..Pipe::default() };
        BatchingWriter::new(pipe, Duration::ZERO, Unwritten::default())
    }

    fn line(number: usize, length: usize) -> Vec<u8> {
        format!("{number:0>width$}\n", width = length - 1).into_bytes()
    }

    #[test]
    fn lines_that_wait_are_written_at_once_and_in_order() {
        let mut log = batching_writer(&[]);
        for text in ["a\n", "b\n", "c\n"] {
            log.write_all(text.as_bytes()).unwrap();
        }
        assert!(log.writer.writes.is_empty());
        log.flush().unwrap();
        assert_eq!(log.writer.writes, ["a\nb\nc\n"]);
    }

    #[test]
    fn the_lines_after_a_flush_have_time_to_gather() {
        let mut log = batching_writer(&[]);
        log.pause = Duration::from_millis(50);
        log.write_all(b"a\n").unwrap();
        log.flush().unwrap();
        let after = log.writer.last.unwrap().elapsed();
        assert!(after >= log.pause, "it was written only {after:?} before the end");
    }

    #[test]
    fn a_write_has_whole_lines_and_fits_a_pipes_atomic_size() {
        let mut log = batching_writer(&[]);
        (0..100).for_each(|number| log.write_all(&line(number, 300)).unwrap());
        log.flush().unwrap();
        assert_eq!(log.writer.writes.len(), 100_usize.div_ceil(AT_ONCE / 300));
        assert!(log.writer.writes.iter().all(|write| write.len() <= AT_ONCE && write.ends_with('\n')));
        let expected: Vec<u8> = (0..100).flat_map(|number| line(number, 300)).collect();
        assert_eq!(log.writer.writes.concat().into_bytes(), expected);
    }

    #[test]
    fn a_line_longer_than_that_is_written_all_the_same() {
        let mut log = batching_writer(&[Ok(1), Ok(5_000)]);
        log.write_all(b"short\n").unwrap();
        log.write_all(&line(1, 10_000)).unwrap();
        log.flush().unwrap();
        let expected = [b"short\n".to_vec(), line(1, 10_000)].concat();
        assert_eq!(log.writer.writes.concat().into_bytes(), expected);
        assert_eq!(log.unwritten.get(), 0);
    }

    #[test]
    fn a_short_or_interrupted_write_continues() {
        let mut log = batching_writer(&[Ok(1), Err(ErrorKind::Interrupted), Ok(2)]);
        log.write_all(b"one\n").unwrap();
        log.write_all(b"two\n").unwrap();
        log.flush().unwrap();
        assert_eq!(log.writer.writes.concat(), "one\ntwo\n");
    }

    #[test]
    fn lines_wait_for_a_full_pipe_and_are_never_torn() {
        let mut log = batching_writer(&[Ok(2), Err(ErrorKind::WouldBlock), Err(ErrorKind::WouldBlock)]);
        log.write_all(b"one\n").unwrap();
        log.flush().unwrap();
        log.write_all(b"two\n").unwrap();
        log.flush().unwrap();
        log.flush().unwrap();
        assert_eq!(log.writer.writes.concat(), "one\ntwo\n");
        assert_eq!(log.unwritten.get(), 0);
    }

    #[test]
    fn lines_that_find_no_room_behind_a_full_pipe_are_counted() {
        let mut log = batching_writer(&[Err(ErrorKind::WouldBlock); 6]);
        (0..18).for_each(|number| log.write_all(&line(number, 300)).unwrap());
        assert_eq!(log.unwritten.get(), 5);
        log.flush().unwrap();
        log.flush().unwrap();
        assert_eq!(log.writer.writes.concat().lines().count(), 13, "the others are whole");
    }

    #[test]
    fn unwritable_lines_are_counted_and_later_ones_are_written() {
        let full = Err(ErrorKind::StorageFull);
        let mut log = batching_writer(&[Ok(5), full]);
        for text in ["one\n", "two\n", "three\n"] {
            log.write_all(text.as_bytes()).unwrap();
        }
        log.flush().unwrap();
        assert_eq!(log.unwritten.get(), 2, "all but the one that was written to its end");
        log.write_all(b"four\n").unwrap();
        log.flush().unwrap();
        assert_eq!(log.writer.writes, ["one\nt", "four\n"]);
    }

    #[test]
    fn a_full_disk_loses_only_the_lines_that_cannot_be_written() {
        let mut log = batching_writer(&[Err(ErrorKind::StorageFull)]);
        (0..14).for_each(|number| log.write_all(&line(number, 300)).unwrap());
        assert_eq!(log.unwritten.get(), 13);
        log.flush().unwrap();
        assert_eq!(log.writer.writes.concat().into_bytes(), line(13, 300));
    }
}
