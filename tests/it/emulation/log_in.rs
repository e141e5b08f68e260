//! Row 46: a connection whose log-in was not answered as it should be is never used.
//!
//! Database 0 holds another application's data under the same keys, and so does the user `default`.

use rstest::rstest;
use testkit::{ALL_IS_OK_WITHIN, Fault, RespServer, Rule, eventually};

use super::TestApp;

const DATABASE: u32 = 3;

fn another_applications() -> RespServer {
    let store = RespServer::start();
    for (key, value) in TestApp::seeds() {
        store.put_in(DATABASE, key, value);
        store.put(key, r#"["of another application"]"#);
    }
    store.put("i:2", r#"["of another application"]"#);
    store
}

fn url(store: &RespServer) -> String {
    format!("redis://{}/{DATABASE}", store.addr())
}

#[rstest]
#[case::select_busy(Fault::busy())]
#[case::select_loading(Fault::Error("LOADING it is").on(&["SELECT"]))]
#[case::select_misconf(Fault::Error("MISCONF no disk").on(&["SELECT"]))]
#[case::select_out_of_range(Fault::Error("ERR DB index is out of range").on(&["SELECT"]))]
#[case::select_noperm(Fault::Error("NOPERM this user").on(&["SELECT"]))]
#[case::select_answered_with_a_queue(Fault::Raw(b"+QUEUED\r\n").on(&["SELECT"]))]
#[case::select_answered_with_null(Fault::Raw(b"$-1\r\n").on(&["SELECT"]))]
#[case::ping_loading(Fault::loading())]
#[case::ping_out_of_memory(Fault::Error("OOM").on(&["PING"]))]
#[case::ping_answered_with_ok(Fault::Raw(b"+OK\r\n").on(&["PING"]))]
#[tokio::test]
async fn row_46_a_connection_with_a_wrong_log_in_answer_is_not_used(#[case] fault: Rule) {
    let store = another_applications();
    store.set(fault);
    let app = TestApp::on(&url(&store)).await;
    app.is_degraded().await;
    for name in ["GET", "MGET", "SET"] {
        assert_eq!(store.seen(name), [], "asked over a connection that is not logged in");
    }
    store.heal();
    // An operator's mistake is tried again every 1 to 2 s.
    app.recovers_within(3 * ALL_IS_OK_WITHIN).await;
}

#[rstest]
#[case::auth_busy(Fault::Error("BUSY a script").on(&["AUTH"]))]
#[case::auth_answered_with_another_word(Fault::Raw(b"+FINE\r\n").on(&["AUTH"]))]
#[tokio::test]
async fn row_46_a_connection_of_another_user_is_not_used(#[case] fault: Rule) {
    let store = another_applications();
    // The user `default` may do everything without a log-in.
    store.set(fault);
    let app = TestApp::on(&format!("redis://service:secret@{}/{DATABASE}", store.addr())).await;
    app.is_degraded().await;
    assert_eq!(store.seen("MGET"), []);
}

/// As it was found: the connection is made while a script runs, and lasts.
#[tokio::test]
async fn row_46_connections_made_during_a_script_keep_their_database() {
    let store = another_applications();
    let app = TestApp::on(&url(&store)).await;
    app.recovers().await;
    store.set(Fault::busy());
    store.drop_connections();
    app.is_degraded().await;
    store.heal();
    app.recovers().await;
}

/// Each attempt costs the server a connection, and only an operator can help.
#[rstest]
#[case::unwanted_password("secret", Fault::Delay(std::time::Duration::ZERO).times(0), "AUTH", "ERR")]
#[case::no_such_database("", Fault::Error("ERR DB index is out of range").on(&["SELECT"]), "SELECT", "ERR")]
#[tokio::test]
async fn row_56_a_log_in_that_needs_an_operator_is_paced_and_named(
    #[case] password: &str,
    #[case] fault: Rule,
    #[case] step: &str,
    #[case] code: &str,
) {
    let store = another_applications();
    store.set(fault);
    let login = if password.is_empty() { String::new() } else { format!(":{password}@") };
    let app = TestApp::on(&format!("redis://{login}{}/{DATABASE}", store.addr())).await;
    app.is_degraded().await;
    let ready = app.admin("/readyz").await.body;
    let cause = ready["parts"]["persistent"]["cause"].as_str().unwrap().to_owned();
    let expected = format!("{}: {step}: the server answered with an error ({code})", store.addr());
    assert_eq!(cause, expected);
    let (begun, before) = (std::time::Instant::now(), store.seen(step).len());
    eventually(ALL_IS_OK_WITHIN, "it is tried again", async || store.seen(step).len() >= before + 4).await;
    // Four links, each at most once in 0.3 s.
    let most = 4 * (2 + begun.elapsed().as_millis() as usize / 300);
    assert!(store.seen(step).len() - before <= most, "{} attempts", store.seen(step).len() - before);
}

/// A write that was not answered with `+OK` was not done, and the next reply may be anything.
#[tokio::test]
async fn row_46_an_unexpected_answer_to_a_write_ends_its_connection() {
    let store = RespServer::start();
    for (key, value) in TestApp::seeds() {
        store.put(key, value);
    }
    let app = TestApp::on(&store.url()).await;
    app.recovers().await;
    let before = store.door.accepted();
    store.set(Fault::Raw(b"+QUEUED\r\n").on(&["SET"]));
    eventually(ALL_IS_OK_WITHIN, "the connection is replaced", async || {
        app.scores_right().await;
        store.door.accepted() > before
    })
    .await;
    store.heal();
    app.recovers().await;
}
