//! Secrets: their sources, and that they are never shown.

use std::{fs, path::Path};

use rstest::rstest;
use secrecy::ExposeSecret;

use super::{Given, assert_silent, given};
use crate::store::url::{Password, RedisTarget, StoreUrl};

#[test]
fn secrets_come_from_files() {
    let settings = given()
        .named("salt", "hunter2\n")
        .named("admin", "hunter3\r\n")
        .named("password", "hunter4")
        .env_file("SCORING_AUTH__SALT_FILE", "salt")
        .env_file("SCORING_AUTH__ADMIN_SALT_FILE", "admin")
        .env_file("SCORING_STORE__PASSWORD_FILE", "password")
        .env_file("SCORING_CACHE__PASSWORD_FILE", "password")
        .set("store.url=redis://a")
        .set("cache.url=redis://user@b")
        .ok();
    assert_eq!(settings.auth.salt.expose_secret(), "hunter2");
    assert_eq!(settings.auth.admin_salt.expose_secret(), "hunter3");
    // The stores read theirs again at each connect.
    assert!(password_file(&settings.store.url).ends_with("password"));
    assert!(password_file(settings.cache_url()).ends_with("password"));
    assert_silent(&format!("{settings:?} {}", settings.effective_toml()));
}

#[test]
fn a_cache_without_a_url_shares_the_stores_password() {
    let given = given().named("p", "hunter2").env_file("SCORING_STORE__PASSWORD_FILE", "p");
    let settings = given.set("store.url=redis://a").ok();
    assert_eq!(password_file(settings.cache_url()), password_file(&settings.store.url));
}

fn password_file(url: &StoreUrl) -> &Path {
    let StoreUrl::Redis(RedisTarget { password: Some(Password::File(file)), .. }) = url else {
        panic!("{url:?} has no password file")
    };
    file
}

#[test]
fn only_the_path_of_a_password_file_counts_as_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let load = |name: &str, url: &str| {
        let file = format!("store.password_file={}", path(name).display());
        given().set(&file).set(&format!("store.url={url}")).set("cache.url=redis://b").ok()
    };
    fs::write(path("one"), "hunter2").unwrap();
    fs::write(path("two"), "hunter2").unwrap();
    let before = load("one", "redis://a");
    fs::write(path("one"), "hunter3").unwrap();
    assert_eq!(load("one", "redis://a").differing(&before), [] as [&str; 0]);
    assert_eq!(load("two", "redis://a").differing(&before), ["store.password_file"]);
    assert_eq!(load("one", "redis://c").differing(&before), ["store.url"]);
}

#[rstest]
#[case::salt(
    "AUTH__SALT_FILE",
    "auth.salt=x",
    "auth.salt_file: auth.salt is set as well; set only one of them"
)]
#[case::previous_salt(
    "AUTH__PREVIOUS_SALT_FILE",
    "auth.previous_salt=x",
    "auth.previous_salt_file: auth.previous_salt is set as well; set only one of them"
)]
#[case::admin_salt(
    "AUTH__ADMIN_SALT_FILE",
    "auth.admin_salt=x",
    "auth.admin_salt_file: auth.admin_salt is set as well; set only one of them"
)]
#[case::password(
    "STORE__PASSWORD_FILE",
    "store.url=redis://:x@a",
    "store.password_file: store.url has a password of its own"
)]
#[case::no_redis(
    "STORE__PASSWORD_FILE",
    "store.url=memory:",
    "store.password_file: store.url takes no password"
)]
#[case::no_cache(
    "CACHE__PASSWORD_FILE",
    "cache.url=",
    "cache.password_file: cache.url is not set; set it, or leave this out as well"
)]
fn a_secret_file_needs_a_place_to_fill(#[case] name: &str, #[case] assignment: &str, #[case] expected: &str) {
    let name = format!("SCORING_{name}");
    let errors = given().named("secret", "hunter2").env_file(&name, "secret").set(assignment).errors();
    assert_eq!(errors, [format!("environment variable {name}: {expected}")]);
}

