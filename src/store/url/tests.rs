use proptest::prelude::*;
use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;

fn redis(text: &str) -> RedisTarget {
    match text.parse() {
        Ok(StoreUrl::Redis(target)) => target,
        other => panic!("{text} is {other:?}"),
    }
}

#[rstest]
#[case::embedded("embedded:data/scoring.redb", "embedded:data/scoring.redb")]
#[case::embedded_absolute("embedded:/var/lib/s.redb", "embedded:/var/lib/s.redb")]
#[case::memory("memory:", "memory:")]
#[case::host("redis://cache", "redis://cache:6379/0")]
#[case::slash("redis://cache/", "redis://cache:6379/0")]
#[case::ipv4("redis://10.0.0.1:7000/5", "redis://10.0.0.1:7000/5")]
#[case::ipv6("redis://[::1]", "redis://[::1]:6379/0")]
#[case::password("redis://:hunter2@cache/1", "redis://:***@cache:6379/1")]
#[case::user_and_password("redis://app:hunter2@cache", "redis://app:***@cache:6379/0")]
#[case::user("redis://app@cache", "redis://app@cache:6379/0")]
#[case::tls("rediss://:hunter2@cache/1", "rediss://:***@cache:6379/1")]
#[case::sentinel("redis+sentinel://a/scores", "redis+sentinel://a:26379/scores/0")]
#[case::sentinels(
    "rediss+sentinel://u:hunter2@a:1,[::1]/scores/3",
    "rediss+sentinel://u:***@a:1,[::1]:26379/scores/3"
)]
#[case::cluster("redis+cluster://a", "redis+cluster://a:6379")]
#[case::cluster_database("redis+cluster://a/0", "redis+cluster://a:6379")]
#[case::cluster_slash("redis+cluster://a/", "redis+cluster://a:6379")]
#[case::cluster_nodes(
    "rediss+cluster://u:hunter2@a:1,[::1],b",
    "rediss+cluster://u:***@a:1,[::1]:6379,b:6379"
)]
#[case::unix("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock?db=0")]
#[case::unix_database("redis+unix:///run/redis.sock?db=3", "redis+unix:///run/redis.sock?db=3")]
#[case::unix_login("redis+unix://a:hunter2@/r.sock", "redis+unix://a:***@/r.sock?db=0")]
#[case::odd_user("redis://a%40b%2fc+d:hunter2@cache", "redis://a%40b%2Fc%2Bd:***@cache:6379/0")]
#[case::odd_path("redis+unix:///my%20redis.sock", "redis+unix:///my%20redis.sock?db=0")]
#[case::unix_password("redis+unix://:hunter2@/r.sock", "redis+unix://:***@/r.sock?db=0")]
fn a_url_is_shown_without_its_password(#[case] given: &str, #[case] shown: &str) {
    let url: StoreUrl = given.parse().unwrap();
    assert_eq!(url.to_string(), shown);
    assert!(!format!("{url:?}").contains("hunter2"));
}

