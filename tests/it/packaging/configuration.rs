//! `docs/configuration.md` matches `config/default.toml`. `make config-docs` writes it.

use std::{env, fmt::Write, fs};

use scoring_api::config::is_reloaded;

use super::{path, text};

const DOCUMENT: &str = "docs/configuration.md";

const HEAD: &str = "# Configuration

Written from [`config/default.toml`](../config/default.toml) by `make config-docs`. Do not edit.

Later wins: the defaults, the file of `--config`, the environment, `--set KEY=VALUE`. Durations are written `250ms`, `5s`, `1h`;
sizes `64KiB`, `1MiB`. `scoring-api check-config` prints the values in effect and their origins. A key marked ↻ takes effect on SIGHUP,
and so do the contents of the file that it names; any other key needs a restart.
";

/// The document for `defaults`: a table for each section, a line for each key.
fn document(defaults: &str) -> String {
    let mut document = HEAD.to_owned();
    let (mut section, mut comment) = (String::new(), Vec::new());
    for line in defaults.lines() {
        if let Some(said) = line.strip_prefix('#') {
            comment.push(said.strip_prefix(' ').unwrap_or(said));
        } else if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            let about = comment.join(" ");
            write!(document, "\n## `[{section}]`\n\n{about}\n\n").unwrap();
            document.push_str("| key | default | range | environment | meaning |\n|---|---|---|---|---|\n");
            comment.clear();
        } else if let Some((name, default)) = line.split_once(" = ") {
            let key = format!("{section}.{name}");
            let variable = format!("SCORING_{}", key.replace('.', "__").to_uppercase());
            let reloaded = if is_reloaded(&key) { " ↻" } else { "" };
            let (range, about) = (range(default, &comment), cell(&comment));
            writeln!(document, "| `{key}`{reloaded} | `{default}` | {range} | `{variable}` | {about} |")
                .unwrap();
            comment.clear();
        } else {
            // An empty line: the comment above is about the whole file.
            comment.clear();
        }
    }
    document
}

/// From the comment: `1ms to 10m`.
fn range(default: &str, comment: &[&str]) -> String {
    let text = comment.join(" ");
    let words: Vec<_> = text.split(' ').map(|word| word.trim_end_matches([',', '.', ';', ':'])).collect();
    let number = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    let limits = words.windows(3).find(|three| three[1] == "to" && number(three[0]) && number(three[2]));
    match limits {
        Some(limits) => format!("{} to {}", limits[0], limits[2]),
        None if matches!(default, "true" | "false") => "true, false".to_owned(),
        None => "text".to_owned(),
    }
}

/// The comment in one line; indented lines of it remain separate lines.
fn cell(comment: &[&str]) -> String {
    let mut cell = String::new();
    let mut indented = false;
    for line in comment {
        let is_list = line.starts_with(' ');
        if !cell.is_empty() {
            cell.push_str(if is_list || indented { "<br>" } else { " " });
        }
        let line = line.trim();
        match is_list.then(|| line.split_once("  ").unwrap_or((line, ""))) {
            Some((form, about)) => write!(cell, "`{form}` {}", about.trim()).unwrap(),
            None => cell.push_str(line),
        }
        indented = is_list;
    }
    cell.replace(" <br>", "<br>").replace('|', "\\|")
}

#[test]
fn the_document_matches_the_defaults() {
    let wanted = document(&text("config/default.toml"));
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(DOCUMENT), &wanted).unwrap();
    }
    let found = text(DOCUMENT);
    let differing = wanted.lines().zip(found.lines()).find(|(wanted, found)| wanted != found);
    assert!(wanted == found, "{DOCUMENT} is out of date, run `make config-docs`: {differing:#?}");
}

#[test]
fn a_key_becomes_a_line_with_all_there_is_to_say() {
    let defaults = "# The file.\n\n# A part.\n[a.b]\n\n# How long, 1ms to 10m; then\n# it ends.\nc_d = \"5s\"\n\n\
                    # One of:\n#   x:PATH   a file\n#   y\n# And so on.\ne = \"\"\n\n# Whether.\nf = false\n";
    let document = document(defaults);
    let (_, lines) = document.split_once("## `[a.b]`\n\nA part.\n\n").unwrap();
    let lines: Vec<_> = lines.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "| `a.b.c_d` | `\"5s\"` | 1ms to 10m | `SCORING_A__B__C_D` | How long, 1ms to 10m; then it ends. |",
            "| `a.b.e` | `\"\"` | text | `SCORING_A__B__E` | One of:<br>`x:PATH` a file<br>`y`<br>And so on. |",
            "| `a.b.f` | `false` | true, false | `SCORING_A__B__F` | Whether. |",
        ]
    );
}
