//! `embedded:` — persistent data in one file beside the service, without a server.
//!
//! The file is a [redb](https://docs.rs/redb) database of copy-on-write B-trees, so after a process was killed in the
//! middle of a write, the last commit remains. Several processes can open it, so interests can be imported while the
//! service runs, which only reads. The cache role stays in memory, see [`InProcessCache`].
//!
//! - `blocks`: the checksums below redb, which verify each read
//! - `file`: the open file; `walk`: all of its entries, even if it is damaged
//! - `create`: the creation of the file
//! - `disk`: the operating system's part
//! - `watch`: one open file for all connections, and the reasons to reopen it; `identity`: device and inode
//! - `fault`: texts of errors

mod blocks;
mod create;
mod disk;
mod fault;
mod file;
mod identity;
mod walk;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::sync::{Mutex, oneshot};

use self::{identity::Identity, watch::OpenFile};
use super::{Access, BackendError, Connection, Connector, InProcessCache, Remedy, ReplyFuture};

pub use self::{
    disk::{Disk, SystemDisk},
    file::EmbeddedFile,
};

/// Opens the file once for all workers, and again after it has failed.
#[derive(Debug)]
pub struct EmbeddedConnector {
    path: PathBuf,
    cache: InProcessCache,
    disk: Arc<dyn Disk>,
    opened: Arc<Mutex<Opened>>,
}

#[derive(Debug, Default)]
struct Opened {
    open: Option<Arc<OpenFile>>,
    /// The last opened file, which was verified.
    verified: Option<Identity>,
    /// Whether a file with contents was ever at the path. If it disappears, it is not created again: an empty file would turn an
    /// outage into clients without interests.
    was_there: bool,
}

struct Embedded {
    open: Arc<OpenFile>,
    cache: InProcessCache,
    disk: Arc<dyn Disk>,
}

// ===== impl EmbeddedConnector =====

impl EmbeddedConnector {
    /// A store in the file at `path`, which the first connect creates. Its cache holds at most `cache_capacity`
    /// entries.
    pub fn new(path: PathBuf, cache_capacity: u64) -> Self {
        let cache = InProcessCache::new(cache_capacity);
        Self { path, cache, disk: Arc::new(SystemDisk), opened: Arc::default() }
    }

    /// The same connector, on another disk than the system's.
    #[must_use]
    pub fn on(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }
}

impl Connector for EmbeddedConnector {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let (path, cache, opened) = (self.path.clone(), self.cache.clone(), self.opened.clone());
        let disk = self.disk.clone();
        async move {
            // Locked while the file is opened, so that the others wait for it.
            let mut opened = opened.lock_owned().await;
            let usable = opened.open.clone().filter(|open| !open.has_failed());
            let open = match usable {
                Some(open) => open,
                None => {
                    let its_disk = disk.clone();
                    blocking(disk.as_ref(), move || opened.open(&path, &its_disk)).await?
                }
            };
            let connection: Arc<dyn Connection> = Arc::new(Embedded { open, cache, disk });
            Ok(connection)
        }
        .boxed()
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn address(&self) -> String {
        self.path.display().to_string()
    }
}

// ===== impl Opened =====

impl Opened {
    /// Opens the file. Blocks.
    fn open(&mut self, path: &Path, disk: &Arc<dyn Disk>) -> Result<Arc<OpenFile>, BackendError> {
        self.open = None;
        self.was_there |= create::has_contents(path);
        let file = OpenFile::open(path, !self.was_there, disk.clone())?;
        self.was_there = true;
        let is_new = self.verified != Some(file.identity());
        let open = OpenFile::share(file, is_new, disk.as_ref())?;
        self.verified = Some(open.file.identity());
        self.open = Some(open.clone());
        Ok(open)
    }
}

// ===== impl Embedded =====

impl Connection for Embedded {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        ready(Ok(self.cache.get(&key))).boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let open = self.open.clone();
        blocking(self.disk.as_ref(), move || {
            let found = open.file.get_many(&keys);
            // After a system error redb serves nothing until the file is reopened.
            if let Err(error) = &found
                && error.remedy() == Remedy::Reconnect
            {
                open.fail(error);
            }
            found
        })
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        self.cache.set(key, value, ttl);
        ready(Ok(())).boxed()
    }

    fn silent_for(&self) -> Duration {
        Duration::ZERO
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        self.open.failure().boxed()
    }

    fn access(&self) -> Option<Access> {
        Some(self.open.access)
    }

    fn close(&self) {}
}

/// Starts `work` on the disk at once, and returns its outcome.
fn blocking<T: Send + 'static>(
    disk: &dyn Disk,
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> ReplyFuture<T> {
    let (sender, outcome) = oneshot::channel();
    // This fails if the caller no longer waits.
    let running = disk.run(Box::new(move || _ = sender.send(work())));
    async move {
        running.await;
        outcome.await.unwrap_or_else(|_| Err(BackendError::Storage("an internal error".to_owned())))
    }
    .boxed()
}

#[cfg(test)]
mod tests;
