//! The identity of the file that a path leads to.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use rustix::fs::{Access as Right, access};

use crate::store::Access;

/// Device and inode of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

// ===== impl Identity =====

impl From<Metadata> for Identity {
    fn from(metadata: Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(Self::from)
    }

    pub(super) fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(Self::from)
    }

    /// Whether `path` leads to this file.
    pub(super) fn is_at(self, path: &Path) -> bool {
        Self::at(path).is_ok_and(|there| there == self)
    }
}

/// Whether this process may write the file at `path`.
pub(super) fn access_to(path: &Path) -> Access {
    if access(path, Right::WRITE_OK).is_ok() { Access::ReadWrite } else { Access::ReadOnly }
}
