//! The disk of the embedded store: a real file, whose reads and writes the simulation makes fail.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use scoring_api::store::{Disk, EmbeddedFile};
use tempfile::TempDir;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// The error of a disk that fails.
const EIO: i32 = 5;

/// The error of a full disk.
const ENOSPC: i32 = 28;

/// A disk with one file. Clones are the same one.
#[derive(Debug, Clone)]
pub struct SimulatedDisk(Arc<State>);

#[derive(Debug)]
struct State {
    folder: TempDir,
    /// The error of each read; 0 if reads succeed.
    errno: AtomicI32,
    /// Whether there is no room for a write.
    is_full: AtomicBool,
    /// The time of each operation, in milliseconds.
    takes: AtomicU32,
    /// Notified when that changes.
    changed: Notify,
}

// ===== impl SimulatedDisk =====

impl SimulatedDisk {
    /// A disk without the file.
    pub(super) fn new() -> io::Result<Self> {
        // In memory, where it exists: a write waits for nothing.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }?;
        Ok(Self(Arc::new(State {
            folder,
            errno: AtomicI32::new(0),
            is_full: AtomicBool::new(false),
            takes: AtomicU32::new(0),
            changed: Notify::new(),
        })))
    }

    /// The folder of the file.
    pub fn folder(&self) -> String {
        self.0.folder.path().display().to_string()
    }

    /// The path of the file.
    pub fn path(&self) -> PathBuf {
        self.0.folder.path().join("scoring.redb")
    }

    /// Stores all of `entries` in the file, as another process does.
    pub(super) fn put_all(&self, entries: &[(String, Vec<u8>)]) {
        write(&self.path(), entries);
    }

    /// Puts another file with `entries` in the file's place.
    pub(super) fn replace(&self, entries: &[(String, Vec<u8>)]) {
        let other = self.0.folder.path().join("other");
        write(&other, entries);
        done(fs::rename(other, self.path()));
    }

    pub(super) fn fails(&self, fails: bool) {
        self.0.errno.store(if fails { EIO } else { 0 }, Relaxed);
    }

    pub(super) fn is_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Relaxed);
    }

    pub(super) fn takes(&self, millis: u32) {
        self.0.takes.store(millis, Relaxed);
        self.0.changed.notify_waiters();
    }

    /// Overwrites some bytes behind the file's header, if there is a file.
    pub(super) fn damage(&self, at: u64) {
        if !self.path().exists() {
            return;
        }
        let file = done(File::options().write(true).open(self.path()));
        done(file.write_all_at(&[0xA5; 64], at));
    }

    /// Takes the file away, or brings it back, if there is one.
    pub(super) fn is_away(&self, is_away: bool) {
        let away = self.0.folder.path().join("away");
        let (from, to) = if is_away { (self.path(), away) } else { (away, self.path()) };
        if from.exists() {
            done(fs::rename(from, to));
        }
    }
}

fn write(path: &Path, entries: &[(String, Vec<u8>)]) {
    let file = done(EmbeddedFile::open(path));
    if let Err(error) = file.put_all(entries, &|| {}) {
        unreachable!("{error}");
    }
}

/// The outcome of an operation on a real file, which no script makes fail.
fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| unreachable!("{error}"))
}

impl Disk for SimulatedDisk {
    fn read_exact_at(&self, file: &File, out: &mut [u8], at: u64) -> io::Result<()> {
        match self.0.errno.load(Relaxed) {
            0 => file.read_exact_at(out, at),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    fn write_all_at(&self, file: &File, data: &[u8], at: u64) -> io::Result<()> {
        if self.0.is_full.load(Relaxed) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        file.write_all_at(data, at)
    }

    fn run(&self, work: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        let state = self.0.clone();
        let running = tokio::spawn(async move {
            let takes = Duration::from_millis(state.takes.load(Relaxed).into());
            // An operation under way is over when the disk is fast again.
            _ = timeout(takes, state.changed.notified()).await;
            work();
        });
        running.map(drop).boxed()
    }

    fn start(&self, _: &str, mut work: Box<dyn FnMut() -> Option<Duration> + Send>) -> io::Result<()> {
        tokio::spawn(async move {
            while let Some(pause) = work() {
                sleep(pause).await;
            }
        });
        Ok(())
    }
}
