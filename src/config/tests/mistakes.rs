//! Mistakes in one key: in a file, in the environment, in a flag.

use std::ffi::OsString;
use std::path::Path;

use proptest::prelude::*;
use rstest::rstest;

use super::given;
use crate::config::Settings;
use crate::config::layers::Layers;

#[rstest]
#[case::unknown_key(
    "[store]\n\ntimout = \"1s\"",
    "x.toml:3: store.timout: unknown key, did you mean store.timeout?"
)]
#[case::unknown_section(
    "[stor]\nurl = \"memory:\"",
    "x.toml:2: stor.url: unknown key, did you mean store.url?"
)]
#[case::empty_unknown_section("[redis]", "x.toml:1: redis: unknown key")]
#[case::no_section(
    "max_in_flight = 1",
    "x.toml:1: max_in_flight: unknown key, did you mean limits.max_in_flight?"
)]
#[case::nothing_like_it("[store]\nzebra = 1", "x.toml:2: store.zebra: unknown key")]
#[case::quoted_dotted_key(
    "\"store.timeout\" = \"1s\"",
    "x.toml:1: store.timeout: unknown key, did you mean store.timeout?"
)]
#[case::section_as_value("store = 5", "x.toml:1: store: expected a table, got an integer")]
#[case::section_as_array("[[store]]\nurl = \"memory:\"", "x.toml:1: store: expected a table, got an array")]
#[case::integer_for_text("[auth]\nsalt = 123456", "x.toml:2: auth.salt: expected a string, got an integer")]
#[case::text_for_integer(
    "[store]\nattempts = \"3\"",
    "x.toml:2: store.attempts: expected an integer, got a string"
)]
#[case::float_for_integer(
    "[store]\nattempts = 3.0",
    "x.toml:2: store.attempts: expected an integer, got a float"
)]
#[case::text_for_switch(
    "[auth]\nallow_public_salts = \"true\"",
    "x.toml:2: auth.allow_public_salts: expected true or false, got a string"
)]
#[case::table_for_text("[store.url]\nx = 1", "x.toml:2: store.url: expected a string, got a table")]
#[case::section_within_a_section_as_value(
    "[http]\ntls = 5",
    "x.toml:2: http.tls: expected a table, got an integer"
)]
#[case::share_above_one(
    "[trace]\nsample_ratio = 1.5",
    "x.toml:2: trace.sample_ratio: must be from 0.0 to 1.0, got 1.5"
)]
#[case::whole_number_above_one(
    "[trace]\nsample_ratio = 2",
    "x.toml:2: trace.sample_ratio: must be from 0.0 to 1.0, got 2"
)]
#[case::collector_over_tls(
    "[trace]\nendpoint = \"https://collector\"",
    r#"x.toml:2: trace.endpoint: expected a URL such as "http://127.0.0.1:4318", without a user, or """#
)]
#[case::bad_duration(
    "[store]\ntimeout = \"fast\"",
    r#"x.toml:2: store.timeout: expected a duration such as "250ms", got "fast""#
)]
#[case::line_feed_in_a_value(
    "[store]\ntimeout = \"a\\nb\"",
    r#"x.toml:2: store.timeout: expected a duration such as "250ms", got "a\nb""#
)]
#[case::line_feed_in_a_key("[store]\n\"a\\nb\" = 1", r"x.toml:2: store.a\nb: unknown key")]
#[case::not_utf8(b"[auth]\nsalt = \"\xff\"", "x.toml: not valid UTF-8")]
fn a_mistake_in_a_file_is_named(#[case] contents: impl AsRef<[u8]>, #[case] expected: &str) {
    assert_eq!(given().file(contents).errors(), [expected]);
}

#[rstest]
#[case::unclosed_string("[auth]\nsalt = \"hunter2", 2)]
#[case::no_quotes("[auth]\n\nsalt = hunter2", 3)]
#[case::no_value("[auth]\nsalt hunter2", 2)]
#[case::twice("[auth]\nsalt = \"hunter2\"\nsalt = \"hunter2\"", 3)]
#[case::huge_integer("[auth]\nsalt = 99999999999999999999", 2)]
fn a_syntax_error_names_its_line_and_hides_its_text(#[case] contents: &str, #[case] line: usize) {
    let errors = given().file(contents).errors();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with(&format!("x.toml:{line}: not valid TOML: ")), "{}", errors[0]);
    assert!(!errors[0].contains("hunter2") && !errors[0].contains("999"), "{}", errors[0]);
}

#[rstest]
#[case::missing("/nonexistent/x.toml")]
#[case::directory("/")]
fn a_file_that_cannot_be_read_is_named(#[case] path: &str) {
    let errors = Settings::load(Some(Path::new(path)), [], &[]).unwrap_err().to_string();
    assert!(errors.starts_with(&format!("{path}: cannot be read: ")), "{errors}");
}

