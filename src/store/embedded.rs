//! `embedded:` — persistent data in one file beside the service, with no server to run.
//!
//! The file is a [redb](https://docs.rs/redb) database: copy-on-write B-trees with checksums, so a process killed in the
//! middle of a write leaves the last commit. It is opened for several processes, so interests can be imported while the
//! service runs. The cache role stays in memory, see [`LocalCache`].

use std::{
    fmt::Display,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, pending, ready},
};
use redb::{ConcurrencyMode, Database, ReadableDatabase, TableDefinition, TableError};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::{BackendError, Bulk, Connection, Connector, LocalCache, PutError, Reply, Stored, Watch};

const PERSISTENT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("persistent");

/// Pages kept in memory. The kernel's page cache does the rest.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// Opens the file once, however often and from however many workers it is connected to.
#[derive(Debug)]
pub struct EmbeddedConnector {
    path: PathBuf,
    cache: LocalCache,
    opened: Arc<OnceCell<Arc<EmbeddedFile>>>,
}

/// An open database file.
#[derive(Debug)]
pub struct EmbeddedFile {
    database: Database,
}

struct Embedded {
    file: Arc<EmbeddedFile>,
    cache: LocalCache,
}

// ===== impl EmbeddedConnector =====

impl EmbeddedConnector {
    /// A store in the file at `path`, made on the first connect, whose cache holds at most `cache_capacity` entries.
    pub fn new(path: PathBuf, cache_capacity: u64) -> Self {
        Self { path, cache: LocalCache::new(cache_capacity), opened: Arc::default() }
    }
}

impl Connector for EmbeddedConnector {
    fn connect(&self) -> Reply<Arc<dyn Connection>> {
        let (path, cache, opened) = (self.path.clone(), self.cache.clone(), self.opened.clone());
        async move {
            let file = opened
                .get_or_try_init(|| blocking(move || EmbeddedFile::open(&path).map(Arc::new)))
                .await?
                .clone();
            let connection: Arc<dyn Connection> = Arc::new(Embedded { file, cache });
            Ok(connection)
        }
        .boxed()
    }
}

// ===== impl EmbeddedFile =====

impl EmbeddedFile {
    /// Opens the database, or makes it, along with the folder it is in.
    ///
    /// After an unclean end the file is checked and repaired first, which takes time in proportion to its size. Blocks.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(storage)?;
        }
        let database = Database::builder()
            .set_cache_size(PAGE_CACHE_BYTES)
            .set_concurrency_mode(ConcurrencyMode::MultiWriter)
            .create(path)
            .map_err(storage)?;
        Ok(Self { database })
    }

    /// Reads `keys` from one snapshot. Blocks.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let snapshot = self.database.begin_read().map_err(storage)?;
        let table = match snapshot.open_table(PERSISTENT) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(vec![None; keys.len()]),
            table => table.map_err(storage)?,
        };
        keys.iter()
            .map(|key| Ok(table.get(key.as_str()).map_err(storage)?.map(|value| value.value().to_vec())))
            .collect()
    }

    /// Writes all `entries` in one transaction that is on the disk when this returns, or none of them. Blocks, also for as
    /// long as another process writes.
    pub fn put_all(&self, entries: &[(String, Vec<u8>)], watch: &dyn Watch) -> Result<(), PutError> {
        let transaction = self.database.begin_write().map_err(storage)?;
        {
            let mut table = transaction.open_table(PERSISTENT).map_err(storage)?;
            for (key, value) in entries {
                table.insert(key.as_str(), value.as_slice()).map_err(storage)?;
                watch.written(1);
            }
        }
        if !watch.may_commit() {
            transaction.abort().map_err(storage)?;
            return Err(PutError::CalledOff);
        }
        // A disk that fails here may have taken the last page, or not.
        transaction.commit().map_err(|error| PutError::Unknown(storage(error)))
    }
}

impl Bulk for EmbeddedFile {
    fn put_all(&self, entries: &[(String, Vec<u8>)], watch: &dyn Watch) -> Result<(), PutError> {
        self.put_all(entries, watch)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        Ok(self.get_many(keys)?.into_iter().map(Stored::from).collect())
    }

    /// In the order of the keys' bytes, from one snapshot.
    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let snapshot = self.database.begin_read().map_err(storage)?;
        let table = match snapshot.open_table(PERSISTENT) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            table => table.map_err(storage)?,
        };
        for entry in table.range(prefix..).map_err(storage)? {
            let (key, value) = entry.map_err(storage)?;
            let stored = Stored::Value(value.value().to_vec());
            if !key.value().starts_with(prefix) || visit(key.value(), stored).is_break() {
                break;
            }
        }
        Ok(())
    }
}

// ===== impl Embedded =====

impl Connection for Embedded {
    fn get(&self, key: String) -> Reply<Option<Vec<u8>>> {
        ready(Ok(self.cache.get(&key))).boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> Reply<Vec<Option<Vec<u8>>>> {
        let file = self.file.clone();
        blocking(move || file.get_many(&keys)).boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> Reply<()> {
        self.cache.set(key, value, ttl);
        ready(Ok(())).boxed()
    }

    fn silent_for(&self) -> Duration {
        Duration::ZERO
    }

    fn closed(&self) -> BoxFuture<'static, ()> {
        pending().boxed()
    }

    fn close(&self) {}
}

/// Disk reads leave the worker's thread, which all its connections and actors share.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    spawn_blocking(work).await.map_err(storage)?
}

/// redb's errors speak of files, pages and tables, never of what is stored in them.
fn storage(error: impl Display) -> BackendError {
    BackendError::Storage(error.to_string())
}

#[cfg(test)]
mod tests;
