//! Every link in the documents has a target.

use std::{fs, path::Path};

use super::{path, text};

/// The documents, by their paths in the repository.
fn documents() -> Vec<String> {
    ["", "docs", "docs/design", "bench", "crates/actix-supervise", "crates/scoring-client"]
        .iter()
        .flat_map(|folder| in_folder(folder))
        .collect()
}

fn in_folder(folder: &str) -> Vec<String> {
    let names =
        fs::read_dir(path(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names = names.filter(|name| name.ends_with(".md"));
    names.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

/// The targets of a document's links, except those to the web and within the document.
fn targets(document: &str) -> Vec<&str> {
    let links = document.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = links.map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let documents = documents();
    assert!(documents.iter().any(|name| name == "README.md") && documents.len() > 8, "{documents:?}");
    for name in documents {
        let folder = path(&name).parent().unwrap().to_owned();
        for target in targets(&text(&name)) {
            assert!(folder.join(target).exists(), "{name} links to {target}");
        }
    }
}

/// The texts of all Rust files in `folder`.
fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            sources(&entry.path(), found);
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(entry.path()).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_fault_table_names_exists() {
    let mut all = String::new();
    for folder in ["crates", "src", "tests", "testkit", "simulation/src"] {
        sources(&path(folder), &mut all);
    }
    let page = text("docs/faults.md");
    let cells = page.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('|'));
    let tests = cells
        .filter_map(|cell| cell.trim().strip_prefix("test only: ").or(cell.trim().strip_prefix("test: ")));
    let names: Vec<_> = tests.flat_map(|tests| tests.split(", ")).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        // A case is `function::case`, and a group of tests `start*`.
        let exists = match (name.strip_suffix('*'), name.split_once("::")) {
            (_, Some((function, case))) => {
                all.contains(&format!("fn {function}("))
                    && all.contains(&format!("#[case::{}", case.trim_end_matches('*')))
            }
            (Some(start), None) => all.contains(&format!("fn {start}")),
            (None, None) => all.contains(&format!("fn {name}(")),
        };
        assert!(exists, "docs/faults.md names {name}");
    }
}
