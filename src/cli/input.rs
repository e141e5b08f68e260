//! A file to read, or standard input if its name is `-`.

use std::{
    fs::{File, Metadata},
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use super::failure::Failure;

/// An open input, with its name and size.
pub(super) struct Input {
    /// For messages.
    pub(super) name: PathBuf,
    pub(super) read: Box<dyn Read + Send>,
    /// In bytes; `None` for a pipe.
    pub(super) size: Option<u64>,
}

// ===== impl Input =====

impl Input {
    pub(super) fn open(file: &Path) -> Result<Self, Failure> {
        if file == Path::new("-") {
            return Ok(Self { name: "standard input".into(), read: Box::new(stdin()), size: None });
        }
        let name = file.to_owned();
        match File::open(file) {
            Ok(file) => {
                let size = file.metadata().ok().filter(Metadata::is_file).map(|data| data.len());
                Ok(Self { name, read: Box::new(file), size })
            }
            Err(source) => Err(Failure::Input { file: name, source }),
        }
    }
}
