//! Every link in the documents has a target.

use std::fs;

use super::{path, text};

/// The documents, by their paths in the repository.
fn documents() -> Vec<String> {
    ["", "docs", "docs/design", "bench"].iter().flat_map(|folder| in_folder(folder)).collect()
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
