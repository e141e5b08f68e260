//! The output of `check-config`.

use super::{assert_silent, given};

#[test]
fn the_settings_in_effect_name_their_origin() {
    let settings = given()
        .file("[store]\ntimeout = \"99ms\"\n")
        .env("SCORING_STORE__URL", "redis://app:hunter2@cache")
        .set("auth.salt=hunter2")
        .set("limits.client_ids=7")
        .ok();
    let text = settings.effective_toml();
    let lines: Vec<_> = text.lines().collect();
    for expected in [
        "# salt = \"***\" # from --set",
        "# admin_salt = \"***\"",
        "# url = \"redis://app:***@cache:6379/0\" # from SCORING_STORE__URL",
        "attempts = 3",
        "client_ids = 7 # from --set",
    ] {
        assert!(lines.contains(&expected), "{expected} in {text}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("timeout = \"99ms\" # from /") && line.ends_with("x.toml:2"))
    );
    assert_silent(text);
}

#[test]
fn the_settings_in_effect_have_every_key_in_the_default_order() {
    let keys = |text: &str| -> Vec<_> {
        let lines =
            text.lines().map(|line| if line.contains("***") { line.trim_start_matches("# ") } else { line });
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split(" = ").next().unwrap().to_owned()).collect()
    };
    let settings = given().ok();
    assert_eq!(keys(settings.effective_toml()), keys(include_str!("../../../config/default.toml")));
}

#[test]
fn the_settings_in_effect_are_a_valid_file() {
    let settings = given().set("store.password_file=").set("auth.admin_login=a\n\"b\"'").ok();
    let again = given().file(settings.effective_toml()).ok();
    assert_eq!(again.auth.admin_login, "a\n\"b\"'");
}

#[test]
fn the_settings_in_effect_are_a_valid_file_with_hidden_secrets() {
    let settings = given()
        .set("auth.salt=hunter2")
        .set("store.url=redis://app:hunter2@cache")
        .set("cache.url=redis://:hunter2@cache")
        .set("limits.client_ids=7")
        .ok();
    let again = given().file(settings.effective_toml()).ok();
    assert_eq!(again.limits.client_ids, 7);
    assert_eq!(again.store.url, given().ok().store.url);
}

#[test]
fn two_settings_differ_in_the_keys_that_differ_and_in_passwords() {
    let one = given().set("store.url=redis://:hunter2@a").set("limits.client_ids=7").ok();
    let other = given().set("store.url=redis://:hunter3@a").set("log.level=warn").ok();
    assert_eq!(one.differing(&other), ["limits.client_ids", "log.level", "store.url"]);
    assert_eq!(one.differing(&one), Vec::<&str>::new());
}
