//! The command line's information about itself and the protocol.

use rstest::rstest;
use serde_json::Value;

use super::process::Sandbox;

const SUBCOMMANDS: [&str; 10] =
    ["serve", "check-config", "probe", "token", "call", "openapi", "completions", "man", "interests", "card"];

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
    let deeper = ["online_score", "clients_interests", "import", "compare", "--explain", "--set"];
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
    let unknown = sandbox.run(&["man", "call", "score"]).await;
    assert_eq!(unknown.failed(2), ["call has no subcommand \"score\""]);
}

#[tokio::test]
async fn the_openapi_document_is_printed_as_it_is_served() {
    let ended = Sandbox::new().run(&["--config", "is-not-read.toml", "openapi"]).await;
    let printed: Value = serde_json::from_str(ended.succeeded()).unwrap();
    let served = testkit::TestApp::spawn().await.admin("/openapi.json").await;
    assert_eq!(printed, served.body);
}
