//! Real Redis servers, one for each test that breaks it: killed, stopped, blocked and filled with nonsense.

mod cards;
mod cluster;
mod errors;
mod instances;
mod log_in;
mod questions;
mod sentinel;
mod stores;
mod tls;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::{Config as ProptestConfig, RngSeed, TestRunner},
};
use rstest::rstest;
use testkit::{ALL_IS_OK_WITHIN, Load, Person, RedisServer, SCORE_BOUND, Stopwatch, TestApp, eventually};
use tokio::task::LocalSet;

use crate::{
    emulation::interleavings::{Upset, any_step, entries, take},
    functional::official::{IDS, all_cases_hold},
};

async fn seeded() -> RedisServer {
    let redis = RedisServer::start().await;
    seed(&redis).await;
    redis
}

async fn seed(redis: &RedisServer) {
    for (key, value) in TestApp::seeds() {
        redis.command::<()>(&["SET", key, value]).await;
    }
}

async fn app_on(url: &str) -> Arc<TestApp> {
    let app = Arc::new(TestApp::on(url).await);
    app.recovers().await;
    app
}

#[rstest]
#[case::over_tcp(false)]
#[case::over_a_unix_socket(true)]
#[tokio::test]
async fn every_official_case_holds_on_redis(#[case] unix: bool) {
    let redis = RedisServer::start().await;
    for id in IDS {
        redis.command::<()>(&["SET", &format!("i:{id}"), r#"["books"]"#]).await;
    }
    let url = if unix { format!("redis+unix://{}", redis.socket().display()) } else { redis.url() };
    let app = TestApp::on(&url).await;
    all_cases_hold(&app).await;
}

#[tokio::test]
async fn user_password_and_database_are_used() {
    let redis = RedisServer::start().await;
    redis.command::<()>(&["ACL", "SETUSER", "scores", "on", ">p@ss/word", "~*", "+@all"]).await;
    redis.command::<()>(&["ACL", "SETUSER", "default", "on", "nopass", "~*", "+@all"]).await;
    let url = format!("redis://scores:p%40ss%2Fword@{}/3", redis.addr());
    let app = TestApp::on(&url).await;
    eventually(ALL_IS_OK_WITHIN, "the store is up", async || app.readiness().await == "ready").await;
    app.scores_right().await;
    eventually(ALL_IS_OK_WITHIN, "the score is cached in database 3", async || {
        redis.command::<String>(&["INFO", "keyspace"]).await.contains("db3:keys=1")
    })
    .await;
    assert!(redis.command::<String>(&["CLIENT", "LIST"]).await.contains("user=scores"));
}

#[tokio::test]
async fn row_01_store_down_when_the_service_starts() {
    let redis = seeded().await;
    redis.kill9();
    let app = TestApp::on(&redis.url()).await;
    app.is_degraded().await;
    redis.restart().await;
    seed(&redis).await;
    app.recovers().await;
}

#[tokio::test]
async fn row_02_store_killed_in_the_middle_of_requests() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let load = Load::start(&app, 8);
    redis.kill9();
    app.is_degraded().await;
    redis.restart().await;
    seed(&redis).await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
    app.recovers().await;
}

#[tokio::test]
async fn row_03_store_stopped() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let load = Load::start(&app, 8);
    redis.sigstop();
    app.is_degraded().await;
    redis.sigcont();
    app.recovers().await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
}

#[tokio::test]
async fn row_03_store_blocked_by_a_slow_script() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let script = "local t = redis.call('TIME'); local e = t[1] + 3; repeat t = redis.call('TIME') until tonumber(t[1]) >= e";
    let eval = ["EVAL", script, "0"];
    let (blocked, ()) = tokio::join!(redis.command::<Option<String>>(&eval), app.is_degraded());
    assert_eq!(blocked, None);
    app.recovers().await;
}

#[tokio::test]
async fn row_17_password_required_from_now_on() {
    let redis = RedisServer::with(&["--requirepass", "secret"]).await;
    let app = TestApp::on(&redis.url()).await;
    app.is_degraded().await;
}

