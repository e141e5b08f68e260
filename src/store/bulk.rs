//! Bulk access to the persistent store, for the command line.
//!
//! The service has deadlines of milliseconds and shares its connection; a command has neither. So this interface is
//! separate: it blocks, waits longer, and writes everything or nothing.

pub(super) mod pieces;

use std::{ops::ControlFlow, time::Duration};

use super::{
    BackendError, EmbeddedFile,
    redis::{ClusterBulk, RedisBulk},
    tarantool::TarantoolBulk,
    url::StoreUrl,
};
use crate::resolver::Resolver;

/// A persistent store that can be read and written in bulk. All methods block; call them outside of async code.
pub trait Bulk: Send {
    /// Makes all `changes` or leaves the store as it was; a cluster, one after the other. `watch` sees the progress.
    ///
    /// # Errors
    ///
    /// [`PutError`], which says whether anything may have been written.
    fn change(&self, changes: &Changes<'_>, watch: &dyn Watch) -> Result<(), PutError>;

    /// Writes all `entries`, without deletions.
    ///
    /// # Errors
    ///
    /// As [`change`](Self::change).
    fn put_all(&self, entries: &[(String, Vec<u8>)], watch: &dyn Watch) -> Result<(), PutError> {
        self.change(&Changes { put: entries, delete: &[] }, watch)
    }

    /// Reads `keys`; the values come in their order.
    ///
    /// # Errors
    ///
    /// If the store does not answer. A value of the wrong kind is not an error but [`Stored::WrongKind`].
    fn get_many(&self, keys: &[String]) -> Result<Vec<Stored>, BackendError>;

    /// Calls `visit` once with each key that starts with `prefix`, taken literally, until `visit` breaks off.
    ///
    /// The order is not defined; keys are read page by page. Concurrent writes may be seen or not.
    ///
    /// # Errors
    ///
    /// If the store does not answer.
    fn for_each(
        &self,
        prefix: &str,
        visit: &mut dyn FnMut(&str, Stored) -> ControlFlow<()>,
    ) -> Result<(), BackendError>;
}

/// The entries to write, and the keys to delete. No key is there twice.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    /// Keys and their new values.
    pub put: &'a [(String, Vec<u8>)],
    /// Keys of entries to delete; they need not exist.
    pub delete: &'a [String],
}

/// One change: a key, and its new value, or `None` to delete it.
pub(super) type Change<'a> = (&'a str, Option<&'a [u8]>);

// ===== impl Changes =====

impl<'a> Changes<'a> {
    pub(super) fn len(&self) -> usize {
        self.put.len() + self.delete.len()
    }

    pub(super) fn all(&self) -> Vec<Change<'a>> {
        let put = self.put.iter().map(|(key, value)| (key.as_str(), Some(value.as_slice())));
        put.chain(self.delete.iter().map(|key| (key.as_str(), None))).collect()
    }
}

/// The value under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// No such key.
    Nothing,
    /// A string of bytes.
    Value(Vec<u8>),
    /// Another kind of value, such as a list in Redis.
    WrongKind,
}

impl From<Option<Vec<u8>>> for Stored {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::Nothing, Self::Value)
    }
}

/// Observes a write, and confirms it.
pub trait Watch {
    /// This many more entries were sent to the store; they do not count yet.
    fn written(&self, entries: usize);

    /// Called once when all entries were sent: whether to commit. After `true` the write cannot be stopped.
    fn may_commit(&self) -> bool {
        true
    }
}

/// A closure sees the progress and always commits.
impl<F: Fn()> Watch for F {
    fn written(&self, entries: usize) {
        (0..entries).for_each(|_| self());
    }
}

/// The reason why entries were not written, and whether that is certain.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The store is unchanged.
    #[error("nothing was written: {0}")]
    NotWritten(#[from] BackendError),
    /// The watch did not confirm; the store is unchanged.
    #[error("nothing was written: called off")]
    CalledOff,
    /// Some entries were written, and at most a few more. Only for a store without transactions.
    #[error("{written} of {of} clients were written before this failed: {error}; running this again is safe")]
    Partly {
        /// The confirmed entries.
        written: usize,
        /// All entries.
        of: usize,
        /// The cause.
        error: BackendError,
    },
    /// The answer to the commit was lost: everything was written, or nothing. Writing the same entries again is safe.
    #[error(
        "whether it was written is unknown, for the store's last answer was lost ({0}); \
         all of it is there or nothing is, and running this again is safe"
    )]
    Unknown(BackendError),
}

/// The reason why a store cannot be opened in bulk.
#[derive(Debug, thiserror::Error)]
pub enum OpenBulkError {
    /// A store that no other process can reach.
    #[error("it lives only inside the running service; set store.url to a store that lasts")]
    Memory,
    /// A store that may forget any value.
    #[error("memcached keeps nothing for good; set store.url to a store that lasts")]
    Memcached,
    /// There is no file to read. Creating an empty one would hide a typing mistake in its path.
    #[error("there is no such file")]
    NoFile,
    /// The store's error.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// The purpose of opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To read existing data.
    Read,
    /// To write, even if there is no data yet.
    Write,
    /// To change or delete existing data.
    Change,
}

