//! The README's blocks, run in their order against a real service: each command succeeds, and prints the text below it.
//!
//! A block without `$` has a command that a reader types once; [`ONCE`] lists these. All other commands run in one shell, so
//! that variables last. A number before `s`, `ms` or `a second` is measured, and may differ, as the id of a request does.

use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

use rstest::rstest;
use serde_json::Value;
use testkit::{eventually, http_client};

use super::{path, text};
use crate::cli::process::{Process, Sandbox};

const SERVE: &str = "cargo run -- --config config/default.toml";
const TEST: &str = "make test";
const INSTALL: &str = "cargo install --path .";

/// The commands without a `$`, in their order. The first one is run by this test; the others take minutes, and the second
/// is the test itself.
const ONCE: [&str; 3] = [SERVE, INSTALL, TEST];

/// The programs of the commands: `cargo run` and an installed `scoring-api` are the binary of this test, and `call` calls the
/// service of this test.
const PROGRAMS: &str = r#"
scoring-api() {
    if [ "$1" = call ]; then shift; set -- call --url "http://$SCORING_HTTP__BIND" "$@"; fi
    "$BINARY" "$@"
}
cargo() { [ "$1 $2 $3" = "run -q --" ] || exit 9; shift 3; scoring-api "$@"; }
"#;

/// A command, and the text below it.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    output: String,
}

/// The fenced blocks of a language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    document.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// The commands of a block with `$`. A command goes on while a quote is open or its line ends with a backslash.
fn steps(block: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_open = false;
    for line in block.lines() {
        if let Some(step) = steps.last_mut().filter(|_| is_open) {
            step.command = format!("{}\n{line}", step.command);
            is_open = goes_on(&step.command);
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { command: command.to_owned(), output: String::new() });
            is_open = goes_on(command);
        } else {
            let step = steps.last_mut().unwrap_or_else(|| panic!("output before a command: {block}"));
            step.output.push_str(line);
            step.output.push('\n');
        }
    }
    steps
}

fn goes_on(command: &str) -> bool {
    let mut quote = None;
    for c in command.chars() {
        quote = match (quote, c) {
            (None, '\'' | '"') => Some(c),
            (Some(open), _) if open == c => None,
            (open, _) => open,
        };
    }
    quote.is_some() || command.ends_with('\\')
}

/// Whether `found` is the text `expected`, but for measured numbers and ids of requests.
fn is_same(expected: &str, found: &str) -> bool {
    let (expected, found) = (without_ids(expected), without_ids(found));
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines = |text: &str| text.trim_end().lines().map(words).collect::<Vec<_>>();
    let (expected, found) = (lines(&expected), lines(&found));
    expected.len() == found.len()
        && expected.iter().zip(&found).all(|(expected, found)| {
            expected.len() == found.len()
                && (0..expected.len()).all(|at| {
                    expected[at] == found[at] || is_measured(expected, at) && is_measured(found, at)
                })
        })
}

/// The text without the 32 hex digits of each request's id.
fn without_ids(text: &str) -> String {
    const FIELD: &str = "\"request_id\":\"";
    let mut parts = text.split(FIELD);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let digits = part.chars().take_while(char::is_ascii_hexdigit).count();
        assert_eq!(digits, 32, "{part}");
        text + FIELD + &part[digits..]
    })
}

/// Whether the word is a number before `s`, `ms` or `a second`.
fn is_measured(words: &[String], at: usize) -> bool {
    let is_unit = |next: &String| matches!(next.trim_end_matches(','), "s" | "ms" | "a");
    words[at].parse::<f64>().is_ok() && words.get(at + 1).is_some_and(is_unit)
}

