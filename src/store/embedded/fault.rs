//! The errors of the embedded file, in texts that name the file.

use std::{
    cell::Cell,
    io,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
};

use redb::{DatabaseError, StorageError};

use crate::store::BackendError;

/// Runs `work` on the file at `path`, and converts redb's errors and panics.
///
/// The checksums of the blocks keep damage away from redb. A panic is an error of this call all the same, and is not
/// printed: the error names the cause.
pub(super) fn guarded<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, BackendError> {
    thread_local! {
        static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !IS_GUARDED.get() {
                report(panic);
            }
        }));
    });
    let was_guarded = IS_GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(was_guarded);
    match outcome {
        Ok(outcome) => outcome.map_err(|error| of_redb(path, &error)),
        Err(_) => Err(damaged(path, "its pages contradict each other")),
    }
}

/// An error of redb on the file at `path`. redb's texts speak of files, pages and tables, never of stored keys or values.
pub(super) fn of_redb(path: &Path, error: &redb::Error) -> BackendError {
    // redb's enum is non-exhaustive; the texts of its other errors are clear.
    #[expect(clippy::wildcard_enum_match_arm)]
    match error {
        redb::Error::Corrupted(why) => damaged(path, why),
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => damaged(path, error),
        redb::Error::Io(error) => of_system(path, error),
        redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
            storage(path, "in use by another process")
        }
        redb::Error::PreviousIo => storage(path, "an earlier read or write failed"),
        other => storage(path, other),
    }
}

/// The file cannot be used, because of `error`.
pub(super) fn of_system(path: &Path, error: &io::Error) -> BackendError {
    if error.kind() == io::ErrorKind::NotFound {
        return storage(path, "the file is gone");
    }
    storage(path, error)
}

/// The file does not hold the bytes that were written to it.
pub(super) fn damaged(path: &Path, why: impl std::fmt::Display) -> BackendError {
    BackendError::Damaged(format!("{}: the file is damaged ({why})", path.display()))
}

pub(super) fn storage(path: &Path, why: impl std::fmt::Display) -> BackendError {
    BackendError::Storage(format!("{}: {why}", path.display()))
}

/// For errors of opening.
pub(super) fn opened(error: DatabaseError) -> redb::Error {
    if let DatabaseError::Storage(StorageError::Corrupted(why)) = error {
        return redb::Error::Corrupted(why);
    }
    error.into()
}
