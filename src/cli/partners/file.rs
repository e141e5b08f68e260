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

// ===== impl Opened =====

impl<'a> Opened<'a> {
    /// Locks and reads a file that exists.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or has faults.
    pub(super) fn open(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        let mut opened = Self::lock(path, admin_login)?;
        opened.file = PartnersFile::read(&opened.path, admin_login)?;
        opened.text = fs::read_to_string(&opened.path).map_err(at(path))?;
        Ok(opened)
    }

    /// Locks and reads a file that need not exist, and may be without an entry.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(super) fn open_or_make(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        let mut opened = Self::lock(path, admin_login)?;
        opened.text = match fs::read_to_string(&opened.path) {
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

    fn lock(path: &Path, admin_login: &'a str) -> Result<Self, Failure> {
        // A link stays a link, and its target is replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
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

    /// Replaces the file with `text`, in which `changed` is the only partner that differs.
    ///
    /// # Errors
    ///
    /// If the text says anything else, or if it cannot be written. Then the file is as it was.
    pub(super) fn replace(self, text: &str, changed: &Partner) -> Result<(), Failure> {
        let after = PartnersFile::parse(text, &self.path, self.admin_login)?;
        if !is_only_change(&self.file, &after, changed) {
            return Err(super::by_hand(&self.path));
        }
        let temporary = self.write_beside(text).map_err(at(&self.path))?;
        let renamed = fs::rename(&temporary, &self.path).and_then(|()| self.folder.sync_all());
        renamed.inspect_err(|_| _ = fs::remove_file(&temporary)).map_err(at(&self.path))
    }

    /// Writes a file beside this one, with its owner and permissions, to the disk.
    fn write_beside(&self, text: &str) -> io::Result<PathBuf> {
        let mut name = OsString::from(".");
        name.push(self.path.file_name().unwrap_or_default());
        name.push(format!(".{}.new", std::process::id()));
        let path = self.path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(&path)?;
        let written = self.fill(file, text);
        written.inspect_err(|_| _ = fs::remove_file(&path))?;
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