/// Opens the store at `url`. `connect_timeout` and `resolver` are only for servers.
///
/// # Errors
///
/// [`OpenBulkError`], if it does not exist or cannot be used in bulk.
pub fn open_bulk(
    url: &StoreUrl,
    connect_timeout: Duration,
    resolver: &Resolver,
    purpose: Purpose,
) -> Result<Box<dyn Bulk>, OpenBulkError> {
    Ok(match url {
        StoreUrl::Memory => return Err(OpenBulkError::Memory),
        StoreUrl::Embedded(path) => match purpose {
            Purpose::Read | Purpose::Change if !path.exists() => return Err(OpenBulkError::NoFile),
            Purpose::Read => Box::new(EmbeddedFile::open_to_read(path)?),
            Purpose::Write | Purpose::Change => Box::new(EmbeddedFile::open(path)?),
        },
        StoreUrl::Redis(target) if url.is_cluster() => {
            Box::new(ClusterBulk::connect(target, connect_timeout, resolver)?)
        }
        StoreUrl::Redis(target) => Box::new(RedisBulk::connect(target, connect_timeout, resolver)?),
        StoreUrl::Tarantool(target) => Box::new(TarantoolBulk::connect(target, connect_timeout, resolver)?),
        StoreUrl::Memcached(_) => return Err(OpenBulkError::Memcached),
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn entries(range: std::ops::Range<u32>, value: &str) -> Vec<(String, Vec<u8>)> {
        range.map(|id| (format!("i:{id}"), value.as_bytes().to_vec())).collect()
    }

    fn file() -> (tempfile::TempDir, EmbeddedFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = EmbeddedFile::open(&folder.path().join("new/s.redb")).unwrap();
        (folder, file)
    }

    fn all(store: &dyn Bulk) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let visited = store.for_each("i:", &mut |key, stored| {
            let Stored::Value(value) = stored else { panic!("{stored:?}") };
            found.push((key.to_owned(), value));
            ControlFlow::Continue(())
        });
        visited.unwrap();
        found.sort();
        found
    }

    #[test]
    fn a_file_returns_and_counts_the_written_entries() {
        let (_folder, file) = file();
        assert_eq!(all(&file), []);
        let written = Cell::new(0);
        file.put_all(&entries(1..6, "a"), &|| written.set(written.get() + 1)).unwrap();
        assert_eq!(written.get(), 5);
        assert_eq!(all(&file), entries(1..6, "a"));
        let keys = ["i:9".to_owned(), "i:1".to_owned()];
        let expected = [Stored::Nothing, Stored::Value(b"a".to_vec())];
        assert_eq!(Bulk::get_many(&file, &keys).unwrap(), expected);
    }

    #[test]
    fn only_the_prefix_is_visited_and_only_until_it_breaks_off() {
        let (_folder, file) = file();
        let mut given = entries(1..4, "a");
        given.extend(["h:9", "i", "j:1"].map(|key| (key.to_owned(), Vec::new())));
        file.put_all(&given, &|| ()).unwrap();
        assert_eq!(all(&file), entries(1..4, "a"));
        let mut visits = 0;
        file.for_each("i:", &mut |_, _| {
            visits += 1;
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(visits, 1);
    }

    #[test]
    fn a_cancelled_write_leaves_the_old_data() {
        struct No;
        impl Watch for No {
            fn written(&self, _: usize) {}
            fn may_commit(&self) -> bool {
                false
            }
        }
        let (_folder, file) = file();
        file.put_all(&entries(1..4, "old"), &|| ()).unwrap();
        let error = file.put_all(&entries(1..9, "new"), &No).unwrap_err();
        assert!(matches!(error, PutError::CalledOff));
        assert_eq!(all(&file), entries(1..4, "old"));
    }

    #[test]
    fn a_writer_that_dies_in_the_middle_leaves_the_old_data() {
        let (_folder, file) = file();
        file.put_all(&entries(1..4, "old"), &|| ()).unwrap();
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = file.put_all(&entries(1..9, "new"), &|| panic!("here"));
        }));
        assert!(died.is_err());
        assert_eq!(all(&file), entries(1..4, "old"));
        file.put_all(&entries(1..2, "newer"), &|| ()).unwrap();
    }

    #[test]
    fn a_file_to_read_must_be_there_and_one_to_write_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        let url = StoreUrl::Embedded(path.clone());
        let open = |purpose| open_bulk(&url, Duration::ZERO, &Resolver::system(), purpose);
        assert!(matches!(open(Purpose::Read), Err(OpenBulkError::NoFile)));
        assert!(!path.exists());
        assert!(open(Purpose::Write).is_ok());
        assert!(open(Purpose::Read).is_ok());
    }
}
