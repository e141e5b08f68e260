//! The open file: reads for the service, and reads and writes in bulk for the command line.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, Table as WritableTable, TableDefinition,
};

use super::{
    blocks::Blocks,
    create::{self, Kind, Placed},
    disk::{Disk, SystemDisk},
    fault::{damaged, guarded, of_system, opened, storage},
    identity::Identity,
    walk,
};
use crate::store::{BackendError, Bulk, Changes, PutError, Stored, Watch};

/// The table of a file that is being written.
pub(super) type NewTable<'a> = WritableTable<'a, &'static str, &'static [u8]>;
pub(super) type Table = ReadOnlyTable<&'static str, &'static [u8]>;
pub(super) const PERSISTENT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("persistent");

/// Pages kept in memory. The kernel's page cache holds the rest.
const PAGE_CACHE_BYTES: usize = 32 << 20;

/// An open database file.
#[derive(Debug)]
pub struct EmbeddedFile {
    database: Handle,
    path: PathBuf,
    identity: Identity,
}

enum Handle {
    Reader(ReadOnlyDatabase),
    Writer(Database),
    /// A file of an older version, in memory and only to be read.
    Older(Database),
}

// ===== impl Handle =====

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reader(_) => "Reader",
            Self::Writer(_) => "Writer",
            Self::Older(_) => "Older",
        })
    }
}

/// The options of every open.
pub(super) fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(PAGE_CACHE_BYTES).set_concurrency_mode(ConcurrencyMode::MultiWriter);
    builder
}

/// The database of an open `file`, created if the file is empty.
pub(super) fn database(file: File, disk: Arc<dyn Disk>) -> Result<Database, redb::Error> {
    builder().create_with_backend(Blocks::new(file, false, disk)?).map_err(opened)
}

// ===== impl EmbeddedFile =====