#[tokio::test]
async fn row_19_a_key_of_another_type() {
    let redis = seeded().await;
    redis.command::<i64>(&["LPUSH", "i:7", "books"]).await;
    let app = app_on(&redis.url()).await;
    for ids in [&[7][..], &[1, 7], &[8, 7]] {
        let reply = app.interests(ids).await;
        assert_eq!((reply.status, reply.error()), (500, "Internal Server Error"));
    }
    app.is_ok().await;
}

#[tokio::test]
async fn row_20_a_cached_value_that_is_not_a_score_is_overwritten() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let person = Person::full();
    let cached = async || redis.command::<BTreeSet<String>>(&["KEYS", "uid:*"]).await;
    let before = cached().await;
    app.online_score(&person).await.score();
    eventually(ALL_IS_OK_WITHIN, "the score is cached", async || cached().await.len() > before.len()).await;
    let key = cached().await.difference(&before).next().unwrap().clone();
    for nonsense in ["NaN", "-1", "five", ""] {
        redis.command::<()>(&["SET", &key, nonsense]).await;
        assert_eq!(app.online_score(&person).await.score(), 5.0);
        eventually(ALL_IS_OK_WITHIN, "it is overwritten", async || {
            redis.command::<String>(&["GET", &key]).await.starts_with('5')
        })
        .await;
    }
    let ttl: i64 = redis.command(&["PTTL", &key]).await;
    assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl} ms");
}

#[tokio::test]
async fn row_21_connections_killed_all_the_time() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let load = Load::start(&app, 4);
    let lasts = Stopwatch::start();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..20 {
        pace.tick().await;
        redis.client_kill().await;
    }
    let tally = load.end().await;
    // On a starved machine a new connection lasts for less than a call takes.
    assert!(tally.refused_interests * 100 <= tally.interests || lasts.is_starved(), "{tally:?}");
}

#[tokio::test]
async fn row_22_connection_dropped_while_idle() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    for _ in 0..5 {
        redis.client_kill().await;
        app.interests_right().await;
        app.scores_right().await;
    }
}

/// Twenty rounds of the emulation tier's random faults.
#[tokio::test]
async fn row_27_every_answer_belongs_to_its_own_question() {
    let redis = RedisServer::start().await;
    let pairs: Vec<_> = entries().flat_map(|(key, value)| [key, value]).collect();
    let words: Vec<_> = ["MSET"].into_iter().chain(pairs.iter().map(String::as_str)).collect();
    redis.command::<()>(&words).await;
    let mut answers = 0;
    for seed in 0..20 {
        let config = ProptestConfig { rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::default() };
        let steps = proptest::collection::vec(any_step(), 50..300)
            .new_tree(&mut TestRunner::new(config))
            .unwrap()
            .current();
        let upset = async |what| match what {
            Upset::Late(ms) => redis.client_pause(Duration::from_millis(ms), "ALL").await,
            Upset::Cut => _ = redis.client_kill().await,
            Upset::Twice(_) => {}
        };
        answers += LocalSet::new().run_until(take(&redis.url(), steps, upset)).await;
    }
    assert!(answers > 0, "nothing could be checked");
}

#[tokio::test]
async fn row_23_a_caller_never_waits_for_a_cache_write() {
    let redis = seeded().await;
    let app = app_on(&redis.url()).await;
    let degraded = async || app.metric(r#"scoring_cache_lookups_total{result="degraded"}"#).await;
    let before = degraded().await;
    redis.client_pause(Duration::from_secs(3), "WRITE").await;
    let paused = Instant::now();
    while paused.elapsed() < Duration::from_secs(2) {
        app.scores_right().await;
        app.interests_right().await;
        assert_eq!(app.readiness().await, "ready");
    }
    assert_eq!(degraded().await, before, "a look-up waited behind a write");

    redis.command::<()>(&["CLIENT", "UNPAUSE"]).await;
    let written =
        async || app.metric(r#"scoring_store_operations_total{op="set",outcome="ok",role="cache"}"#).await;
    let before = written().await;
    eventually(ALL_IS_OK_WITHIN, "scores are cached again", async || {
        app.scores_right().await;
        written().await > before
    })
    .await;
}