#[rstest]
#[case::nothing("", StoreUrlError::UnknownScheme)]
#[case::no_scheme("localhost/hunter2", StoreUrlError::UnknownScheme)]
#[case::unknown("mysql://hunter2", StoreUrlError::UnknownScheme)]
#[case::upper_case("REDIS://hunter2", StoreUrlError::UnknownScheme)]
#[case::cluster_without_a_host("redis+cluster://", StoreUrlError::RedisCluster)]
#[case::cluster_with_one_slash("redis+cluster:/a", StoreUrlError::RedisCluster)]
#[case::cluster_with_an_empty_host("redis+cluster://a,,b", StoreUrlError::RedisCluster)]
#[case::cluster_with_two_log_ins("redis+cluster://x:hunter2@a,y:hunter2@b", StoreUrlError::RedisCluster)]
#[case::cluster_port("redis+cluster://a:0", StoreUrlError::RedisCluster)]
#[case::cluster_database("redis+cluster://a/1", StoreUrlError::ClusterDatabase)]
#[case::cluster_database_that_is_none("redis+cluster://a/x", StoreUrlError::Database)]
#[case::cluster_query("rediss+cluster://a?x=1", StoreUrlError::RedisCluster)]
#[case::sentinel_without_a_name("redis+sentinel://a", StoreUrlError::RedisSentinel)]
#[case::sentinel_with_an_empty_name("redis+sentinel://a/", StoreUrlError::RedisSentinel)]
#[case::sentinel_with_an_odd_name("redis+sentinel://a/b%20c", StoreUrlError::RedisSentinel)]
#[case::sentinel_with_an_empty_host("redis+sentinel://a,/b", StoreUrlError::RedisSentinel)]
#[case::sentinel_with_two_log_ins("redis+sentinel://x:hunter2@a,y:hunter2@b/c", StoreUrlError::RedisSentinel)]
#[case::sentinel_port("redis+sentinel://a:0/b", StoreUrlError::RedisSentinel)]
#[case::sentinel_database("redis+sentinel://a/b/c", StoreUrlError::Database)]
#[case::sentinel_query("redis+sentinel://a/b?db=1", StoreUrlError::RedisSentinel)]
#[case::no_path("embedded:", StoreUrlError::EmbeddedPath)]
#[case::path_like_a_host("embedded://data/s.redb", StoreUrlError::EmbeddedPath)]
#[case::memory_with_a_name("memory:hunter2", StoreUrlError::MemoryArgument)]
#[case::one_slash("redis:/cache", StoreUrlError::Redis)]
#[case::no_host("redis://", StoreUrlError::Redis)]
#[case::only_a_port("redis://:6379", StoreUrlError::Redis)]
#[case::port_zero("redis://cache:0", StoreUrlError::Redis)]
#[case::port_too_large("redis://cache:65536", StoreUrlError::Redis)]
#[case::bare_hash_in_password("redis://:hun#ter2@cache", StoreUrlError::Redis)]
#[case::bare_slash_in_password("redis://:hun/ter2@cache", StoreUrlError::Redis)]
#[case::odd_host("redis://ca%20che", StoreUrlError::Redis)]
#[case::two_segments("redis://cache/0/1", StoreUrlError::Database)]
#[case::two_slashes("redis://cache//1", StoreUrlError::Redis)]
#[case::query("redis://cache?db=1", StoreUrlError::Redis)]
#[case::fragment("redis://cache/1#hunter2", StoreUrlError::Redis)]
#[case::negative_database("redis://cache/-1", StoreUrlError::Database)]
#[case::signed_database("redis://cache/+1", StoreUrlError::Database)]
#[case::huge_database("redis://cache/9223372036854775808", StoreUrlError::Database)]
#[case::blank("redis://cache ", StoreUrlError::Blank)]
#[case::line_feed("redis://:hunter2\n@cache", StoreUrlError::Blank)]
#[case::bad_code("redis://:hunter%zz@cache", StoreUrlError::Encoding)]
#[case::cut_code("redis://:hunter%2@cache", StoreUrlError::Encoding)]
#[case::not_utf8("redis://:%ff@cache", StoreUrlError::Encoding)]
#[case::unix_host("redis+unix://host/run/redis.sock", StoreUrlError::RedisUnix)]
#[case::unix_no_path("redis+unix://", StoreUrlError::RedisUnix)]
#[case::unix_folder("redis+unix:///run/", StoreUrlError::RedisUnix)]
#[case::unix_other_query("redis+unix:///r.sock?pass=hunter2", StoreUrlError::RedisUnix)]
#[case::unix_second_query("redis+unix:///r.sock?db=1&x=2", StoreUrlError::Database)]
#[case::unix_empty_database("redis+unix:///r.sock?db=", StoreUrlError::Database)]
fn a_bad_url_is_refused_without_repeating_it(#[case] given: &str, #[case] expected: StoreUrlError) {
    let refused = given.parse::<StoreUrl>().unwrap_err();
    assert_eq!(refused, expected);
    assert!(!refused.to_string().contains("hunter2"));
}

#[test]
fn a_login_is_decoded() {
    let target = redis("redis://us%40er:p%2Fa%3As%C3%A9+@cache");
    assert_eq!(target.username.as_deref(), Some("us@er"));
    let Some(Password::Given(password)) = target.password else { panic!("{target:?}") };
    assert_eq!(password.expose_secret(), "p/a:sé+");
}

#[test]
fn a_socket_path_is_decoded() {
    let target = redis("redis+unix:///run/my%20redis.sock");
    assert_eq!(target.address, RedisAddress::Unix("/run/my redis.sock".into()));
}

#[rstest]
#[case::defaults_spelled_out("redis://cache", "redis://cache:6379/0", true)]
#[case::encoding("redis://:%61@cache", "redis://:a@cache", true)]
#[case::database("redis://cache/1", "redis://cache/0", false)]
#[case::password("redis://:a@cache", "redis://:b@cache", false)]
#[case::user("redis://a:x@cache", "redis://b:x@cache", false)]
#[case::host("redis://a", "redis://b", false)]
#[case::tls("redis://a", "rediss://a", false)]
fn urls_of_the_same_place_are_equal(#[case] one: &str, #[case] other: &str, #[case] equal: bool) {
    assert_eq!(redis(one) == redis(other), equal);
}

#[rstest]
#[case::redis("redis://app@cache", Ok("redis://app:***@cache:6379/0"))]
#[case::redis_with_its_own("redis://:a@cache", Err(StoreUrlError::PasswordTwice))]
#[case::embedded("embedded:a", Err(StoreUrlError::NoPasswordTaken))]
#[case::memory("memory:", Err(StoreUrlError::NoPasswordTaken))]
fn a_password_fits_redis_only(#[case] url: &str, #[case] expected: Result<&str, StoreUrlError>) {
    let filled = url.parse::<StoreUrl>().unwrap().with_password_file("password".into());
    assert_eq!(filled.map(|url| url.to_string()), expected.map(str::to_owned));
}