impl EmbeddedFile {
    /// Opens the file for reading and writing, or creates it, with its folder. Blocks.
    ///
    /// A file of an older version is taken over. An empty file is replaced.
    ///
    /// # Errors
    ///
    /// [`BackendError::Storage`] or [`BackendError::Damaged`], with the file and the cause.
    pub fn open(path: &Path) -> Result<Self, BackendError> {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        if create::prepare(path, &disk)? == Kind::Empty {
            create::replace_empty(path, &disk)?;
        }
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| of_system(path, &error))?;
        let identity = Identity::of(&file).map_err(|error| of_system(path, &error))?;
        let database = guarded(path, || database(file, disk))?;
        Ok(Self { database: Handle::Writer(database), path: path.to_owned(), identity })
    }

    /// Opens the file for reading, without changing it. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::open`], and if the file does not exist.
    pub fn open_to_read(path: &Path) -> Result<Self, BackendError> {
        Self::open_to_read_from(path, Arc::new(SystemDisk))
    }

    pub(super) fn open_to_read_from(path: &Path, disk: Arc<dyn Disk>) -> Result<Self, BackendError> {
        let file = File::open(path).map_err(|error| of_system(path, &error))?;
        let identity = Identity::of(&file).map_err(|error| of_system(path, &error))?;
        let database = match Kind::of(&file).map_err(|error| of_system(path, &error))? {
            Kind::Ours => Self::reader(path, Blocks::new(file, true, disk))?,
            Kind::Older => Handle::Older(guarded(path, || create::load_older(&file))?),
            Kind::Empty | Kind::NeverMade => return Err(storage(path, "the file is empty")),
            Kind::Foreign => return Err(storage(path, "not a file of this service")),
        };
        let file = Self { database, path: path.to_owned(), identity };
        file.show_that_it_serves()?;
        Ok(file)
    }

    fn reader(path: &Path, blocks: std::io::Result<Blocks>) -> Result<Handle, BackendError> {
        let open = || builder().open_read_only_with_backend(blocks?).map_err(opened);
        guarded(path, open).map(Handle::Reader)
    }

    /// The identity of the open file, even if the path leads to another one by now.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A file whose first and last values cannot be read is not served.
    fn show_that_it_serves(&self) -> Result<(), BackendError> {
        self.read(|table| table.first().map(drop).or_else(|_| table.last().map(drop)).map_err(Into::into))
    }

    /// Runs `read` on one snapshot of the table.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Table) -> Result<T, redb::Error>,
    ) -> Result<T, BackendError> {
        guarded(&self.path, || {
            let snapshot = match &self.database {
                Handle::Reader(database) => database.begin_read()?,
                Handle::Writer(database) | Handle::Older(database) => database.begin_read()?,
            };
            read(&snapshot.open_table(PERSISTENT)?)
        })
    }

    /// Reads `keys` from one snapshot. Blocks.
    ///
    /// # Errors
    ///
    /// [`BackendError::Damaged`], with the key, if the value of one of the keys cannot be read.
    pub fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, BackendError> {
        let mut at = None;
        let found = self.read(|table| {
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                at = Some(key);
                found.push(table.get(key.as_str())?.map(|value| value.value().to_vec()));
            }
            Ok(found)
        });
        match (found, at) {
            (Err(BackendError::Damaged(cause)), Some(key)) => {
                Err(BackendError::Damaged(format!("{key} cannot be read; {cause}")))
            }
            (found, _) => found,
        }
    }

    /// Makes all `changes`, which are on the disk when this returns, or leaves the file as it was. Blocks, and waits for other
    /// processes that write.
    ///
    /// A deletion writes the whole file anew, so that the deleted values are not in it any more. This handle must not be
    /// used after that.
    ///
    /// # Errors
    ///
    /// [`PutError`], which says whether anything may have been written.
    pub fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        if changes.delete.is_empty() { self.insert(changes.put, watch) } else { self.rewrite(changes, watch) }
    }

    /// Writes all `entries` in one transaction.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change).
    pub fn put_all(&self, entries: &[(String, Vec<u8>)], watch: &dyn Watch) -> Result<(), PutError> {
        self.change(&Changes { put: entries, delete: &[] }, watch)
    }

    /// Puts a new file in the place of this one.
    fn rewrite(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        let Handle::Writer(database) = &self.database else {
            return Err(storage(&self.path, "opened for reading").into());
        };
        // Held until the new file is in place, so that no other process writes meanwhile.
        let transaction = guarded(&self.path, || Ok(database.begin_write()?))?;
        if !self.identity.is_at(&self.path) {
            return Err(storage(&self.path, "the file was replaced").into());
        }
        let changed: HashSet<&str> = changes.all().iter().map(|(key, _)| *key).collect();
        let fill = |table: &mut NewTable<'_>| {
            for entry in transaction.open_table(PERSISTENT)?.iter()? {
                let (key, value) = entry?;
                if !changed.contains(key.value()) {
                    table.insert(key.value(), value.value())?;
                }
            }
            for (key, value) in changes.put {
                table.insert(key.as_str(), value.as_slice())?;
                watch.written(1);
            }
            watch.written(changes.delete.len());
            Ok(())
        };
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        match create::replace(&self.path, &disk, &fill, &|| watch.may_commit())? {
            Placed::InPlace => Ok(()),
            Placed::Unsure(error) => Err(PutError::Unknown(error)),
            Placed::CalledOff => Err(PutError::CalledOff),
        }
    }

    fn insert(&self, entries: &[(String, Vec<u8>)], watch: &dyn Watch) -> Result<(), PutError> {
        let Handle::Writer(database) = &self.database else {
            return Err(storage(&self.path, "opened for reading").into());
        };
        let transaction = guarded(&self.path, || Ok(database.begin_write()?))?;
        {
            let mut table = guarded(&self.path, || Ok(transaction.open_table(PERSISTENT)?))?;
            for (key, value) in entries {
                guarded(&self.path, || Ok(table.insert(key.as_str(), value.as_slice()).map(drop)?))?;
                watch.written(1);
            }
        }
        if !watch.may_commit() {
            guarded(&self.path, || Ok(transaction.abort()?))?;
            return Err(PutError::CalledOff);
        }
        // After a disk error here, the commit may be on the disk or not.
        guarded(&self.path, || Ok(transaction.commit()?)).map_err(PutError::Unknown)?;
        if self.identity.is_at(&self.path) {
            Ok(())
        } else {
            Err(storage(&self.path, "the file was replaced while it was written").into())
        }
    }

    /// Calls `visit` with each readable entry, until it breaks off. Returns the number of unreadable entries.
    pub(super) fn walk(
        &self,
        visit: &mut dyn FnMut(&str, &[u8]) -> ControlFlow<()>,
    ) -> Result<u64, BackendError> {
        self.read(|table| {
            let mut visited = 0;
            let mut count = |key: &str, value: &[u8]| {
                visited += 1;
                visit(key, value)
            };
            let ended = walk::readable(table, &mut count);
            Ok(if ended.is_break() { 0 } else { table.len()?.saturating_sub(visited) })
        })
    }
}

impl Bulk for EmbeddedFile {
    fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError> {
        self.change(changes, watch)
    }

    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError> {
        Ok(self.get_many(keys)?.into_iter().map(Stored::from).collect())
    }

    /// In the order of the keys' bytes unless the file is damaged, from one snapshot.
    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        let missing = self.walk(&mut |key, value| {
            if key.starts_with(prefix) {
                visit(key, Stored::Value(value.to_vec()))
            } else {
                ControlFlow::Continue(())
            }
        })?;
        match missing {
            0 => Ok(()),
            1 => Err(damaged(&self.path, "1 stored value cannot be read")),
            _ => Err(damaged(&self.path, format_args!("{missing} stored values cannot be read"))),
        }
    }
}
