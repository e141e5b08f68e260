//! Valid configurations, and the errors for invalid ones: the harness, and a file for each concern.

mod layers;
mod mistakes;
mod rules;
mod secrets;
mod show;

use std::ffi::OsString;
use std::fs;

use tempfile::TempDir;

use super::Settings;
use super::error::ConfigErrors;

/// A configuration under construction.
#[derive(Default)]
struct Given {
    folder: Option<TempDir>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<String>,
}

impl Given {
    fn file(self, contents: impl AsRef<[u8]>) -> Self {
        self.named("x.toml", contents)
    }

    fn named(mut self, name: &str, contents: impl AsRef<[u8]>) -> Self {
        let folder = self.folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        fs::write(folder.path().join(name), contents).unwrap();
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// As [`Given::env`], with the path of one of the files.
    fn env_file(self, name: &str, file: &str) -> Self {
        let path = self.folder.as_ref().unwrap().path().join(file);
        let path = path.to_str().unwrap().to_owned();
        self.env(name, &path)
    }

    fn set(mut self, assignment: &str) -> Self {
        self.flags.push(assignment.to_owned());
        self
    }

    fn load(self) -> Result<Settings, ConfigErrors> {
        let file =
            self.folder.as_ref().map(|folder| folder.path().join("x.toml")).filter(|path| path.exists());
        Settings::load(file.as_deref(), self.environment, &self.flags)
    }

    fn ok(self) -> Settings {
        self.load().unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// The error lines, without the directory of the files.
    fn errors(self) -> Vec<String> {
        let folder = self.folder.as_ref().map(|folder| format!("{}/", folder.path().display()));
        let errors = match self.load() {
            Ok(settings) => panic!("valid: {settings:?}"),
            Err(errors) => errors,
        };
        let lines = errors.to_string();
        assert_eq!(lines.lines().count(), errors.iter().count(), "one line each: {lines}");
        lines.lines().map(|line| line.replace(folder.as_deref().unwrap_or("\0"), "")).collect()
    }
}

fn given() -> Given {
    Given::default()
}

/// All secrets in these tests are called hunter, so that a leaked one is found.
fn assert_silent(text: &str) {
    assert!(!text.contains("hunter"), "a secret in {text}");
}
