//! The workflows of CI and releases: their tools are pinned, their rights are small, and a release has all its parts.

use std::fs;

use rstest::rstest;
use serde_json::{Value, json};

use super::{each, path, text, yaml};

const RELEASE: &str = ".github/workflows/release.yml";

/// The workflows, by their paths in the repository.
fn workflows() -> Vec<String> {
    let folder = ".github/workflows";
    let names = fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| format!("{folder}/{}", name.into_string().unwrap())).collect()
}

fn job(name: &str) -> Value {
    yaml(RELEASE)["jobs"][name].clone()
}

/// All shell commands of a job.
fn commands(job: &Value) -> String {
    each(&job["steps"]).filter_map(|step| step["run"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The step that uses `action`, in any version.
fn step(job: &Value, action: &str) -> Value {
    let uses =
        |step: &&Value| step["uses"].as_str().is_some_and(|uses| uses.starts_with(&format!("{action}@")));
    each(&job["steps"]).find(uses).unwrap_or_else(|| panic!("{action}: {job}")).clone()
}

#[test]
fn every_action_has_a_version_and_no_workflow_writes_by_default() {
    let workflows = workflows();
    assert!(workflows.len() >= 2, "{workflows:?}");
    for file in workflows {
        let workflow = yaml(&file);
        assert_eq!(workflow["permissions"], json!({"contents": "read"}), "{file}");
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            for uses in each(&job["steps"]).filter_map(|step| step["uses"].as_str()) {
                let version = uses.split_once("@v").map(|(_, version)| version.parse::<u32>());
                assert!(matches!(version, Some(Ok(_))), "{file}: {name}: {uses}");
            }
        }
    }
}

#[test]
fn only_the_image_and_the_release_may_write() {
    let jobs = yaml(RELEASE)["jobs"].clone();
    let writing: Vec<_> = jobs
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, job)| !job["permissions"].is_null())
        .map(|(name, job)| (name.as_str(), job["permissions"].clone()))
        .collect();
    assert_eq!(
        writing,
        [
            ("image", json!({"contents": "read", "packages": "write"})),
            ("release", json!({"contents": "write"}))
        ]
    );
}

#[test]
fn a_release_follows_a_tag_and_green_checks() {
    let release = yaml(RELEASE);
    assert_eq!(release["on"], json!({"push": {"tags": ["v*"]}}));
    assert_eq!(release["jobs"]["ci"]["uses"], "./.github/workflows/ci.yml");
    assert!(text(".github/workflows/ci.yml").contains("\n  workflow_call:\n"));
    for job in ["binaries", "sbom", "image"] {
        assert_eq!(release["jobs"][job]["needs"], "ci", "{job}");
    }
    assert_eq!(release["jobs"]["release"]["needs"], json!(["binaries", "sbom", "image"]));
}

#[rstest]
#[case::x86_64("x86_64-unknown-linux-musl", "ubuntu-24.04")]
#[case::aarch64("aarch64-unknown-linux-musl", "ubuntu-24.04-arm")]
fn a_release_has_a_static_binary_with_its_checksum(#[case] target: &str, #[case] runner: &str) {
    let job = job("binaries");
    let rows: Vec<_> = each(&job["strategy"]["matrix"]["include"]).collect();
    assert!(rows.contains(&&json!({"target": target, "runner": runner})), "{rows:?}");
    let commands = commands(&job);
    for part in [
        "cargo build --locked --release --bin scoring-api --target ${{ matrix.target }}",
        "export SCORING_REVISION=\"${GITHUB_SHA::12}\"",
        "\"$binary\" --version | grep -F \"${GITHUB_SHA::12}\"",
        "grep -q INTERP",
        "sha256sum \"$name.tar.gz\" > \"$name.tar.gz.sha256\"",
    ] {
        assert!(commands.contains(part), "{part}: {commands}");
    }
    for packed in ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "config", "deploy"] {
        assert!(commands.contains(packed) && path(packed).exists(), "{packed}");
    }
}

#[test]
fn a_release_lists_its_dependencies() {
    let commands = commands(&job("sbom"));
    let tool = commands.split_whitespace().find_map(|word| word.strip_prefix("cargo-cyclonedx@"));
    assert!(tool.is_some_and(|version| version.split('.').count() == 3), "{commands}");
    assert!(commands.contains("cargo cyclonedx --format json"), "{commands}");
}

#[test]
fn the_image_has_its_revision_and_provenance() {
    let job = job("image");
    let build = &step(&job, "docker/build-push-action")["with"];
    assert_eq!(
        (&build["push"], &build["provenance"], &build["sbom"]),
        (&json!(true), &json!("mode=max"), &json!(true))
    );
    let image = text("Dockerfile");
    let (build_stage, last_stage) = image.split_once("\nFROM gcr.io/").unwrap();
    for argument in ["VERSION", "REVISION"] {
        assert!(
            build["build-args"].as_str().unwrap().contains(&format!("{argument}=${{{{ env.{argument} }}}}"))
        );
        assert!(last_stage.contains(&format!("\nARG {argument}=")), "{argument} is a label");
    }
    assert!(build_stage.contains("\nARG REVISION=unknown\nENV SCORING_REVISION=${REVISION}\n"));
}

#[test]
fn a_release_needs_every_file_and_checks_them() {
    let job = job("release");
    let commands = commands(&job);
    assert!(commands.contains("sha256sum --check"), "{commands}");
    assert!(commands.contains("gh release create \"$GITHUB_REF_NAME\" --verify-tag"), "{commands}");
    for name in ["binaries", "sbom"] {
        let upload = step(&self::job(name), "actions/upload-artifact");
        assert_eq!(upload["with"]["if-no-files-found"], "error", "{name}");
    }
}

/// The build sees only the files of .dockerignore.
#[test]
fn the_image_is_built_from_every_file_that_is_compiled_in() {
    let ignore = text(".dockerignore");
    let kept: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    let is_kept = |file: &str| {
        kept.iter()
            .any(|kept| file == *kept || file.strip_prefix(kept).is_some_and(|rest| rest.starts_with('/')))
    };
    let manifest = text("Cargo.toml").parse::<toml::Table>().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let mut needed: Vec<_> = members.iter().map(|member| member.as_str().unwrap().to_owned()).collect();
    needed.extend(["Cargo.toml", "Cargo.lock", "src"].map(str::to_owned));
    if path("build.rs").exists() {
        needed.push("build.rs".to_owned());
    }
    included("src", &mut needed);
    assert!(needed.len() >= 10, "{needed:?}");
    for file in needed {
        assert!(is_kept(&file), ".dockerignore keeps {file} from the build");
    }
}

/// Adds the files outside `folder` that its sources include.
fn included(folder: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(path(folder)).unwrap().map(Result::unwrap) {
        let name = format!("{folder}/{}", entry.file_name().into_string().unwrap());
        if entry.path().is_dir() {
            included(&name, found);
        } else if name.ends_with(".rs") && !name.contains("/tests") {
            let source = text(&name);
            for include in ["include_str!(\"", "include_bytes!(\""] {
                for rest in source.split(include).skip(1) {
                    let file = rest.split('"').next().unwrap();
                    let outer = file.trim_start_matches("../");
                    let ups = (file.len() - outer.len()) / 3;
                    // Only paths that leave src need a line of their own.
                    if ups >= name.matches('/').count() {
                        found.push(outer.to_owned());
                    }
                }
            }
        }
    }
}
