//! The defaults, and the layers above them.

use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use secrecy::ExposeSecret;
use tracing::Level;

use super::{Given, given};
use crate::config::Settings;
use crate::config::layers::Layers;
use crate::domain::TimeZoneChoice;
use crate::store::url::StoreUrl;
use crate::telemetry::settings::LogFormat;

#[test]
fn the_defaults_are_those_of_the_contract() {
    let settings = given().ok();

    assert_eq!(settings.http.bind, "127.0.0.1:8080".parse().unwrap());
    assert!(settings.http.workers >= 1);
    assert_eq!(settings.http.body_limit, 256 * 1024);
    assert_eq!(settings.http.head_timeout, Duration::from_secs(5));
    assert_eq!(settings.http.body_timeout, Duration::from_secs(10));
    assert_eq!(settings.http.keep_alive, Duration::from_secs(75));
    assert_eq!(settings.http.max_connections, 0);
    assert!(settings.http.trusted_proxies.is_empty());
    assert!(settings.http.tls.cert.is_none() && settings.http.tls.key.is_none());
    assert_eq!(settings.admin.bind, Some("127.0.0.1:8081".parse().unwrap()));
    assert_eq!(settings.auth.salt.expose_secret(), "Otus");
    assert_eq!(settings.auth.salt_file, None);
    assert_eq!(settings.auth.admin_salt.expose_secret(), "42");
    assert_eq!(settings.auth.admin_salt_file, None);
    assert_eq!(settings.auth.admin_login, "admin");
    assert_eq!(settings.auth.timezone, TimeZoneChoice::Local);
    assert_eq!(settings.auth.admin_grace, Duration::ZERO);
    assert!(!settings.auth.allow_public_salts);
    assert_eq!(settings.store.url, StoreUrl::Embedded("data/scoring.redb".into()));
    assert_eq!(settings.store.password_file, None);
    assert_eq!(settings.store.timeout, Duration::from_millis(150));
    assert_eq!(settings.store.attempts, 3);
    assert_eq!(settings.store.deadline, Duration::from_millis(600));
    assert_eq!(settings.store.connect_timeout, Duration::from_millis(300));
    assert_eq!(settings.cache.url, None);
    assert_eq!(settings.cache_url(), &settings.store.url);
    assert_eq!(settings.cache.password_file, None);
    assert_eq!(settings.cache.timeout, Duration::from_millis(100));
    assert_eq!(settings.cache.ttl, Duration::from_secs(3600));
    assert_eq!(settings.cache.capacity, 100_000);
    assert_eq!(settings.cache.near_capacity, 0);
    assert_eq!(settings.cache.connect_timeout, Duration::from_millis(300));
    assert_eq!(settings.limits.max_in_flight, 1024);
    assert_eq!(settings.limits.client_ids, 10_000);
    assert_eq!(settings.limits.body_memory, settings.limits.max_in_flight * settings.http.body_limit);
    assert_eq!((settings.limits.account_rate, settings.limits.address_rate), (None, None));
    assert_eq!(settings.shutdown.grace, Duration::from_secs(5));
    assert_eq!(settings.shutdown.drain, Duration::from_secs(20));
    assert_eq!(settings.log.format, None);
    assert_eq!(settings.log.level, Level::INFO);
    assert_eq!(settings.trace.endpoint, None);
    assert_eq!(settings.trace.sample_ratio, 1.0);
    assert_eq!(settings.trace.timeout, Duration::from_secs(5));
    assert_eq!(settings.trace.queue, 4096);
}

/// No field has a serde default, and every struct rejects unknown fields. So a table with exactly the keys of
/// `config/default.toml` loads only if these are the fields, and without any of them it fails to load.
#[test]
fn the_keys_of_the_default_file_are_the_fields_of_the_settings() {
    let layers = Layers::built_in().unwrap();
    assert!(layers.to_table().try_into::<Settings>().is_ok());
    for entry in layers.entries() {
        let mut table = layers.to_table();
        let section = entry
            .section()
            .split('.')
            .fold(&mut table, |table, section| table[section].as_table_mut().unwrap());
        section.remove(entry.name()).unwrap();
        assert!(table.try_into::<Settings>().is_err(), "{} is no field", entry.key);
    }
}

#[test]
fn every_key_of_the_default_file_is_explained() {
    let text = include_str!("../../../config/default.toml");
    let lines: Vec<_> = text.lines().collect();
    for (above, line) in lines.iter().zip(&lines[1..]) {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(above.starts_with("# "), "{line}");
        }
    }
}

#[rstest]
#[case::defaults("config/default.toml")]
#[case::redis("config/redis.toml")]
#[case::memcached("config/memcached.toml")]
#[case::tarantool("config/tarantool.toml")]
fn a_file_that_comes_with_the_service_loads(#[case] file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let settings = Settings::load(Some(&path), [], &[]).unwrap();
    assert_eq!(settings.store.attempts, 3);
    let has_one_store = ["config/default.toml", "config/tarantool.toml"].contains(&file);
    assert_eq!(settings.cache_url() == &settings.store.url, has_one_store);
}

