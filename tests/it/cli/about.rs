//! The command line's information about itself and the protocol.

use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use super::process::Sandbox;
use crate::packaging::text;

const SUBCOMMANDS: [&str; 13] = [
    "demo",
    "partners",
    "serve",
    "check-config",
    "probe",
    "status",
    "token",
    "call",
    "openapi",
    "completions",
    "man",
    "interests",
    "card",
];

#[rstest]
#[case::bash("bash")]
#[case::zsh("zsh")]
#[case::fish("fish")]
#[case::elvish("elvish")]
#[case::powershell("powershell")]
#[tokio::test]
async fn completions_know_every_subcommand(#[case] shell: &str) {
    let ended = Sandbox::new().run(&["completions", shell]).await;
    let script = ended.succeeded();
    let deeper =
        ["online_score", "clients_interests", "import", "compare", "--explain", "--set", "--token-file"];
    for word in SUBCOMMANDS.iter().chain(&deeper) {
        // fish writes long options without their dashes.
        assert!(script.contains(word.trim_start_matches('-')), "{word}");
    }
}

/// Completes the last of `words` in a real bash, by the function that the script registers. The first line is the options
/// that this function sets, because bash accepts them only from a completion at a prompt.
async fn completed_by_bash(words: &[&str]) -> Vec<String> {
    let sandbox = Sandbox::new();
    sandbox.write("script", sandbox.run(&["completions", "bash"]).await.succeeded());
    let test = r#"
compopt() { options+=" $*"; }
source ./script
[[ $(complete -p scoring-api) =~ -F\ ([^ ]+) ]]
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
"${BASH_REMATCH[1]}" scoring-api "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${options# }" "${COMPREPLY[@]}"
"#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", test, "bash"]).args(words).current_dir(sandbox.path(""));
    let output = bash.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[rstest]
#[case::at_the_top(&["--set", "auth.salt"], &["-o nospace", "auth.salt=", "auth.salt_file="])]
#[case::in_a_subcommand(&["call", "online_score", "--set", "store.u"], &["-o nospace", "store.url="])]
#[case::after_an_equals_sign(&["serve", "--set", "=", "log.f"], &["-o nospace", "log.format="])]
#[case::no_such_key(&["--set", "nothing"], &["-o nospace"])]
#[case::a_subcommand(&["inter"], &["", "interests"])]
#[case::a_shell(&["completions", "fi"], &["", "fish"])]
#[case::a_method(&["call", "online"], &["", "online_score"])]
#[case::an_option(&["call", "online_score", "--birt"], &["", "--birthday"])]
#[case::an_option_behind_a_hyphen(&["check-config", "--conn"], &["", "--connect"])]
#[tokio::test]
async fn bash_completes_keys_after_set_and_all_else_as_clap(
    #[case] words: &[&str],
    #[case] expected: &[&str],
) {
    let words = [&["scoring-api"], words].concat();
    assert_eq!(completed_by_bash(&words).await, expected);
}

#[tokio::test]
async fn a_value_is_not_completed_with_keys() {
    let found = completed_by_bash(&["scoring-api", "serve", "--set", "store.url", "=", "store.u"]).await;
    assert!(!found.iter().any(|word| word == "store.url="), "{found:?}");
}

#[rstest]
#[case::bash("bash", "=")]
#[case::zsh("zsh", "")]
#[case::fish("fish", "=")]
#[tokio::test]
async fn completions_know_the_keys_of_all_settings(#[case] shell: &str, #[case] end: &str) {
    let ended = Sandbox::new().run(&["completions", shell]).await;
    let script = ended.succeeded();
    let keys: Vec<_> = every_key();
    assert!(keys.len() > 50, "{}", keys.len());
    for key in keys {
        let is_there = script.split([' ', '(', ')', '"']).any(|word| word == format!("{key}{end}"));
        assert!(is_there, "{key}");
    }
    assert!(!script.contains(":KEY=VALUE:_default"), "zsh offers files where a key belongs");
}

/// The keys of the settings' schema.
fn every_key() -> Vec<String> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in text("config/default.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push(format!("{section}.{name}"));
        }
    }
    keys
}

#[test]
fn the_reference_names_every_subcommand() {
    let reference = text("docs/command-line.md");
    for subcommand in SUBCOMMANDS.iter().filter(|subcommand| **subcommand != "serve") {
        assert!(reference.contains(&format!("\nscoring-api {subcommand} ")), "{subcommand}");
    }
}

#[tokio::test]
async fn the_manual_page_names_every_subcommand() {
    let sandbox = Sandbox::new();
    let page = sandbox.run(&["man"]).await;
    let page = page.succeeded().replace("\\-", "-");
    assert!(page.contains(".TH scoring-api 1"), "{page}");
    for subcommand in SUBCOMMANDS {
        assert!(page.contains(&format!("scoring-api-{subcommand}(1)")), "{subcommand}: {page}");
    }
    assert!(page.contains("Exit codes"), "{page}");
}

#[tokio::test]
async fn each_subcommand_has_a_manual_page_of_its_own() {
    let sandbox = Sandbox::new();
    let page = sandbox.run(&["man", "call", "online_score"]).await;
    let page = page.succeeded().replace("\\-", "-");
    for word in [".TH scoring-api-call-online_score 1", "--phone", "--deadline", "--config"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    for section in ["CALLER", "SERVICE", "PERSON", "ANSWER", "TRACING", "SETTINGS", "ENVIRONMENT", "EXAMPLES"]
    {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section}: {page}");
    }
    assert!(page.contains("SCORING_TOKEN") && page.contains("SCORING_STORE__URL"), "{page}");
    let unknown = sandbox.run(&["man", "call", "score"]).await;
    assert_eq!(unknown.failed(2), ["call has no subcommand \"score\""]);
}

#[tokio::test]
async fn call_alone_lists_its_methods_and_groups_its_options() {
    let ended = Sandbox::new().run(&["call"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    for line in
        ["Methods:", "  online_score ", "  clients_interests ", "Caller:", "Service:", "Batch:", "Settings:"]
    {
        assert!(ended.err.lines().any(|found| found.starts_with(line)), "{line}: {ended:?}");
    }
    let ended = Sandbox::new().run(&["call", "--login", "shop"]).await;
    assert_eq!(
        ended.failed(2),
        ["name a method, online_score or clients_interests, or a file of calls with --batch FILE"]
    );
}

#[tokio::test]
async fn the_openapi_document_is_printed_as_it_is_served() {
    let ended = Sandbox::new().run(&["--config", "is-not-read.toml", "openapi"]).await;
    let printed: Value = serde_json::from_str(ended.succeeded()).unwrap();
    let served = testkit::TestApp::spawn().await.admin("/openapi.json").await;
    assert_eq!(printed, served.body);
}
