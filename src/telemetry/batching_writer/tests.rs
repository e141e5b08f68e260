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
