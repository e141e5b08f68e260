//! The connection is refused, lost, silent or slow.

use std::time::Duration;

use rstest::rstest;
use testkit::{ALL_IS_OK_WITHIN, Conditions, Fault, Load, READS, SCORE_BOUND, TestApp, eventually};
use tokio::time::Instant;

use super::{behind_proxy, on_resp, seeded};

#[tokio::test]
async fn row_01_store_down_when_the_service_starts() {
    let store = seeded();
    store.door.shut();
    let app = TestApp::on(&store.url()).await;
    app.is_degraded().await;
    store.door.open();
    app.recovers().await;
}

#[tokio::test]
async fn row_04_store_accepts_connections_and_never_answers() {
    let (store, app) = on_resp().await;
    store.set(Fault::Stall);
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

#[tokio::test]
async fn row_04_store_has_never_answered() {
    let store = seeded();
    store.set(Fault::Stall);
    let app = TestApp::on(&store.url()).await;
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

/// The old connection is dead without a sign; new ones work. Nothing heals it: the service helps itself.
#[tokio::test]
async fn row_05_half_open_connection_is_rebuilt() {
    let (store, app) = on_resp().await;
    let before = store.door.accepted();
    store.freeze_existing();
    app.scores_right().await;
    eventually(ALL_IS_OK_WITHIN, "interests are answered over a new connection", async || {
        app.interests(&[1]).await.status == 200
    })
    .await;
    assert!(store.door.accepted() > before);
    app.recovers().await;
}

#[tokio::test]
async fn row_05_half_open_connection_is_rebuilt_while_idle() {
    let (store, app) = on_resp().await;
    let before = store.door.accepted();
    store.freeze_existing();
    eventually(ALL_IS_OK_WITHIN, "both roles have new connections", async || {
        store.door.accepted() >= before + 2
    })
    .await;
    app.recovers().await;
}

#[tokio::test]
async fn row_06_connect_goes_nowhere() {
    let (store, app) = on_resp().await;
    store.door.clog();
    store.door.drop_existing();
    app.is_degraded().await;
    // The kernel would go on trying for minutes.
    eventually(ALL_IS_OK_WITHIN, "connects are given up", async || {
        app.metric(r#"scoring_store_operations_total{op="connect",outcome="timed_out",role="persistent"}"#)
            .await
            >= 2.0
    })
    .await;
    store.door.open();
    app.recovers().await;
}

#[tokio::test]
async fn row_07_cut_off_in_the_middle_of_a_reply_is_retried_once() {
    let (store, app) = on_resp().await;
    store.forget();
    store.set(Fault::CutMidReply(5).on_key("i:1").times(1));
    app.interests_right().await;
    let asked = store.seen("MGET").into_iter().filter(|command| command.args == ["i:1", "i:2"]);
    assert_eq!(asked.count(), 2);
    app.scores_right().await;
    app.recovers().await;
}

#[tokio::test]
async fn row_07_store_that_always_cuts_its_replies_off() {
    let (store, app) = on_resp().await;
    store.set(Fault::CutMidReply(3).on(READS));
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

#[tokio::test]
async fn row_11_latency_of_100_ms_costs_the_cache_and_nothing_else() {
    let (_store, proxy, app) = behind_proxy().await;
    proxy.set(Conditions { latency: Duration::from_millis(50), ..Conditions::default() });
    let before = lookups(&app).await;
    for _ in 0..10 {
        app.scores_right().await;
        app.interests_right().await;
    }
    let after = lookups(&app).await;
    assert_eq!(after, Lookups { degraded: before.degraded + 10.0, ..before }, "the cache was waited for");
    proxy.heal();
    app.recovers().await;
}

/// Only probes are sent meanwhile. Then calls with few and many clients, of whom one has no interests.
#[tokio::test]
async fn row_11_latency_of_100_ms_is_no_outage_to_an_idle_service() {
    let (_store, proxy, app) = behind_proxy().await;
    proxy.set(Conditions { latency: Duration::from_millis(50), ..Conditions::default() });
    tokio::time::sleep(Duration::from_secs(3)).await;
    app.interests_right().await;
    for last in [1_000, 1_100] {
        let ids: Vec<i64> = (1_000..=last).collect();
        assert_eq!(app.interests(&ids).await.status, 200, "{} clients", ids.len());
    }
}

#[tokio::test]
async fn row_12_latency_of_seconds() {
    let (_store, proxy, app) = behind_proxy().await;
    proxy.set(Conditions { latency: Duration::from_secs(1), ..Conditions::default() });
    app.is_degraded().await;
    proxy.heal();
    app.recovers().await;
}

#[tokio::test]
async fn row_22_connection_dropped_while_idle() {
    let (store, app) = on_resp().await;
    for _ in 0..5 {
        let before = store.door.accepted();
        store.drop_connections();
        app.interests_right().await;
        app.scores_right().await;
        eventually(ALL_IS_OK_WITHIN, "both roles are connected again", async || {
            store.door.accepted() >= before + 2
        })
        .await;
    }
}

/// How the cache's look-ups have ended so far.
#[derive(Debug, PartialEq)]
struct Lookups {
    answered: f64,
    degraded: f64,
}

async fn lookups(app: &TestApp) -> Lookups {
    let of = async |result| app.metric(&format!("scoring_cache_lookups_total{{result=\"{result}\"}}")).await;
    Lookups { answered: of("hit").await + of("miss").await, degraded: of("degraded").await }
}

/// The store takes connections and cuts them again, over and over: scores are right all the while, and a breaker changes
/// its state twice a second at most. The cache has one; the gauge of persistent reads shows two at once.
#[rstest]
#[case::ten_times_a_second(Duration::from_millis(100))]
#[case::as_slowly_as_it_takes_to_notice(Duration::from_millis(300))]
#[tokio::test]
async fn row_10_refused_and_accepted_in_turn(#[case] period: Duration) {
    let (store, app) = on_resp().await;
    let load = Load::start(&app, 4);
    store.door.flap(period);
    let begun = Instant::now();
    let (mut changes, mut last, mut looked) = (Vec::new(), 0.0, begun.elapsed());
    while begun.elapsed() < Duration::from_secs(6) {
        let looks = begun.elapsed();
        let state = app.metric(r#"scoring_store_breaker_state{role="cache"}"#).await;
        if state != last {
            // A look may be late: the change came after the look before, and before the end of this one.
            changes.push((looked, begun.elapsed()));
            last = state;
        }
        looked = looks;
    }
    assert!(!changes.is_empty(), "nothing was noticed");
    for three in changes.windows(3) {
        assert!(three[2].1 - three[0].0 >= Duration::from_millis(900), "{changes:?}");
    }
    store.door.open();
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
    app.recovers().await;
}

#[tokio::test]
async fn row_18_max_number_of_clients_reached() {
    let (store, app) = on_resp().await;
    store.max_clients();
    store.drop_connections();
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

/// A read in twenty is under way when its connection is killed: more than may fail, and fewer than may be sent again.
#[tokio::test]
async fn row_21_reads_on_killed_connections_are_sent_again() {
    let (store, app) = on_resp().await;
    store.forget();
    for read in 0..200 {
        if read % 20 == 0 {
            store.set(Fault::CutMidReply(0).on_key("i:1").times(1));
        }
        app.interests_right().await;
    }
    let asked = store.seen("MGET").into_iter().filter(|command| command.args == ["i:1", "i:2"]);
    assert_eq!(asked.count(), 210);
}

/// While the store is gone and many ask, a score is never late and never wrong.
#[tokio::test]
async fn row_02_store_lost_and_found_under_load() {
    let (store, app) = on_resp().await;
    let load = Load::start(&app, 32);
    for _ in 0..2 {
        store.door.shut();
        store.door.reset_existing();
        eventually(ALL_IS_OK_WITHIN, "the loss is noticed", async || app.readiness().await == "degraded")
            .await;
        store.door.open();
        eventually(ALL_IS_OK_WITHIN, "the store is back in use", async || app.readiness().await == "ready")
            .await;
    }
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
    app.recovers().await;
}
