//! The partners' file: read under a lock, and replaced as a whole.
//!
//! A reader sees the old file or the new one, and a crash leaves one of them. The lock is on the folder, because the file
//! itself is replaced: two commands at a time do not lose a change.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, Gid, Uid, fchown, flock};

use crate::{cli::failure::Failure, config::partners::PartnersFile, domain::Partner};

/// The file's permissions when it is made: its owner alone.
const PRIVATE: u32 = 0o600;

/// A file that is locked until this is dropped.
pub(super) struct Opened<'a> {
    /// The file itself, not a link to it.
    path: PathBuf,
    folder: File,
    admin_login: &'a str,
    /// Its text; empty if it does not exist.
    pub(super) text: String,
    /// Its contents.
    pub(super) file: PartnersFile,
}

/// A changed file that lies beside the one that it will replace. Dropping it leaves that one as it is.
pub(super) struct Prepared<'a> {
    opened: Opened<'a>,
    temporary: PathBuf,
}

// ===== impl Prepared =====

impl Prepared<'_> {
    /// Replaces the file.
    ///
    /// # Errors
    ///
    /// If it cannot be replaced. Then it is as it was, unless only its folder could not be synced.
    pub(super) fn replace(self) -> Result<(), Failure> {
        let Opened { path, folder, .. } = &self.opened;
        fs::rename(&self.temporary, path).and_then(|()| folder.sync_all()).map_err(at(path))
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // It is gone if it has replaced the file.
        _ = fs::remove_file(&self.temporary);
    }
}

// ===== impl Opened =====

impl<'a> Opened<'a> {
    /// Locks and reads a file that exists.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has faults.
    pub(super) fn open(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        let mut opened = Self::lock(path, admin_login)?;
        opened.text = opened.read().map_err(at(path))?;
        opened.file = PartnersFile::parse(&opened.text, path, admin_login)?;
        Ok(opened)
    }

    /// Locks and reads a file that need not exist, and may be without an entry.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn open_or_make(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        let mut opened = Self::lock(path, admin_login)?;
        opened.text = match opened.read() {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(at(path)(error)),
        };
        let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        if !opened.text.lines().all(is_blank) {
            opened.file = PartnersFile::parse(&opened.text, path, admin_login)?;
        }
        Ok(opened)
    }

    /// A pipe is refused: it cannot be replaced, and without a writer it would hold the lock for ever.
    fn read(&self) -> io::Result<String> {
        if !fs::metadata(&self.path)?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        fs::read_to_string(&self.path)
    }

    fn lock(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        // A link stays a link, and its target is replaced. A link without a target is refused.
        let path = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => {
                return Err(at(path)(error));
            }
            // It does not exist, or another command has just made it.
            Err(_) => path.to_owned(),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(folder).map_err(at(&path))?;
        flock(&folder, FlockOperation::LockExclusive).map_err(io::Error::from).map_err(at(&path))?;
        Ok(Self { path, folder, admin_login, text: String::new(), file: PartnersFile::default() })
    }

    /// The partner with this account and login.
    ///
    /// # Errors
    ///
    /// If there is not one, or if the letters are divided otherwise.
    pub(super) fn find(&self, account: &str, login: &str) -> Result<&Partner, Failure> {
        let found = self.file.partners.get(account, login);
        match found {
            Some(partner) if partner.account() == account => Ok(partner),
            Some(partner) => Err(Failure::Usage(format!(
                "{}: the account is {:?} and the login {:?}; say it so",
                self.path.display(),
                partner.account(),
                partner.login()
            ))),
            None => Err(Failure::Usage(format!(
                "{}: has no partner with the account {account:?} and the login {login:?}",
                self.path.display()
            ))),
        }
    }

    /// Checks `text`, in which `changed` is the only partner that differs, and writes it beside the file.
    ///
    /// # Errors
    ///
    /// If the text says anything else, or if it cannot be written.
    pub(super) fn prepare(self, text: &str, changed: &Partner) -> Result<Prepared<'a>, Failure> {
        let is_new = self.file.partners.get(changed.account(), changed.login()).is_none();
        let by_hand = || super::by_hand(&self.path, &self.text, changed);
        let after = PartnersFile::parse(text, &self.path, self.admin_login)
            // Faults of a changed entry lie in a text that its author has never seen.
            .map_err(|faults| if is_new { faults.into() } else { by_hand() })?;
        if !is_only_change(&self.file, &after, changed) {
            return Err(by_hand());
        }
        let temporary = self.write_beside(text)?;
        Ok(Prepared { opened: self, temporary })
    }

    /// Writes a file beside this one, with its owner and permissions, to the disk.
    fn write_beside(&self, text: &str) -> Result<PathBuf, Failure> {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(".new");
        let path = self.path.with_file_name(name);
        // Under the lock, such a file can only be left over from a crash.
        _ = fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path);
        let written = file.and_then(|file| self.fill(file, text));
        written.inspect_err(|_| _ = fs::remove_file(&path)).map_err(at(&path))?;
        Ok(path)
    }

    fn fill(&self, mut file: File, text: &str) -> io::Result<()> {
        file.write_all(text.as_bytes())?;
        match fs::metadata(&self.path) {
            Ok(before) => {
                let made = file.metadata()?;
                if (before.uid(), before.gid()) != (made.uid(), made.gid()) {
                    fchown(&file, Some(Uid::from_raw(before.uid())), Some(Gid::from_raw(before.gid())))?;
                }
                file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o7777))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.sync_all()
    }
}

fn is_only_change(before: &PartnersFile, after: &PartnersFile, changed: &Partner) -> bool {
    let is_right = |partner: &Partner| {
        if partner.joined() == changed.joined() {
            partner == changed
        } else {
            before
                .partners
                .get(partner.account(), partner.login())
                .is_some_and(|earlier| **earlier == *partner)
        }
    };
    let is_new = before.partners.get(changed.account(), changed.login()).is_none();
    after.partners.len() == before.partners.len() + usize::from(is_new)
        && after.partners.iter().all(|partner| is_right(partner))
        && after.rates == before.rates
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure {
    let file = path.to_owned();
    move |source| Failure::Input { file: file.clone(), source }
}
