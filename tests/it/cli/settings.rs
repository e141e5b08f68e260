//! Usage, settings and tokens: the output, and the exit code.

use rstest::rstest;
use scoring_api::{
    build_info::{REVISION, VERSION_AND_REVISION},
    wall_clock,
};
use sha2::{Digest, Sha512};
use testkit::RedisServer;

use super::process::Sandbox;

fn sha512(text: &str) -> String {
    Sha512::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[rstest]
#[case::help(&["--help"], "Usage: scoring-api")]
#[case::help_of_a_subcommand(&["interests", "import", "--help"], "id,interests")]
#[case::version(&["--version"], concat!("scoring-api ", env!("CARGO_PKG_VERSION"), " ("))]
#[tokio::test]
async fn requested_output_goes_to_standard_output(#[case] arguments: &[&str], #[case] text: &str) {
    let ended = Sandbox::new().run(arguments).await;
    assert!(ended.succeeded().contains(text), "{ended:?}");
    assert_eq!(ended.err, "");
}

/// In a checkout, the commit is that of the checkout.
#[tokio::test]
async fn the_version_has_the_commit() {
    let ended = Sandbox::new().run(&["--version"]).await;
    assert_eq!(ended.succeeded().trim_end(), format!("scoring-api {VERSION_AND_REVISION}"));
    let git = std::process::Command::new("git").args(["rev-parse", "--is-inside-work-tree"]).output();
    if git.is_ok_and(|git| git.status.success()) {
        let is_hex = REVISION.len() >= 12 && REVISION.chars().all(|digit| digit.is_ascii_hexdigit());
        assert!(is_hex, "{REVISION}");
    }
}

#[rstest]
#[case::unknown_subcommand(&["serv"])]
#[case::unknown_argument(&["--port", "80"])]
#[case::token_for_nobody(&["token"])]
#[case::interests_alone(&["interests"])]
#[case::import_of_nothing(&["interests", "import"])]
#[case::import_of_unknown_format(&["interests", "import", "x.txt"])]
#[case::two_files(&["--config", "a", "token", "--config", "b", "--admin"])]
#[tokio::test]
async fn wrong_usage_is_exit_code_2(#[case] arguments: &[&str]) {
    let ended = Sandbox::new().run(arguments).await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{ended:?}");
    assert!(!ended.err.is_empty());
}

#[tokio::test]
async fn check_config_shows_where_each_value_comes_from_and_no_secret() {
    let sandbox = Sandbox::new();
    sandbox.write("x.toml", "[auth]\nsalt = \"hunter2\"\n[store]\nurl = \"redis://:hunter2@cache/1\"\n");
    let mut command = sandbox.command(&["check-config", "--config", "x.toml", "--set", "log.level=warn"]);
    command.env("SCORING_AUTH__ADMIN_SALT", "hunter2");
    let ended = sandbox.spawn(command).ended().await;
    let shown = ended.succeeded();
    for line in [
        "# salt = \"***\" # from x.toml:2",
        "# admin_salt = \"***\" # from SCORING_AUTH__ADMIN_SALT",
        "# url = \"redis://:***@cache:6379/1\" # from x.toml:4",
        "level = \"warn\" # from --set",
        "admin_login = \"admin\"",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    assert!(!shown.contains("hunter2"));
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn check_config_tries_each_step_of_each_store() {
    let redis = RedisServer::start().await;
    let user = [
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "~i:*",
        "~uid:*",
        "-@all",
        "+ping",
        "+get",
        "+mget",
        "+exists",
    ];
    redis.command::<()>(&user).await;
    let url = format!("store.url={}", redis.url());
    let lacks_set = Sandbox::new().run(&["--set", &url, "check-config", "--connect"]).await;
    let steps: Vec<_> =
        lacks_set.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    let outcomes: Vec<_> =
        steps.iter().map(|step| (step[0], step[1], step[3].trim_end_matches(','))).collect();
    let expected = [
        ("persistent", "connect", "ok"),
        ("persistent", "read", "ok"),
        ("cache", "connect", "ok"),
        ("cache", "read", "ok"),
        ("cache", "write", "FAILED:"),
    ];
    assert_eq!(outcomes, expected, "{lacks_set:?}");
    assert!(lacks_set.out.ends_with("FAILED: access refused (NOPERM)\n"), "{lacks_set:?}");
    assert_eq!(lacks_set.failed(1), ["1 of 5 steps failed"]);

    redis.command::<()>(&["ACL", "SETUSER", "default", "+set"]).await;
    Sandbox::new().run(&["--set", &url, "check-config", "--connect"]).await.succeeded();

    redis.kill9();
    let gone = Sandbox::new().run(&["--set", &url, "check-config", "--connect"]).await;
    let refused = format!("FAILED: {}: no connection (connection refused)", redis.addr());
    assert!(
        gone.out.lines().count() == 2 && gone.out.lines().all(|line| line.ends_with(&refused)),
        "{gone:?}"
    );
    assert_eq!(gone.failed(1), ["2 of 2 steps failed"]);
}

#[rstest]
#[case::check_config(&["check-config"])]
#[case::serve(&[])]
#[case::token(&["token", "--admin"])]
#[case::export(&["interests", "export"])]
#[tokio::test]
async fn row_45_every_subcommand_names_all_faults_of_the_settings(#[case] arguments: &[&str]) {
    let sandbox = Sandbox::new();
    sandbox.write("x.toml", "[store]\ntimeot = \"1s\"\n[auth]\nsalt = 7\nsalt_file = \"hunter2\"\n");
    let given = ["--config", "x.toml", "--set", "store.url=mysql:hunter2", "--set", "x"];
    let ended = sandbox.run(&[given.as_slice(), arguments].concat()).await;
    let mut lines = ended.failed(2);
    lines.sort_unstable();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[0].starts_with("--set: "), "{lines:?}");
    assert!(lines[1].starts_with("--set: store.url: expected a URL"), "{lines:?}");
    assert_eq!(lines[2], "x.toml:2: store.timeot: unknown key, did you mean store.timeout?");
    assert_eq!(lines[3], "x.toml:4: auth.salt: expected a string, got an integer");
    assert!(lines[4].starts_with("x.toml:5: auth.salt_file: hunter2: cannot be read"), "{lines:?}");
    assert_eq!(ended.out, "");
    assert!(!ended.err.contains("mysql"), "a URL may hold a password");
}

#[rstest]
#[case::customary(&["--account", "horns&hoofs", "--login", "h&f"], "horns&hoofsh&fOtus")]
#[case::no_account(&["--login", "h&f"], "h&fOtus")]
#[case::empty_login(&["--account", "a", "--login", ""], "aOtus")]
#[case::other_salt(&["--account", "a", "--login", "b", "--set", "auth.salt=c"], "abc")]
#[case::other_admin(&["--login", "admin", "--set", "auth.admin_login=root"], "adminOtus")]
#[tokio::test]
async fn a_partners_token_is_the_contracts_digest(#[case] arguments: &[&str], #[case] digested: &str) {
    let ended = Sandbox::new().run(&[&["token"], arguments].concat()).await;
    assert_eq!(ended.succeeded(), sha512(digested) + "\n");
}

#[tokio::test]
async fn the_admins_token_is_the_hours() {
    let now = || sha512(&format!("{}42", wall_clock::now().format("%Y%m%d%H"))) + "\n";
    let before = now();
    let ended = Sandbox::new().run(&["token", "--admin", "--set", "auth.timezone=UTC"]).await;
    // The hour may have turned meanwhile.
    assert!([before, now()].contains(&ended.succeeded().to_owned()), "{ended:?}");
}

#[tokio::test]
async fn a_partners_token_for_the_admins_login_is_refused() {
    let ended = Sandbox::new().run(&["token", "--login", "admin"]).await;
    assert_eq!(ended.failed(2), ["the login admin is the admin's; use --admin for its token"]);
}
