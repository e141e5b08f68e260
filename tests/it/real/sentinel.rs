//! Redis Sentinel: real groups of three servers and three sentinels, and failovers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use testkit::{
    ALL_IS_OK_WITHIN, INTERESTS_BOUND, RedisServer, SentinelGroup, Stopwatch, TestApp, eventually,
};
use tokio::time::sleep;

use crate::cli::process::Sandbox;

async fn seeded() -> SentinelGroup {
    let group = SentinelGroup::start().await;
    for (key, value) in TestApp::seeds() {
        group.store(key, value).await;
    }
    group
}

async fn app_on(url: &str) -> TestApp {
    let app = TestApp::on(url).await;
    app.recovers().await;
    app
}

/// The connections of others than the tests' tools and the sentinels.
async fn connections(server: &RedisServer) -> usize {
    let clients: String = server.command(&["CLIENT", "LIST", "TYPE", "normal"]).await;
    let is_of_others = |client: &&str| !client.contains("user=tools") && !client.contains("name=sentinel-");
    clients.lines().filter(is_of_others).count()
}

/// The service asks the new primary for a value that only this one has.
async fn new_primary_is_asked(app: &TestApp, group: &SentinelGroup, old: SocketAddr) {
    let new = group.server_at(group.primary().await);
    assert_ne!(new.addr(), old);
    new.command::<()>(&["SET", "i:9", r#"["new"]"#]).await;
    let (lasts, until) = (Stopwatch::start(), Instant::now() + Duration::from_secs(3));
    while Instant::now() < until {
        let reply = app.interests(&[9]).await;
        // A starved server is silent for longer than the link's fixed limit. A wrong answer has no excuse.
        if reply.status == 200 || !lasts.is_starved() {
            assert_eq!(*reply.response(), json!({"9": ["new"]}));
        }
        app.scores_right().await;
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn row_25a_a_primary_is_killed() {
    let group = seeded().await;
    let app = app_on(&group.url()).await;
    let old = group.servers[0].addr();
    group.servers[0].kill9();
    app.is_degraded().await;
    group.fails_over(old).await;
    app.recovers().await;
    new_primary_is_asked(&app, &group, old).await;
}

#[tokio::test]
async fn row_25a_a_primary_is_stopped_and_row_25c_not_believed_when_it_comes_back() {
    let group = seeded().await;
    let app = app_on(&group.url()).await;
    let old = group.servers[0].addr();
    group.servers[0].sigstop();
    app.is_degraded().await;
    group.fails_over(old).await;
    app.recovers().await;
    group.servers[0].sigcont();
    // It says for seconds that it is the primary.
    new_primary_is_asked(&app, &group, old).await;
    eventually(ALL_IS_OK_WITHIN, "the old primary has no connection of the service", async || {
        connections(&group.servers[0]).await == 0
    })
    .await;
}

#[tokio::test]
async fn row_25b_an_ordered_failover_costs_at_most_the_calls_in_flight() {
    let group = seeded().await;
    let app = app_on(&group.url()).await;
    let old = group.servers[0].addr();
    let failed = async {
        let (mut failed, mut calls, lasts) = (0, 0, Stopwatch::start());
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            let reply = app.interests(&[1, 2]).await;
            assert!(reply.took <= INTERESTS_BOUND, "{:?}", reply.took);
            calls += 1;
            failed += usize::from(reply.status != 200);
            app.scores_right().await;
            sleep(Duration::from_millis(5)).await;
        }
        assert!(calls > 10, "{calls}");
        if lasts.is_starved() { 0 } else { failed }
    };
    let (failed, ()) = tokio::join!(failed, async {
        group.order_failover().await;
        group.fails_over(old).await;
    });
    assert!(failed <= 1, "{failed} of the calls of one caller failed");
    new_primary_is_asked(&app, &group, old).await;
}

#[tokio::test]
async fn row_25d_without_sentinels_the_primary_is_still_used() {
    let group = seeded().await;
    let app = app_on(&group.url()).await;
    group.kill_sentinels();
    eventually(Duration::from_secs(10), "readiness names the lost sentinels", async || {
        let ready = app.admin("/readyz").await.body;
        let note = ready["parts"]["persistent"]["note"].clone();
        ready["status"] == "ready"
            && note.as_str().is_some_and(|note| note.starts_with("0 of 3 sentinels answer: 127.0.0.1:"))
    })
    .await;
    app.is_ok().await;
    let count = async |answers: &str| {
        app.metric(&format!(r#"scoring_store_sentinels{{answers="{answers}",role="persistent"}}"#)).await
    };
    assert_eq!([count("true").await, count("false").await], [0.0, 3.0]);
    // A lost connection is made again, to the last primary that was named.
    group.servers[0].client_kill().await;
    app.recovers().await;
}

#[tokio::test]
async fn interests_go_in_and_come_out_by_the_primary() {
    let group = SentinelGroup::start().await;
    let (sandbox, url) = (Sandbox::new(), format!("store.url={}", group.url()));
    let lines = "{\"id\":1,\"interests\":[\"books\"]}\n";
    sandbox.feed(lines, &["interests", "import", "-", "--set", &url]).await.succeeded();
    assert_eq!(sandbox.exported(&["--set", &url]).await.concat(), lines.trim_end());
    sandbox.run(&["--set", &url, "check-config", "--connect"]).await.succeeded();
}

#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_is_named() {
    let group = SentinelGroup::start().await;
    let app = TestApp::on(&group.url().replace("/scores", "/nobody")).await;
    app.is_degraded().await;
    eventually(ALL_IS_OK_WITHIN, "readiness names the name", async || {
        let store = app.admin("/readyz").await.body["parts"]["persistent"].clone();
        store["last_error"] == "no_primary"
            && store["cause"].as_str().is_some_and(|text| text.contains("does not know the name nobody"))
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_no_sentinel_is_named() {
    let redis = RedisServer::start().await;
    let app = TestApp::on(&format!("redis+sentinel://{}/scores", redis.addr())).await;
    app.is_degraded().await;
    let cause = format!("no sentinel names a primary: {}: is not a sentinel", redis.addr());
    eventually(ALL_IS_OK_WITHIN, "readiness names the server", async || {
        app.admin("/readyz").await.body["parts"]["persistent"]["cause"] == cause
    })
    .await;
}
