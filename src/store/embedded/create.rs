//! The creation of the file: a new one, or one from a file of an older version.
//!
//! A file is created under another name in the same folder, and renamed once it is complete and on the disk. So the
//! path never leads to an incomplete file, even if the process is killed or the disk is full. redb holds a lock on a
//! file that is being created; a file without that lock was left behind, and the next attempt removes it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    ops::Bound::Unbounded,
    os::unix::fs::{FileExt, MetadataExt, fchown},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{
    Database, ReadableDatabase, ReadableTable, StorageBackend,
    backends::{FileBackend, InMemoryBackend},
};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{
    blocks::MAGIC,
    disk::Disk,
    fault::{guarded, of_system, opened, storage},
    file::{NewTable, PERSISTENT, database},
    identity::Identity,
};
use crate::store::BackendError;

/// The first bytes of each redb file, and of files of older versions.
const REDB: &[u8; 9] = b"redb\x1A\n\xA9\r\n";
/// The length that an older version gave a file before it wrote anything into it.
const NEVER_MADE: u64 = 72 << 10;
const SECOND_COPY_AT: u64 = 4096;
const SUFFIX: &str = ".new";

/// The contents of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Blocks with checksums.
    Ours,
    /// A plain redb file.
    Older,
    /// Nothing at all.
    Empty,
    /// The rest of an older version's attempt to create the file: it was killed, or the disk was full.
    NeverMade,
    /// Anything else.
    Foreign,
}

// ===== impl Kind =====

impl Kind {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // A device has no length, and is not replaced by a file.
        if !metadata.is_file() {
            return Ok(Self::Foreign);
        }
        let length = metadata.len();
        let mut start = [0; MAGIC.len()];
        for at in [0, SECOND_COPY_AT] {
            match file.read_exact_at(&mut start, at) {
                Ok(()) if start == *MAGIC => return Ok(Self::Ours),
                Ok(()) if at == 0 && start.starts_with(REDB) => return Ok(Self::Older),
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                Err(error) => return Err(error),
            }
        }
        Ok(match length {
            0 => Self::Empty,
            NEVER_MADE if all(file)?.iter().all(|&byte| byte == 0) => Self::NeverMade,
            _ => Self::Foreign,
        })
    }
}

/// Whether there is a file at `path` that may hold data, even if it cannot be read.
pub(super) fn has_contents(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && !matches!(File::open(path).and_then(|file| Kind::of(&file)), Ok(Kind::Empty | Kind::NeverMade))
}

/// All bytes of `file`.
fn all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes `path` lead to a usable file: creates it, or takes over a file of an older version.
pub(super) fn prepare(path: &Path, disk: &Arc<dyn Disk>) -> Result<Kind, BackendError> {
    let of_system = |error: &io::Error| of_system(path, error);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| of_system(&error))?;
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make(path, &|_| Ok(()), Place::New, disk, &|| true)?.kept()?;
            return Ok(Kind::Ours);
        }
        file => file.map_err(|error| of_system(&error))?,
    };
    match Kind::of(&file).map_err(|error| of_system(&error))? {
        Kind::Foreign => Err(storage(path, "not a file of this service, or its header is damaged")),
        Kind::NeverMade => replace_empty(path, disk).map(|()| Kind::Ours),
        Kind::Older => take_over(path, disk).map(|()| Kind::Ours),
        kind @ (Kind::Ours | Kind::Empty) => Ok(kind),
    }
}

/// Replaces a file without data by a new one.
pub(super) fn replace_empty(path: &Path, disk: &Arc<dyn Disk>) -> Result<(), BackendError> {
    make(path, &|_| Ok(()), Place::Taken, disk, &|| true)?.kept()
}

/// Puts a new file, with the entries that `fill` writes, in the place of the one at `path`, if `may_replace` says so.
pub(super) fn replace(
    path: &Path,
    disk: &Arc<dyn Disk>,
    fill: &Fill<'_>,
    may_replace: &dyn Fn() -> bool,
) -> Result<Placed, BackendError> {
    make(path, fill, Place::Taken, disk, may_replace)
}

/// Converts a file of an older version, while no other process has it open.
fn take_over(path: &Path, disk: &Arc<dyn Disk>) -> Result<(), BackendError> {
    let older = OpenOptions::new().read(true).write(true).open(path);
    let older = older.map_err(|error| of_system(path, &error))?;
    let identity = Identity::of(&older).map_err(|error| of_system(path, &error))?;
    let locks = guarded(path, || {
        let locks = FileBackend::new(older.try_clone()?).map_err(opened)?;
        if locks.try_lock_range(Unbounded, Unbounded).map_err(io::Error::other)? {
            Ok(locks)
        } else {
            Err(redb::Error::DatabaseAlreadyOpen)
        }
    })?;
    if !identity.is_at(path) {
        return Err(storage(path, "the file was replaced"));
    }
    let entries = guarded(path, || load_older(&older))?;
    let fill = |table: &mut NewTable<'_>| {
        for entry in entries.begin_read()?.open_table(PERSISTENT)?.iter()? {
            let (key, value) = entry?;
            table.insert(key.value(), value.value())?;
        }
        Ok(())
    };
    make(path, &fill, Place::Taken, disk, &|| true)?.kept()?;
    // The lock lasts until here: a write after the read would be lost.
    locks.close().map_err(|error| of_system(path, &error))?;
    tracing::info!(file = %path.display(), "a file of an older version was taken over");
    Ok(())
}

