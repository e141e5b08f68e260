//! The command line's information about itself and the protocol.

use rstest::rstest;
use serde_json::Value;

use super::process::Sandbox;

const SUBCOMMANDS: [&str; 11] = [
    "partners",
    "serve",
    "check-config",
    "probe",
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