#[rstest]
#[case::unknown(
    "SCORING_STORE__TIMOUT",
    "1s",
    "store.timout: unknown key, did you mean SCORING_STORE__TIMEOUT?"
)]
#[case::lower_case(
    "SCORING_store__url",
    "memory:",
    "store.url: unknown key, did you mean SCORING_STORE__URL?"
)]
#[case::nothing_like_it("SCORING_REDIS__ZEBRA", "1", "redis.zebra: unknown key")]
#[case::no_section(
    "SCORING___CLIENT_IDS",
    "1",
    ".client_ids: unknown key, did you mean SCORING_LIMITS__CLIENT_IDS?"
)]
#[case::no_key("SCORING_STORE__", "1", "store.: unknown key")]
#[case::one_underscore(
    "SCORING_STORE_URL",
    "hunter2",
    "store.url: not read, because section and key need two underscores between them; the variable is SCORING_STORE__URL"
)]
#[case::one_underscore_and_a_longer_key(
    "SCORING_AUTH_SALT_FILE",
    "/x",
    "auth.salt_file: not read, because section and key need two underscores between them; the variable is SCORING_AUTH__SALT_FILE"
)]
#[case::one_underscore_in_a_section_of_a_section(
    "SCORING_HTTP_TLS_CERT",
    "/x",
    "http.tls.cert: not read, because section and key need two underscores between them; the variable is SCORING_HTTP__TLS__CERT"
)]
#[case::one_underscore_and_lower_case(
    "SCORING_store_url",
    "memory:",
    "store.url: not read, because section and key need two underscores between them; the variable is SCORING_STORE__URL"
)]
#[case::not_an_integer(
    "SCORING_STORE__ATTEMPTS",
    "three",
    "store.attempts: expected an integer, got a string"
)]
#[case::not_a_switch(
    "SCORING_AUTH__ALLOW_PUBLIC_SALTS",
    "1",
    "auth.allow_public_salts: expected true or false, got a string"
)]
#[case::out_of_range("SCORING_STORE__ATTEMPTS", "0", "store.attempts: must be from 1 to 10, got 0")]
#[case::bad_duration(
    "SCORING_STORE__TIMEOUT",
    "fast",
    r#"store.timeout: expected a duration such as "250ms", got "fast""#
)]
#[case::empty_salt("SCORING_AUTH__SALT", "", "auth.salt: must not be empty")]
fn a_mistake_in_the_environment_is_named(#[case] name: &str, #[case] value: &str, #[case] expected: &str) {
    assert_eq!(given().env(name, value).errors(), [format!("environment variable {name}: {expected}")]);
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let mut given = given();
    given.environment.push(("SCORING_AUTH__SALT".into(), OsString::from_vec(b"hunter\xff".to_vec())));
    assert_eq!(given.errors(), ["environment variable SCORING_AUTH__SALT: auth.salt: not valid UTF-8"]);
}

#[rstest]
#[case::unknown("store.timout=1s", "store.timout: unknown key, did you mean store.timeout?")]
#[case::no_assignment("hunter2", "expected KEY=VALUE")]
#[case::section("store=memory:", "store: unknown key")]
#[case::bind(
    "http.bind=everywhere",
    r#"http.bind: expected an address such as "127.0.0.1:8080", got "everywhere""#
)]
#[case::body_limit(
    "http.body_limit=1023",
    r#"http.body_limit: must be from "1.0 KiB" to "64.0 MiB", got "1023""#
)]
#[case::workers("http.workers=1025", "http.workers: must be from 0 to 1024, got 1025")]
#[case::no_head_timeout(
    "http.head_timeout=0s",
    r#"http.head_timeout: must be from "1ms" to "10m", got "0s""#
)]
#[case::short_keep_alive(
    "http.keep_alive=999ms",
    r#"http.keep_alive: must be from "1s" to "1h", got "999ms""#
)]
#[case::less_memory_than_one_body_takes(
    "limits.body_memory=255KiB",
    "limits.body_memory: limits.body_memory (255.0 KiB) must be at least http.body_limit (256.0 KiB)"
)]
#[case::too_many_connections(
    "http.max_connections=1000001",
    "http.max_connections: must be from 0 to 1000000, got 1000001"
)]
#[case::proxies(
    "http.trusted_proxies=10.0.0.0/8, proxy",
    r#"http.trusted_proxies: expected networks such as "10.0.0.0/8, 127.0.0.1", got "proxy""#
)]
#[case::rate(
    "limits.account_rate=100",
    r#"limits.account_rate: expected a rate such as "100/s" or "100/s burst 200", with a burst that takes 30 days at most to build up, got "100""#
)]
#[case::rate_of_none(
    "limits.address_rate=0/s",
    r#"limits.address_rate: expected a rate such as "100/s" or "100/s burst 200", with a burst that takes 30 days at most to build up, got "0/s""#
)]
#[case::certificate_alone(
    "http.tls.cert=a.pem",
    "http.tls.cert: http.tls.cert and http.tls.key belong together; set both"
)]
#[case::key_alone(
    "http.tls.key=a.pem",
    "http.tls.key: http.tls.cert and http.tls.key belong together; set both"
)]
#[case::hidden_salt(
    "auth.salt=***",
    "auth.salt: *** stands for a secret that is not shown; put the secret itself here"
)]
#[case::hidden_password(
    "store.url=redis://:***@a",
    "store.url: *** stands for a secret that is not shown; put the secret itself here"
)]
#[case::no_login("auth.admin_login=", "auth.admin_login: must not be empty")]
#[case::timezone(
    "auth.timezone=Mars",
    r#"auth.timezone: expected "local", "UTC" or a time zone such as "Europe/Berlin", got "Mars""#
)]
#[case::grace("auth.admin_grace=61m", r#"auth.admin_grace: must be from "0s" to "1h", got "61m""#)]
#[case::store_kind(
    "store.url=redis+cluster://cache/1",
    "store.url: a cluster has no database but 0; leave the number out"
)]
#[case::no_store(
    "store.url=",
    "store.url: expected a URL that starts with embedded:, memory:, redis://, rediss://, redis+unix://, redis+sentinel://, redis+cluster://, memcached:// or tarantool://"
)]
#[case::no_timeout("cache.timeout=0s", r#"cache.timeout: must be from "1ms" to "1m", got "0s""#)]
#[case::short_ttl("cache.ttl=999ms", r#"cache.ttl: must be from "1s" to "30days", got "999ms""#)]
#[case::no_capacity("cache.capacity=0", "cache.capacity: must be from 1 to 10000000, got 0")]
#[case::near_capacity(
    "cache.near_capacity=10000001",
    "cache.near_capacity: must be from 0 to 10000000, got 10000001"
)]
#[case::nothing_in_flight("limits.max_in_flight=0", "limits.max_in_flight: must be from 1 to 1000000, got 0")]
#[case::no_ids("limits.client_ids=0", "limits.client_ids: must be from 1 to 1000000, got 0")]
#[case::no_drain("shutdown.drain=0s", r#"shutdown.drain: must be from "1s" to "10m", got "0s""#)]
#[case::log_format("log.format=xml", r#"log.format: expected "pretty", "json" or "", got "xml""#)]
#[case::log_level("log.level=Info", r#"log.level: expected error, warn, info, debug or trace, got "Info""#)]
fn a_mistake_in_a_flag_is_named(#[case] assignment: &str, #[case] expected: &str) {
    assert_eq!(given().set(assignment).errors(), [format!("--set: {expected}")]);
}