#[rstest]
#[case::tls("rediss://cache", Ok(()))]
#[case::in_the_clear("redis://cache", Err(StoreUrlError::NoTls))]
#[case::unix("redis+unix:///r.sock", Err(StoreUrlError::NoTls))]
#[case::embedded("embedded:a", Err(StoreUrlError::NoTls))]
fn certificates_fit_tls_only(#[case] url: &str, #[case] expected: Result<(), StoreUrlError>) {
    let tls = TlsTarget { ca: Some("ca.pem".into()), ..TlsTarget::default() };
    let filled = url.parse::<StoreUrl>().unwrap().with_tls(tls.clone());
    let held = filled.map(|url| matches!(url, StoreUrl::Redis(target) if target.tls == Some(tls)));
    assert_eq!(held, expected.map(|()| true));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_a_shown_url_is_valid(text in prop_oneof![
        "\\PC*",
        "rediss?\\+cluster://(\\PC{0,9}:\\PC{0,9}@)?[a-z.:0-9]{1,9}(,[a-z.:]{1,9}){0,2}(/[0-9])?",
        "rediss?\\+sentinel://(\\PC{0,9}:\\PC{0,9}@)?[a-z.:0-9]{1,9}(,[a-z.:]{1,9}){0,2}/[a-z]{1,5}(/[0-9])?",
        "(rediss?|redis\\+unix|embedded|memory):/{0,3}[^x]{0,40}",
        "rediss?://[^/?#]{0,9}(:[^/?#]{0,9})?@[a-z.:]{1,9}(/[0-9]{1,3})?",
        "redis\\+unix://(\\PC{0,9}:\\PC{0,9}@)?(/[^/?#]{1,9}){1,3}(\\?db=[0-9])?",
    ]) {
        if let Ok(mut url) = text.parse::<StoreUrl>() {
            let shown: StoreUrl = url.to_string().parse().unwrap();
            if let StoreUrl::Redis(target) = &mut url {
                target.password = target.password.take().map(|_| Password::Given("***".into()));
            }
            prop_assert_eq!(shown, url);
        }
    }
}

#[rstest]
#[case::memcached("memcached://cache", "memcached://cache:11211")]
#[case::memcached_slash("memcached://cache/", "memcached://cache:11211")]
#[case::memcached_servers("memcached://a:1,[::1],b", "memcached://a:1,[::1]:11211,b:11211")]
#[case::tarantool("tarantool://app:hunter2@db", "tarantool://app:***@db:3301/scoring")]
#[case::tarantool_module("tarantool://app:hunter2@db:1/ratings_2", "tarantool://app:***@db:1/ratings_2")]
#[case::tarantool_without_a_password("tarantool://app@db/", "tarantool://app@db:3301/scoring")]
fn a_url_of_another_server_is_shown_without_its_password(#[case] given: &str, #[case] shown: &str) {
    a_url_is_shown_without_its_password(given, shown);
}

#[rstest]
#[case::memcached_without_slashes("memcached:hunter2", StoreUrlError::Memcached)]
#[case::memcached_without_a_host("memcached://", StoreUrlError::Memcached)]
#[case::memcached_user("memcached://x:hunter2@a", StoreUrlError::Memcached)]
#[case::memcached_twice("memcached://a,b,a", StoreUrlError::Memcached)]
#[case::memcached_path("memcached://a/hunter2", StoreUrlError::Memcached)]
#[case::memcached_port("memcached://a:0", StoreUrlError::Memcached)]
#[case::memcached_blank("memcached://a, b", StoreUrlError::Blank)]
#[case::tarantool_without_a_user("tarantool://db", StoreUrlError::Tarantool)]
#[case::tarantool_password_alone("tarantool://:hunter2@db", StoreUrlError::Tarantool)]
#[case::tarantool_hosts("tarantool://x:hunter2@a,b", StoreUrlError::Tarantool)]
#[case::tarantool_module("tarantool://x:hunter2@a/b-c", StoreUrlError::Tarantool)]
#[case::tarantool_module_with_a_digit_first("tarantool://x:hunter2@a/1", StoreUrlError::Tarantool)]
#[case::tarantool_path("tarantool://x:hunter2@a/b/c", StoreUrlError::Tarantool)]
#[case::tarantool_query("tarantool://x:hunter2@a/b?c=d", StoreUrlError::Tarantool)]
#[case::tarantool_encoding("tarantool://x:%zz@a", StoreUrlError::Encoding)]
fn a_bad_url_of_another_server_is_refused(#[case] given: &str, #[case] error: StoreUrlError) {
    assert_eq!(given.parse::<StoreUrl>(), Err(error));
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn only_tarantool_of_these_takes_a_password_file() {
    let with_file = |url: &str| url.parse::<StoreUrl>().unwrap().with_password_file("p".into());
    let StoreUrl::Tarantool(target) = with_file("tarantool://app@db").unwrap() else { unreachable!() };
    assert_eq!(target.password, Some(Password::File("p".into())));
    assert_eq!(with_file("tarantool://app:x@db"), Err(StoreUrlError::PasswordTwice));
    assert_eq!(with_file("memcached://a"), Err(StoreUrlError::NoPasswordTaken));
    assert!("tarantool://app@db".parse::<StoreUrl>().unwrap().lacks_password());
}
