//! A name server for the service: a library in its process that answers for the system's resolver.

use std::{
    fs::{self, File},
    path::PathBuf,
    sync::OnceLock,
};

use tempfile::TempDir;
use testkit::compile;

/// Answers for the system's resolver.
pub struct Names {
    stuck: PathBuf,
    addresses: PathBuf,
    _folder: TempDir,
    environment: Vec<(&'static str, String)>,
}

// ===== impl Names =====

impl Names {
    /// `host` resolves to `addresses`, until it [leads](Self::lead_to) elsewhere, and unless look-ups are [stuck](Self::get_stuck).
    pub fn new(host: &str, addresses: &str) -> Self {
        static LIBRARY: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
        let (_, library) =
            LIBRARY.get_or_init(|| compile(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/faults/names.c")));
        let folder = tempfile::tempdir().unwrap();
        let stuck = folder.path().join("stuck");
        let list = folder.path().join("addresses");
        fs::write(&list, addresses).unwrap();
        let environment = vec![
            ("LD_PRELOAD", library.display().to_string()),
            ("NAMES_HOST", host.to_owned()),
            ("NAMES_ADDRESSES", list.display().to_string()),
            ("NAMES_STUCK_IF", stuck.display().to_string()),
        ];
        Self { stuck, addresses: list, _folder: folder, environment }
    }

    /// From now on it resolves to these; to none, if the text is empty.
    pub fn lead_to(&self, addresses: &str) {
        fs::write(&self.addresses, addresses).unwrap();
    }

    pub fn get_stuck(&self) {
        File::create(&self.stuck).unwrap();
    }

    pub fn heal(&self) {
        fs::remove_file(&self.stuck).unwrap();
    }

    pub fn environment(&self) -> &[(&'static str, String)] {
        &self.environment
    }
}
