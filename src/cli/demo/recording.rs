//! The file of the picture. It is opened before the run, so that a place which cannot be written is found at once, and
//! written after it, so that an older picture stays until there is a new one.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::cli::failure::Failure;

/// The file of a picture that is not drawn yet.
pub(super) struct Recording {
    path: PathBuf,
    /// Stays open, so that the reader of a named pipe waits for the picture.
    _open: File,
    /// Whether the file is there only because of this run, and is still empty.
    is_new: bool,
}

// ===== impl Recording =====

impl Recording {
    /// Opens the file, and creates it if it is not there. Leaves its contents as they are.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let is_new = path.symlink_metadata().is_err();
        let open = OpenOptions::new().create(true).append(true).open(path).map_err(unwritable(path))?;
        Ok(Self { path: path.to_owned(), _open: open, is_new })
    }

    /// Replaces the contents with the picture.
    ///
    /// # Errors
    ///
    /// If that is no longer possible.
    pub(super) fn write(mut self, picture: &str) -> Result<(), Failure> {
        fs::write(&self.path, picture).map_err(unwritable(&self.path))?;
        self.is_new = false;
        Ok(())
    }
}

impl Drop for Recording {
    /// A run without a picture leaves no empty file.
    fn drop(&mut self) {
        if self.is_new {
            _ = fs::remove_file(&self.path);
        }
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure::Input { file: path.to_owned(), source }
}
