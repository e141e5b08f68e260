//! The store answers wrongly.

use std::time::{Duration, Instant};

use rstest::rstest;
use testkit::{ALL_IS_OK_WITHIN, Fault, Person, RespServer, Rule, SLACK, TestApp, WRITES, eventually};

use super::{on_resp, on_resp_without_haste, seeded};

#[rstest]
#[case::row_08_garbage(Fault::Garbage.into())]
#[case::row_08_huge_length(Fault::HugeLength(0).into())]
#[case::row_14_loading(Fault::loading())]
#[case::row_14_busy(Fault::busy())]
#[case::row_17_noauth(Fault::noauth())]
#[case::row_17_noperm(Fault::noperm())]
#[tokio::test]
async fn a_store_that_answers_no_read_degrades_the_service(#[case] fault: Rule) {
    let (store, app) = on_resp().await;
    store.set(fault);
    app.is_degraded().await;
    store.heal();
    app.recovers_within(5 * ALL_IS_OK_WITHIN).await;
}

#[tokio::test]
async fn row_14_connections_are_kept_while_the_store_is_loading() {
    let (store, app) = on_resp().await;
    let before = store.door.accepted();
    store.set(Fault::loading());
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
    assert_eq!(store.door.accepted(), before);
}

/// A new connection whose `PING` is refused is not used, and another one is made soon.
#[tokio::test]
async fn row_14_a_store_that_is_loading_when_the_service_starts() {
    let store = seeded();
    store.set(Fault::loading());
    let app = TestApp::on(&store.url()).await;
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

/// A reply that never ends is a connection lost, and not memory.
#[tokio::test]
async fn row_08_a_reply_without_an_end_is_not_read_to_its_end() {
    const MIB: u64 = 1 << 20;
    let (store, app) = on_resp().await;
    let before = store.door.accepted();
    store.set(Fault::HugeLength(400 * MIB).on_key("i:1").times(1));
    app.interests(&[1]).await;
    eventually(5 * ALL_IS_OK_WITHIN, "the connection is given up", async || store.door.accepted() > before)
        .await;
    // The sockets between hold some; the service reads nothing of a reply whose announced length exceeds the limit.
    let sent = store.filler_sent();
    assert!(sent < 64 * MIB, "{sent} bytes were taken");
    app.recovers().await;
}

/// Values are paired with ids by their places, so a reply of another length must be the answer to something else.
#[rstest]
#[case::too_few(b"*1\r\n$11\r\n[\"hockey\"] \r\n")]
#[case::too_many(b"*3\r\n$11\r\n[\"hockey\"] \r\n$-1\r\n$-1\r\n")]
#[case::no_array(b"+OK\r\n")]
#[tokio::test]
async fn a_reply_of_another_shape_is_never_taken_for_interests(#[case] reply: &'static [u8]) {
    let (store, app) = on_resp().await;
    store.set(Fault::Raw(reply).on_key("i:1"));
    app.interests_refused().await;
    app.scores_right().await;
    store.heal();
    app.recovers().await;
}

/// A wrong password is tried again, but slowly, and works as soon as it is right.
#[tokio::test]
async fn row_17_wrong_password() {
    let store = seeded();
    store.require_login("service", "right");
    let app = TestApp::on(&format!("redis://service:wrong@{}", store.addr())).await;
    app.is_degraded().await;
    assert_eq!(app.admin("/readyz").await.body["parts"]["persistent"]["last_error"], "denied");
    let attempts = store.seen("AUTH").len();
    assert!(attempts <= 24, "{attempts} attempts to log in");

    store.require_login("service", "wrong");
    app.recovers_within(Duration::from_secs(5 * u64::from(SLACK))).await;
}

#[tokio::test]
async fn row_09_replies_arrive_one_byte_at_a_time() {
    let (store, app) = on_resp().await;
    store.set(Fault::Slice);
    app.is_ok().await;
    assert_eq!(app.readiness().await, "ready");
}

#[rstest]
#[case::row_15_readonly(Fault::readonly())]
#[case::row_16_oom(Fault::oom())]
#[case::row_16_misconf(Fault::misconf())]
#[tokio::test]
async fn a_store_that_refuses_writes_goes_on_serving_reads(#[case] fault: Rule) {
    let (store, app) = on_resp().await;
    store.set(fault);
    app.is_ok().await;
    assert_eq!(app.readiness().await, "ready");
    store.heal();
    app.recovers().await;
}

/// Reads go on, so nothing else shows that scores are not cached any more.
#[rstest]
#[case::row_15_readonly(Fault::readonly(), "the server is read-only")]
#[case::row_16_oom(Fault::oom(), "writes are refused (OOM)")]
#[case::row_16_misconf(Fault::misconf(), "writes are refused (MISCONF)")]
#[case::a_user_without_the_right(Fault::Error("NOPERM no right").on(&["SET"]), "access refused (NOPERM)")]
#[tokio::test]
async fn refused_writes_are_a_state_in_readiness_and_metrics(#[case] fault: Rule, #[case] cause: &str) {
    let (store, app) = on_resp().await;
    let writes = async || app.admin("/readyz").await.body["parts"]["cache"]["writes"].clone();
    let refused = async || app.metric(r#"scoring_store_writes_refused{role="cache"}"#).await;
    cache_key(&app, &store, &Person::stranger()).await;
    eventually(ALL_IS_OK_WITHIN, "a write was accepted", async || writes().await["status"] == "accepted")
        .await;
    assert_eq!(refused().await, 0.0);
    store.set(fault);
    eventually(ALL_IS_OK_WITHIN, "a write was refused", async || {
        app.online_score(&Person::stranger()).await;
        writes().await["status"] == "refused"
    })
    .await;
    assert_eq!(writes().await["cause"], cause);
    assert_eq!(refused().await, 1.0);
    store.heal();
    eventually(20 * ALL_IS_OK_WITHIN, "writes are accepted again", async || {
        app.online_score(&Person::stranger()).await;
        writes().await["status"] == "accepted"
    })
    .await;
    assert_eq!(refused().await, 0.0);
}

#[rstest]
#[case::row_16_oom(Fault::oom())]
#[case::row_16_misconf(Fault::misconf())]
#[tokio::test]
async fn rejected_writes_are_dropped_and_counted_on_the_connection(#[case] fault: Rule) {
    let (store, app) = on_resp().await;
    // Writes have a connection of their own, which readiness does not wait for.
    cache_key(&app, &store, &Person::stranger()).await;
    let (accepted, refused) = (store.door.accepted(), refused_writes(&app).await);
    store.set(fault);
    store.forget();
    for _ in 0..10 {
        let person = Person::stranger();
        assert_eq!(app.online_score(&person).await.score(), person.score());
    }
    eventually(ALL_IS_OK_WITHIN, "each refused write is counted", async || {
        refused_writes(&app).await - refused == 10.0
    })
    .await;
    assert_eq!(store.seen("SET").len(), 10, "a write that was refused must not be sent again");
    assert_eq!(store.door.accepted(), accepted);
}

async fn refused_writes(app: &TestApp) -> f64 {
    app.metric(r#"scoring_store_operations_total{op="set",outcome="writes_refused",role="cache"}"#).await
}

/// It refuses even the `PING` at the log-in.
#[tokio::test]
async fn row_16_a_store_that_cannot_save_at_the_start_serves_reads() {
    let store = seeded();
    store.set(Fault::misconf());
    let app = TestApp::on(&store.url()).await;
    app.recovers().await;
}

/// The address may lead to the new primary by now, so a new connection is made, but not over and over.
#[tokio::test]
async fn row_15_a_replica_is_left_for_a_freshly_resolved_address() {
    let (store, app) = on_resp().await;
    let before = store.door.accepted();
    store.set(Fault::readonly());
    eventually(ALL_IS_OK_WITHIN, "a new connection is made", async || {
        app.scores_right().await;
        store.door.accepted() > before
    })
    .await;
    let (begun, before) = (Instant::now(), store.door.accepted());
    app.is_ok().await;
    let most = 1 + begun.elapsed().as_secs() as usize;
    assert!(store.door.accepted() - before <= most, "more than one a second");
    assert_eq!(app.readiness().await, "ready");
    store.heal();
    app.recovers().await;
}

/// The store delays writes, and with them everything behind a write on the same connection.
#[tokio::test]
async fn row_23_a_caller_never_waits_for_a_cache_write() {
    let (store, app) = on_resp().await;
    let degraded = async || app.metric(r#"scoring_cache_lookups_total{result="degraded"}"#).await;
    let before = degraded().await;
    store.set(Fault::Stall.on(WRITES));
    let stalled = Instant::now();
    while stalled.elapsed() < Duration::from_secs(2) {
        app.scores_right().await;
        app.interests_right().await;
        assert_eq!(app.readiness().await, "ready");
    }
    assert_eq!(degraded().await, before, "a look-up waited behind a write");
    let dropped =
        app.metric(r#"scoring_store_operations_total{op="set",outcome="timed_out",role="cache"}"#).await;
    assert!(dropped > 0.0, "dropped writes must be counted");

    store.heal();
    store.forget();
    eventually(ALL_IS_OK_WITHIN, "scores are cached again", async || {
        app.scores_right().await;
        !store.seen("SET").is_empty()
    })
    .await;
}

#[tokio::test]
async fn row_19_another_type_is_a_cache_miss_and_a_500_for_interests() {
    let (store, app) = on_resp().await;
    store.put_wrong_type("i:7");
    let person = Person::full();
    let key = cache_key(&app, &store, &person).await;
    store.put_wrong_type(&key);
    assert_eq!(app.online_score(&person).await.score(), 5.0);

    store.forget();
    for ids in [&[7][..], &[1, 7], &[8, 7, 1]] {
        let reply = app.interests(ids).await;
        assert_eq!((reply.status, reply.error()), (500, "Internal Server Error"), "{ids:?}");
    }
    assert_eq!(asked_for(&store, "i:7"), 3, "a bad value must not be asked for again");
    // Many more than would open the breaker, had they been held against the store.
    for _ in 0..20 {
        assert_eq!(app.interests(&[7]).await.status, 500);
    }
    app.interests_right().await;
    assert_eq!(app.readiness().await, "ready");
}

#[rstest]
#[case::broken_json("[\"books\"")]
#[case::no_json("books")]
#[case::no_list(r#"{"books": 1}"#)]
#[case::no_strings("[1, 2]")]
#[case::null("null")]
#[case::empty("")]
#[tokio::test]
async fn row_20_interests_that_are_not_a_list_of_strings_are_a_500(#[case] value: &str) {
    let (store, app) = on_resp().await;
    store.put("i:7", value);
    store.forget();
    let reply = app.interests(&[1, 7]).await;
    assert_eq!((reply.status, reply.error()), (500, "Internal Server Error"));
    assert_eq!(asked_for(&store, "i:7"), 1, "a bad value must not be asked for again");
    app.interests_right().await;
    assert_eq!(app.readiness().await, "ready");
}

#[rstest]
#[case::not_a_number("NaN")]
#[case::infinite("inf")]
#[case::overflowing("1e999")]
#[case::negative("-1")]
#[case::text("five")]
#[case::empty("")]
#[case::binary("\u{0}\u{1}")]
#[tokio::test]
async fn row_20_a_cached_value_that_is_not_a_score_is_recomputed(#[case] value: &str) {
    let (store, app) = on_resp().await;
    let person = Person::full();
    let key = cache_key(&app, &store, &person).await;
    store.put(&key, value);
    assert_eq!(app.online_score(&person).await.score(), 5.0);
    eventually(ALL_IS_OK_WITHIN, "the cached value is overwritten", async || {
        store.stored(&key).is_some_and(|value| value == b"5" || value == b"5.0")
    })
    .await;
}

#[tokio::test]
async fn a_score_comes_from_the_cache_even_if_it_is_0() {
    let (store, app) = on_resp().await;
    let person = Person::full();
    let key = cache_key(&app, &store, &person).await;
    store.put(&key, "0");
    assert_eq!(app.online_score(&person).await.score(), 0.0);
}

#[tokio::test]
async fn a_score_is_cached_for_an_hour() {
    let (store, app) = on_resp().await;
    let key = cache_key(&app, &store, &Person::full()).await;
    let set = store.seen("SET").into_iter().find(|command| command.args[0] == key).unwrap();
    assert_eq!(set.args[2..], ["PX", "3600000"]);
}

#[tokio::test]
async fn any_number_of_ids_is_read_in_one_round_trip() {
    let (store, app) = on_resp_without_haste().await;
    store.forget();
    let ids: Vec<_> = (0..10_000).collect();
    let reply = app.interests(&ids).await;
    assert_eq!(reply.response().as_object().unwrap().len(), 10_000);
    let reads: Vec<_> = store.seen("MGET").into_iter().filter(|command| command.args.len() > 1).collect();
    assert_eq!(reads.len(), 1);
    assert_eq!(reads[0].args.len(), 10_000);
}

/// The key under which the person's score is cached, once it is.
async fn cache_key(app: &TestApp, store: &RespServer, person: &Person) -> String {
    store.forget();
    assert_eq!(app.online_score(person).await.score(), person.score());
    // By the looked-up key: writes of earlier calls may still be in flight, and a probe may look up its own key.
    let looked_up = store.seen("MGET").into_iter().flat_map(|command| command.args);
    let mut of_scores = looked_up.filter(|key| key.starts_with("uid:"));
    let key = of_scores.find(|key| key != "uid:probe").expect("the call has looked its score up");
    eventually(ALL_IS_OK_WITHIN, "the score is cached", async || store.stored(&key).is_some()).await;
    key
}

/// How often `key` was read together with others or alone, not counting the look that tells a wrong type from nothing.
fn asked_for(store: &RespServer, key: &str) -> usize {
    store.seen("MGET").iter().filter(|command| command.args.iter().any(|asked| asked == key)).count()
}