/// Reads a file of an older version into memory, and verifies it as a whole, because its pages have no checksums that
/// each read compares.
pub(super) fn load_older(file: &File) -> Result<Database, redb::Error> {
    let bytes = all(file)?;
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64)?;
    memory.write(0, &bytes)?;
    drop(bytes);
    let mut builder = Database::builder();
    let database = builder.set_check_integrity_on_open(true).create_with_backend(memory).map_err(opened)?;
    let transaction = database.begin_write()?;
    transaction.open_table(PERSISTENT)?;
    transaction.commit()?;
    Ok(database)
}

/// Whether a file may already exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    New,
    Taken,
}

/// Writes the entries of a new file.
type Fill<'a> = dyn Fn(&mut NewTable<'_>) -> Result<(), redb::Error> + 'a;

/// The end of a file's creation.
pub(super) enum Placed {
    /// The file is in its place, and stays there.
    InPlace,
    /// The file is in its place, but after a crash the old one may be there again.
    Unsure(BackendError),
    /// The old file stays.
    CalledOff,
}

impl Placed {
    fn kept(self) -> Result<(), BackendError> {
        match self {
            Self::InPlace | Self::CalledOff => Ok(()),
            Self::Unsure(error) => Err(error),
        }
    }
}

/// `may_replace` decides whether the file comes to its place once it is complete.
fn make(
    path: &Path,
    fill: &Fill<'_>,
    place: Place,
    disk: &Arc<dyn Disk>,
    may_replace: &dyn Fn() -> bool,
) -> Result<Placed, BackendError> {
    let of_system = |error: io::Error| of_system(path, &error);
    // A link stays, and its target is replaced.
    let target =
        if place == Place::Taken { fs::canonicalize(path).map_err(of_system)? } else { path.to_owned() };
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let name = target.file_name().ok_or_else(|| storage(path, "not the name of a file"))?;
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    remove_leftovers(folder, &prefix);
    prefix.push(format!("{:016x}{SUFFIX}", fastrand::u64(..)));
    let new = folder.join(prefix);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&new).map_err(of_system)?;
    if place == Place::Taken {
        keep_owner(&file, path).map_err(of_system)?;
    }
    let parent = File::open(folder).map_err(of_system)?;
    let made = guarded(path, || {
        let database = database(file, disk.clone())?;
        let transaction = database.begin_write()?;
        fill(&mut transaction.open_table(PERSISTENT)?)?;
        transaction.commit()?;
        if !may_replace() {
            return Ok(None);
        }
        match place {
            Place::Taken => fs::rename(&new, &target)?,
            Place::New => rename_to_new(&new, path)?,
        }
        Ok(Some(database))
    });
    // It does not exist any more if it was renamed.
    let _ = fs::remove_file(&new);
    let Some(database) = made? else { return Ok(Placed::CalledOff) };
    let kept = guarded(path, || {
        parent.sync_all()?;
        database.close().map_err(opened)
    });
    Ok(kept.map_or_else(Placed::Unsure, |()| Placed::InPlace))
}

/// Gives `file` the owner, the group and the rights of the file at `path`. Only root may change an owner; a group may be
/// changed to another one of the user's. A user who may do neither gets an error.
fn keep_owner(file: &File, path: &Path) -> io::Result<()> {
    let old = fs::metadata(path)?;
    file.set_permissions(old.permissions())?;
    let new = file.metadata()?;
    let (uid, gid) = (old.uid(), old.gid());
    if (new.uid(), new.gid()) != (uid, gid) {
        fchown(file, Some(uid).filter(|uid| *uid != new.uid()), Some(gid).filter(|gid| *gid != new.gid()))?;
    }
    Ok(())
}

/// Renames a file to a name that is not taken. If another process was faster, its file is used.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    let renamed = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // A file system without this operation may have links.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::hard_link(from, to),
        renamed => renamed.map_err(io::Error::from),
    };
    renamed.or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

/// Removes incomplete files that were left behind. A file that cannot be removed does no harm.
fn remove_leftovers(folder: &Path, prefix: &OsString) {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(SUFFIX.as_bytes())
    };
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()).filter(is_one) {
        if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(path);
        }
    }
}