#[test]
fn later_layers_win() {
    let file = || given().file("[limits]\nmax_in_flight = 2\nclient_ids = 2");
    let env = || file().env("SCORING_LIMITS__MAX_IN_FLIGHT", "3");

    assert_eq!(file().ok().limits.max_in_flight, 2);
    assert_eq!(env().ok().limits.max_in_flight, 3);
    assert_eq!(env().ok().limits.client_ids, 2);
    let flags = env().set("limits.max_in_flight=4").set("limits.max_in_flight=5");
    assert_eq!(flags.ok().limits.max_in_flight, 5);
}

#[test]
fn a_text_is_converted_to_the_type_of_the_default() {
    let settings = given()
        .env("SCORING_AUTH__SALT", "007")
        .env("SCORING_AUTH__ADMIN_SALT", "true")
        .env("SCORING_AUTH__ALLOW_PUBLIC_SALTS", "true")
        .set("limits.client_ids=7")
        .set("auth.admin_login=a=b")
        .ok();
    assert_eq!(settings.auth.salt.expose_secret(), "007");
    assert_eq!(settings.auth.admin_salt.expose_secret(), "true");
    assert!(settings.auth.allow_public_salts);
    assert_eq!(settings.limits.client_ids, 7);
    assert_eq!(settings.auth.admin_login, "a=b");
}

#[test]
fn a_key_of_a_nested_section_can_be_set_in_every_layer() {
    let section = given().file("[http.tls]\ncert = \"a\"\nkey = \"b\"");
    let dotted = given().file("[http]\ntls.cert = \"a\"\ntls.key = \"b\"");
    let environment = given().env("SCORING_HTTP__TLS__CERT", "a").env("SCORING_HTTP__TLS__KEY", "b");
    for given in [section, dotted, environment, given().set("http.tls.cert=a").set("http.tls.key=b")] {
        let tls = given.ok().http.tls;
        assert_eq!((tls.cert, tls.key), (Some("a".into()), Some("b".into())));
    }
    assert_eq!(given().file("[http.tls]").ok().http.tls.cert, None);
}

#[rstest]
#[case::as_text(given().set("trace.sample_ratio=0.25"), 0.25)]
#[case::as_whole_text(given().env("SCORING_TRACE__SAMPLE_RATIO", "0"), 0.0)]
#[case::as_float(given().file("[trace]\nsample_ratio = 0.25"), 0.25)]
#[case::as_integer(given().file("[trace]\nsample_ratio = 0"), 0.0)]
#[case::as_another_integer(given().file("[trace]\nsample_ratio = 1"), 1.0)]
fn a_share_can_be_written_as_any_number(#[case] given: Given, #[case] expected: f64) {
    assert_eq!(given.ok().trace.sample_ratio, expected);
}

#[rstest]
#[case::other_program("PATH", "/bin")]
#[case::kubernetes_port("SCORING_API_PORT", "tcp://10.0.0.1:8080")]
#[case::kubernetes_host("SCORING_API_SERVICE_HOST", "10.0.0.1")]
#[case::kubernetes_short_host("SCORING_SERVICE_HOST", "10.0.0.1")]
#[case::kubernetes_short_port("SCORING_PORT", "tcp://10.0.0.1:8080")]
#[case::kubernetes_named_port("SCORING_SERVICE_PORT_HTTP", "8080")]
#[case::kubernetes_link("SCORING_PORT_8080_TCP_ADDR", "10.0.0.1")]
#[case::kubernetes_store("SCORING_STORE_PORT_6379_TCP", "tcp://10.0.0.1:6379")]
#[case::token_of_call("SCORING_TOKEN", "hunter2")]
#[case::lower_case_prefix("scoring_store__url", "x")]
#[case::prefix_inside("MY_SCORING_STORE__URL", "x")]
fn a_variable_that_is_not_ours_is_left_alone(#[case] name: &str, #[case] value: &str) {
    given().env(name, value).ok();
}

/// Kubernetes derives a variable from the name of each service, by a fixed list of endings.
#[test]
fn no_service_link_of_kubernetes_looks_like_a_key() {
    const ENDINGS: [&str; 7] = ["_host", "_port", "_proto", "_addr", "_tcp", "_udp", "_sctp"];
    for entry in Layers::built_in().unwrap().entries() {
        let flat = entry.key.replace('.', "_");
        let looks_like_one = ENDINGS.iter().any(|ending| flat.ends_with(ending));
        assert!(!looks_like_one && !flat.contains("service_port_"), "{}", entry.key);
    }
}

#[rstest]
#[case::off("admin.bind=", None)]
#[case::on("admin.bind=127.0.0.1:0", Some("127.0.0.1:0"))]
fn an_empty_text_turns_the_admin_listener_off(#[case] assignment: &str, #[case] expected: Option<&str>) {
    let bind = given().set(assignment).ok().admin.bind;
    assert_eq!(bind, expected.map(|bind| bind.parse().unwrap()));
}

#[rstest]
#[case::pretty("log.format=pretty", Some(LogFormat::Pretty))]
#[case::json("log.format=json", Some(LogFormat::Json))]
#[case::by_terminal("log.format=", None)]
fn the_log_format_can_be_left_to_the_terminal(#[case] assignment: &str, #[case] expected: Option<LogFormat>) {
    assert_eq!(given().set(assignment).ok().log.format, expected);
}
