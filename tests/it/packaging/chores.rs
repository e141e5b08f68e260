//! Only tests, lints, packages and the simulation decide whether CI passes.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use rstest::rstest;

use super::{path, text};

/// Runs `.ci/run` with a fake `make` that records its targets and fails for `failing`. Returns whether CI passes, and
/// the record.
fn ci(failing: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let (make, notes) = (folder.path().join("make"), folder.path().join("notes"));
    fs::write(&make, format!("#!/bin/sh\necho $1 >>{}\n[ $1 != {failing} ]\n", notes.display())).unwrap();
    fs::set_permissions(&make, fs::Permissions::from_mode(0o755)).unwrap();
    let programs = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let output = Command::new(path(".ci/run")).env("PATH", programs).output().unwrap();
    (output.status.success(), fs::read_to_string(notes).unwrap())
}

#[rstest]
#[case::nothing_fails("nothing", true, "test\nlint\npackage\nsimulate\ninstructions\n")]
#[case::tests_fail("test", false, "test\n")]
#[case::lints_fail("lint", false, "test\nlint\n")]
#[case::a_package_fails("package", false, "test\nlint\npackage\n")]
#[case::the_simulation_fails("simulate", false, "test\nlint\npackage\nsimulate\n")]
#[case::instructions_are_not_counted("instructions", true, "test\nlint\npackage\nsimulate\ninstructions\n")]
fn ci_passes_if_its_checks_do(#[case] failing: &str, #[case] passes: bool, #[case] asked: &str) {
    assert_eq!(ci(failing), (passes, asked.to_owned()));
}

/// The simulation is a program of the workspace, too, and `cargo run` has to choose.
#[test]
fn cargo_run_runs_the_service() {
    let package = text("Cargo.toml").parse::<toml::Table>().unwrap()["package"].clone();
    assert_eq!(package["default-run"], package["name"]);
    let simulation = text("simulation/Cargo.toml").parse::<toml::Table>().unwrap()["package"].clone();
    assert!(simulation.get("default-run").is_none());
}
