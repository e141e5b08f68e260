//! A small library that is loaded into a service's process and makes system calls on its files fail.
//!
//! `cc` compiles it when a test needs it.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

/// Input/output error, by the system's number.
pub const EIO: i32 = 5;
/// No space left on the device.
pub const ENOSPC: i32 = 28;

/// Which calls fail.
#[derive(Clone, Copy)]
pub enum Calls {
    Read,
    Write,
}

/// Makes calls on a file fail while it is told to.
pub struct Shim {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

// ===== impl Shim =====

impl Shim {
    /// Calls on files whose path contains `path` fail with `errno`, once it [fails](Self::fail).
    pub fn new(path: &str, calls: Calls, errno: i32) -> Self {
        static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        let (_, library) =
            LIBRARY.get_or_init(|| compile(concat!(env!("CARGO_MANIFEST_DIR"), "/src/shim.c")));
        let folder = tempfile::tempdir().unwrap();
        let calls = match calls {
            Calls::Read => "read",
            Calls::Write => "write",
        };
        let environment = vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("SHIM_FAIL_IF", flag(&folder).display().to_string()),
            ("SHIM_ERRNO", errno.to_string()),
            ("SHIM_CALLS", calls.to_owned()),
            ("SHIM_PATH", path.to_owned()),
        ];
        Self { folder, environment }
    }

    pub fn fail(&self) {
        File::create(flag(&self.folder)).unwrap();
    }

    pub fn heal(&self) {
        fs::remove_file(flag(&self.folder)).unwrap();
    }

    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }
}

fn flag(folder: &TempDir) -> PathBuf {
    folder.path().join("fails")
}

/// Compiles the C source at the path `source` to a library for `LD_PRELOAD`, which lasts as long as the folder.
///
/// # Panics
///
/// Without `cc`.
pub fn compile(source: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("shim.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()
        .expect("cc is there, since cargo links with it");
    assert!(status.success(), "cc cannot compile {source}");
    (folder, library)
}