#[rstest]
#[case::bind("http.bind=localhost:0")]
#[case::smallest_body("http.body_limit=1KiB")]
#[case::largest_body("http.body_limit=64MiB")]
#[case::most_workers("http.workers=1024")]
#[case::utc("auth.timezone=UTC")]
#[case::named_zone("auth.timezone=Europe/Berlin")]
#[case::longest_grace("auth.admin_grace=1h")]
#[case::shortest_ttl("cache.ttl=1s")]
#[case::longest_ttl("cache.ttl=30d")]
#[case::no_grace("shutdown.grace=0s")]
#[case::trace("log.level=trace")]
fn the_ends_of_a_range_belong_to_it(#[case] assignment: &str) {
    given().set(assignment).ok();
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let errors = given()
        .file("[store]\ntimout = \"1s\"\nattempts = 0\n[cache]\nttl = \"never\"")
        .env("SCORING_LOG__LEVEL", "loud")
        .set("http.bind=0.0.0.0:80")
        .errors();
    let starts = [
        "x.toml:2: ",
        "x.toml:5: ",
        "environment variable SCORING_LOG__LEVEL: ",
        "x.toml:3: ",
        "--set: http.bind: ",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:?}");
    for start in starts {
        assert!(errors.iter().any(|error| error.starts_with(start)), "{start} in {errors:?}");
    }
}

fn any_key() -> impl Strategy<Value = String> {
    let keys: Vec<_> = Layers::built_in().unwrap().entries().iter().map(|entry| entry.key.clone()).collect();
    prop::sample::select(keys)
}

proptest! {
    #[test]
    fn no_value_makes_it_panic(key in any_key(), value in any::<String>()) {
        // Otherwise it would read any file with that name.
        prop_assume!(!key.ends_with("_file"));
        if let Err(errors) = given().set(&format!("{key}={value}")).load() {
            prop_assert_eq!(errors.to_string().lines().count(), 1);
        }
    }

    #[test]
    fn no_name_makes_it_panic(name in "SCORING_[A-Za-z_é.]{0,20}", value in any::<String>(), flag in any::<String>()) {
        let _ = given().env(&name, &value).set(&flag).load();
    }

    #[test]
    fn no_bytes_in_a_file_make_it_panic(
        bytes in prop_oneof![
            any::<Vec<u8>>(),
            "(\\[?\\[?(store|auth|x)\\]?\\]?(\\.url)? ?=?\n?(\"a\"|1|1e9|\\[1\\]|\\{a=1\\}|1979-05-27)?\n?){0,5}"
                .prop_map(String::into_bytes),
        ],
    ) {
        if let Err(errors) = given().file(bytes).load() {
            prop_assert_eq!(errors.to_string().lines().count(), errors.iter().count());
        }
    }
}