/// The service of the README's first command, with the files of the repository beside it.
async fn served(sandbox: &Sandbox) -> (Process, String, String) {
    for folder in ["config", "examples"] {
        symlink(path(folder), sandbox.path(folder)).unwrap();
    }
    let (_, arguments) = SERVE.split_once(" -- ").unwrap();
    let arguments: Vec<_> = arguments.split(' ').chain(["--set", "admin.bind=127.0.0.1:0"]).collect();
    let (service, address) = sandbox.serve(&arguments).await;
    let listening = service.logged("listening", Duration::from_secs(20)).await;
    let operators = listening["admin_address"].as_str().unwrap().to_owned();
    // A reader takes longer to type than the store to open.
    let readiness = format!("http://{operators}/readyz");
    eventually(Duration::from_secs(20), "the service is ready", async || {
        let answer = http_client().get(&readiness).send().await.unwrap().text().await.unwrap();
        answer.contains(r#""status":"ready""#)
    })
    .await;
    (service, address, operators)
}

#[tokio::test]
async fn every_command_of_the_readme_prints_the_text_below_it() {
    let readme = text("README.md");
    let sandbox = Sandbox::new();
    let (service, address, operators) = served(&sandbox).await;
    let all: Vec<_> =
        blocks(&readme, "console").into_iter().filter(|block| block.starts_with("$ ")).collect();
    let steps: Vec<_> = all.iter().flat_map(|block| steps(block)).collect();
    assert!(steps.len() >= 8, "{steps:?}");
    let mut script = PROGRAMS.to_owned();
    for (number, step) in steps.iter().enumerate() {
        let command = step.command.replace("127.0.0.1:8080", &address).replace("127.0.0.1:8081", &operators);
        script.push_str(&format!("{{ {command}\n}} >out{number} 2>&1; echo $? >code{number}\n"));
    }
    sandbox.write("session", script);
    let shell = Command::new("bash")
        .arg("session")
        .current_dir(sandbox.path(""))
        .env("BINARY", env!("CARGO_BIN_EXE_scoring-api"))
        .env("SCORING_HTTP__BIND", &address)
        .env("SCORING_ADMIN__BIND", &operators)
        .env_remove("SCORING_TOKEN")
        .output()
        .unwrap();
    assert!(shell.status.success() && shell.stderr.is_empty(), "{shell:?}");
    for (number, Step { command, output }) in steps.iter().enumerate() {
        let read = |name: &str| fs::read_to_string(sandbox.path(&format!("{name}{number}"))).unwrap();
        let found = read("out").replace(&address, "127.0.0.1:8080").replace(&operators, "127.0.0.1:8081");
        let found: String = found.split_inclusive('\n').filter(|line| !is_act(line)).collect();
        assert!(is_same(output, &found), "README.md says\n$ {command}\n{output}\nbut it prints\n{found}");
        // A call of a batch may fail for the sake of showing it.
        let shows_a_failure = output.contains("error: ");
        assert_eq!(read("code") == "0\n", !shows_a_failure, "$ {command}\n{found}");
    }
    shows_a_line_of_the_log(&readme, &service);
}

/// A line of the log about an operator's act, on standard error; docs/logging.md describes it.
fn is_act(line: &str) -> bool {
    line.starts_with('{') && line.contains("scoring_api::audit")
}

/// The README's line of a call is one that the service wrote, but for its time, id and duration.
fn shows_a_line_of_the_log(readme: &str, service: &Process) {
    let lasting = |line: &str| {
        let mut line: Value = serde_json::from_str(line).ok()?;
        let fields = line.as_object_mut()?;
        ["timestamp", "request_id", "duration"]
            .iter()
            .all(|name| fields.remove(*name).is_some())
            .then_some(line)
    };
    let shown = blocks(readme, "json").concat();
    let log = service.out();
    let written: Vec<_> = log.lines().filter_map(lasting).collect();
    assert!(written.contains(&lasting(&shown).unwrap()), "{shown} is not in {log}");
}

/// The slowest score of all rows of the fault table, in milliseconds as they are written there.
fn slowest_score(table: &str) -> String {
    let rows = table.lines().filter(|line| line.starts_with('|'));
    let worst = rows.filter_map(|row| {
        // The rows of the store have a column of their own; the others say it in words.
        let column =
            row.split('|').nth(4).and_then(|cell| cell.trim().strip_suffix(" ms")?.split_once(" ms, "));
        let words = row.split_once("score: p99 ").and_then(|(_, rest)| rest.split_once(" ms, worst "));
        let words = words.and_then(|(_, rest)| rest.split_once(" ms"));
        words.map(|(worst, _)| worst).or(column.map(|(_, worst)| worst))
    });
    let worst = worst.filter_map(|text| Some((text.parse::<f64>().ok()?, text)));
    worst.max_by(|(one, _), (other, _)| one.total_cmp(other)).unwrap().1.to_owned()
}

/// `119,248` for 119248.
fn grouped(number: u64) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", grouped(number / 1000), number % 1000)
    }
}

