//! How the commands change the partners' file: at the same time, after a crash, through links, and not at all.

use std::fs;

use rstest::rstest;

use super::{ACME, partners, register};
use crate::cli::process::Sandbox;

#[tokio::test]
async fn commands_at_the_same_time_lose_no_partner() {
    let sandbox = Sandbox::new();
    let logins: Vec<_> = (0..12).map(|number| format!("login{number}")).collect();
    let started: Vec<_> = logins
        .iter()
        .map(|login| sandbox.start(&["partners", "new", "--login", login, "--append", "p.toml"]))
        .collect();
    for process in started {
        process.ended().await.succeeded();
    }
    let list = partners(&sandbox, "list", &[]).await;
    assert_eq!(list.succeeded().lines().count(), 13, "{list:?}");
    let left = fs::read_dir(sandbox.path(".")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        !left.into_iter().any(|name| name.to_string_lossy().ends_with(".new")),
        "no temporary file is left"
    );
}

#[rstest]
#[case::same(&["--account", "acm", "--login", "eshop"], "acme/shop has the same account and login, joined")]
#[case::admin(&["--account", "a", "--login", "admin"], "the login admin is the admin's")]
#[case::too_long(&["--account", &"a".repeat(129), "--login", "b"], "p.toml:6: partner[2]: account and login must have 1 to 128 letters")]
#[tokio::test]
async fn a_partner_that_cannot_be_is_not_registered(#[case] named: &[&str], #[case] error: &str) {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    let before = fs::read_to_string(sandbox.path("p.toml")).unwrap();
    let ended = partners(&sandbox, "new", named).await;
    assert!(ended.failed(2)[0].contains(error), "{ended:?}");
    assert_eq!(ended.out, "");
    assert_eq!(fs::read_to_string(sandbox.path("p.toml")).unwrap(), before);
}

/// A partner can be turned off in an emergency, even if other files have faults.
#[tokio::test]
async fn a_partner_is_disabled_even_if_a_card_has_faults() {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    let card = ["--set", "scoring.card=nowhere.toml"];
    let ended = partners(&sandbox, "disable", &[&ACME[..], &card].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// As a crash or a kill in the middle leaves it.
#[tokio::test]
async fn a_file_that_a_crash_left_over_blocks_no_change() {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    sandbox.write(".p.toml.new", "half");
    assert_eq!(partners(&sandbox, "disable", &ACME).await.code, Some(0));
    assert!(!sandbox.path(".p.toml.new").exists());
}

/// Tables are legal TOML, though no command writes them.
#[tokio::test]
async fn a_partner_with_tokens_in_tables_is_rotated_and_switched() {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    let written = fs::read_to_string(sandbox.path("p.toml")).unwrap();
    let tables = written.replace("tokens = [{ ", "# Ours.\n[[partner.tokens]]\n").replace(" }]", "");
    assert!(tables.contains("[[partner.tokens]]\nsha256 = \""), "{tables}");
    sandbox.write("p.toml", &tables);
    for command in ["disable", "enable", "rotate"] {
        partners(&sandbox, command, &ACME).await.succeeded();
    }
    register(&sandbox, "other", "shop").await;
    let after = fs::read_to_string(sandbox.path("p.toml")).unwrap();
    let digest = tables.split('"').find(|text| text.len() == 64).unwrap();
    assert!(after.contains("# Ours.") && after.contains(digest), "{after}");
    let list = partners(&sandbox, "list", &[]).await;
    let rows: Vec<_> = list.succeeded().lines().collect();
    assert!(
        rows[1].starts_with("acme     shop   enabled  until 20") && rows[1].contains(", valid"),
        "{rows:?}"
    );
    assert_eq!(rows.len(), 3, "{rows:?}");
}

#[tokio::test]
async fn a_token_that_cannot_be_printed_changes_nothing() {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    let before = fs::read_to_string(sandbox.path("p.toml")).unwrap();
    let file = sandbox.path("p.toml").display().to_string();
    let arguments = [&["partners", "rotate", "--file", file.as_str()], &ACME[..]].concat();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = sandbox.command(&arguments).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(fs::read_to_string(sandbox.path("p.toml")).unwrap(), before);
}

#[tokio::test]
async fn a_link_without_target_or_a_pipe_is_refused() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("nowhere/p.toml", sandbox.path("p.toml")).unwrap();
    let ended = partners(&sandbox, "new", &ACME).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(sandbox.path("p.toml").is_symlink());
    fs::remove_file(sandbox.path("p.toml")).unwrap();
    let pipe = sandbox.path("p.toml");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let ended = partners(&sandbox, "new", &ACME).await;
    assert!(ended.code == Some(1) && ended.err.contains("not a file"), "{ended:?}");
}

#[tokio::test]
async fn a_partner_may_be_named_by_two_words() {
    let sandbox = Sandbox::new();
    register(&sandbox, "acme", "shop").await;
    for command in ["rotate", "disable", "enable"] {
        partners(&sandbox, command, &["acme", "shop"]).await.succeeded();
    }
    partners(&sandbox, "new", &["", "solo"]).await.succeeded();
    let list = partners(&sandbox, "list", &[]).await;
    assert!(list.succeeded().lines().any(|line| line.contains("solo")), "{list:?}");
    for wrong in [&["acme"][..], &["acme", "shop", "--login", "shop"], &[]] {
        assert_eq!(partners(&sandbox, "disable", wrong).await.code, Some(2), "{wrong:?}");
    }
}
