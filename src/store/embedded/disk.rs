//! The parts of the operating system that an open file needs.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    thread,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::task::spawn_blocking;

/// Reads and writes of the file, and the threads for them. Each may block for any time.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Reads into the whole of `out`.
    ///
    /// # Errors
    ///
    /// The system's; [`io::ErrorKind::UnexpectedEof`], if the file ends before.
    fn read_exact_at(&self, file: &File, out: &mut [u8], at: u64) -> io::Result<()>;

    /// Writes all of `data`.
    ///
    /// # Errors
    ///
    /// The system's. A part may have been written.
    fn write_all_at(&self, file: &File, data: &[u8], at: u64) -> io::Result<()>;

    /// Runs `work` beside the worker's thread, which all its connections and actors share, and resolves when it is over.
    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;

    /// Runs `work` on a thread of its own; again after each pause that it returns, and no more after `None`. A thread that
    /// blocks for ever does not delay the end of the process.
    ///
    /// # Errors
    ///
    /// If the system has no thread left.
    fn start(&self, name: &str, work: Box<dyn FnMut() -> Option<Duration> + Send>) -> io::Result<()>;
}

/// The disk of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn read_exact_at(&self, file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
        file.read_exact_at(out, at)
    }

    fn write_all_at(&self, file: &File, data: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(data, at)
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        spawn_blocking(work).map(drop).boxed()
    }

    fn start(&self, name: &str, mut work: Box<dyn FnMut() -> Option<Duration> + Send>) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            while let Some(time) = work() {
                pause(time);
            }
        })?;
        Ok(())
    }
}

fn pause(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