/// `make faults` and `make soak` write new figures; then the README needs them too.
#[test]
fn the_measured_figures_are_those_of_the_fault_table() {
    let (readme, table) = (text("README.md"), text("docs/faults.md"));
    let before = |end: &str| {
        let (start, _) = table.split_once(end).unwrap_or_else(|| panic!("docs/faults.md has no {end:?}"));
        start.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let around = before(" calls answered before the signal, ") + before(" after, 0 failed");
    for figure in [
        format!("the slowest of all fault rows took {} ms", slowest_score(&table)),
        format!("{} answers checked, 0 wrong", grouped(before(" calls, each answer checked"))),
        format!("of {} calls around a SIGTERM, 0 failed", grouped(around)),
    ] {
        assert!(readme.contains(&figure), "README.md should say: {figure}");
    }
}

#[test]
fn commands_without_a_prompt_are_known_and_possible() {
    let readme = text("README.md");
    let once: Vec<_> =
        blocks(&readme, "console").into_iter().filter(|block| !block.starts_with("$ ")).collect();
    assert_eq!(once, ONCE);
    let target = TEST.strip_prefix("make ").unwrap();
    assert!(text("Makefile").lines().any(|line| line.starts_with(&format!("{target}:"))));
    let package = text("Cargo.toml").parse::<toml::Table>().unwrap();
    assert_eq!(package["bin"][0]["name"].as_str(), package["package"]["name"].as_str());
}

#[test]
fn every_other_block_is_checked_elsewhere() {
    let readme = text("README.md");
    let fences: Vec<_> = readme.lines().filter_map(|line| line.strip_prefix("```")).collect();
    assert_eq!(fences.len() % 2, 0, "{fences:?}");
    let languages: Vec<_> = fences.iter().step_by(2).collect();
    let unknown = languages.iter().find(|language| !["console", "json"].contains(**language));
    assert_eq!(unknown, None, "no test runs such a block");
}

#[test]
fn a_block_is_read_as_commands_and_their_output() {
    let block = "$ a 'b\n  c' \\\n d\none\ntwo\n$ e\n$ f \"$ g\"\nthree";
    let step = |command: &str, output: &str| Step { command: command.into(), output: output.into() };
    let expected = [step("a 'b\n  c' \\\n d", "one\ntwo\n"), step("e", ""), step("f \"$ g\"", "three\n")];
    assert_eq!(steps(block), expected);
}

#[rstest]
#[case::the_same("imported 5 clients\n", "imported 5 clients\n", true)]
#[case::no_newline("{\"status\":\"ready\"\n", "{\"status\":\"ready\"", true)]
#[case::another_count("imported 5 clients\n", "imported 6 clients\n", false)]
#[case::a_line_more("imported 5 clients\n", "imported 5 clients\nagain\n", false)]
#[case::another_time("4 calls in 0.51 s, 19429 a second", "4 calls in 1.2 s, 3 a second", true)]
#[case::latency("latency: p50 1.0 ms, max 6.4 ms", "latency: p50 12.0 ms, max 99 ms", true)]
#[case::no_number("in 0.51 s", "in some s", false)]
fn only_measured_numbers_may_differ(#[case] expected: &str, #[case] found: &str, #[case] same: bool) {
    assert_eq!(is_same(expected, found), same);
}