#[rstest]
#[case::salt("auth.salt_file")]
#[case::previous_salt("auth.previous_salt_file")]
#[case::admin_salt("auth.admin_salt_file")]
#[case::store_password("store.password_file")]
#[case::cache_password("cache.password_file")]
fn a_missing_secret_file_is_named(#[case] key: &str) {
    let given = given().set("store.url=redis://a").set("cache.url=redis://b");
    let errors = given.set(&format!("{key}=/nonexistent/secret")).errors();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with(&format!("--set: {key}: /nonexistent/secret: cannot be read: ")),
        "{}",
        errors[0]
    );
}

#[rstest]
#[case::missing_ca("store.tls_ca=/nonexistent/ca.pem", "store.tls_ca: /nonexistent/ca.pem: cannot be read: ")]
#[case::missing_key(
    "cache.tls_key=/nonexistent/key.pem",
    "cache.tls_key: cache.tls_cert and cache.tls_key belong"
)]
#[case::no_certificate("store.tls_ca=/dev/null", "store.tls_ca: /dev/null: holds no PEM certificate")]
#[case::name("cache.tls_name=no name", "cache.tls_name: expected a host name or an IP address")]
fn certificates_that_cannot_be_used_are_named(#[case] assignment: &str, #[case] expected: &str) {
    let errors = given().set("store.url=rediss://a").set("cache.url=rediss://b").set(assignment).errors();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(expected), "{}", errors[0]);
}

#[rstest]
#[case::user_alone(
    &["store.url=redis+sentinel://a/b", "store.sentinel_user=x"],
    "store.sentinel_user: the sentinels' user needs a password file"
)]
#[case::no_sentinels(
    &["store.url=redis://a", "store.sentinel_password_file=/dev/stdin"],
    "store.sentinel_password_file: store.url names no sentinels; use redis+sentinel://, or leave this out"
)]
fn a_log_in_of_sentinels_needs_sentinels_and_a_password(
    #[case] assignments: &[&str],
    #[case] expected: &str,
) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "hunter2").unwrap();
    let given = assignments.iter().fold(given(), |given, assignment| {
        given.set(&assignment.replace("/dev/stdin", &file.display().to_string()))
    });
    let errors = given.errors();
    assert_eq!(errors, [format!("--set: {expected}")]);
}

#[rstest]
#[case::in_the_clear("redis://a", "store.url does not use TLS; use rediss://, or leave this out")]
#[case::embedded("embedded:a", "store.url does not use TLS; use rediss://, or leave this out")]
fn settings_of_tls_need_a_url_of_tls(#[case] url: &str, #[case] expected: &str) {
    let errors = given().set(&format!("store.url={url}")).set("store.tls_name=a").errors();
    assert_eq!(errors, [format!("--set: store.tls_name: {expected}")]);
}

/// The file that `--config` names may repeat all defaults, including the public salts; secrets still come from files.
#[test]
fn a_salt_file_goes_with_a_file_that_repeats_the_defaults() {
    let given = given().file(include_str!("../../../config/default.toml")).named("salt", "hunter2");
    assert_eq!(given.env_file("SCORING_AUTH__SALT_FILE", "salt").ok().auth.salt.expose_secret(), "hunter2");
}

#[rstest]
#[case::type_of_salt(given().file("[auth]\nsalt = [\"hunter2\"]"))]
#[case::unknown_key(given().set("auth.slat=hunter2"))]
#[case::unknown_variable(given().env("SCORING_AUTH__SLAT", "hunter2"))]
#[case::missing_assignment(given().set("hunter2"))]
#[case::url(given().set("store.url=redis://:hunter2@"))]
#[case::url_without_scheme(given().set("cache.url=:hunter2@cache"))]
#[case::url_of_unknown_kind(given().set("cache.url=hunter2://cache"))]
#[case::both(given().set("auth.salt=hunter2").set("auth.salt_file=x"))]
#[case::public_admin_salt(given().set("auth.salt=hunter2").set("http.bind=0.0.0.0:1"))]
fn no_error_shows_a_secret(#[case] given: Given) {
    let errors = given.load().unwrap_err();
    assert_silent(&format!("{errors} {errors:?}"));
}
