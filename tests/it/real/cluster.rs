//! Redis Cluster: real clusters of three primaries and their replicas, with slots that move and nodes that fail.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use rstest::rstest;
use scoring_api::{actors::persistent_store::GetMany, deadline::Deadline, store::slot_of};
use serde_json::{Value, json};
use testkit::{
    ALL_IS_OK_WITHIN, Certificate, ClusterGroup, INTERESTS_BOUND, Proxy, RedisServer, Stopwatch, TestApp,
    eventually, in_time,
};
use tokio::time::sleep;

use crate::cli::process::Sandbox;

/// One id for each shard; 1 and 2 are the ids of the fault table's words.
fn ids() -> [i64; 3] {
    let in_range = |first: u16, last: u16| {
        (10..).find(|id| (first..=last).contains(&slot_of(&format!("i:{id}")))).unwrap()
    };
    [in_range(0, 5460), in_range(5461, 10_922), in_range(10_923, 16_383)]
}

/// Two ids whose keys have the same slot, which is one of the first primary's.
fn neighbours() -> [i64; 2] {
    let slot = |id: i64| slot_of(&format!("i:{id}"));
    let one = (100..).find(|id| slot(*id) <= 5460).unwrap();
    [one, (one + 1..).find(|id| slot(*id) == slot(one)).unwrap()]
}

fn interests_of(id: i64) -> Value {
    json!([format!("number {id}")])
}

async fn seed(group: &ClusterGroup) {
    for (key, value) in TestApp::seeds() {
        group.store(key, value).await;
    }
    for id in ids().into_iter().chain(neighbours()) {
        group.store(&format!("i:{id}"), &interests_of(id).to_string()).await;
    }
    if group.servers.len() > 3 {
        group.is_replicated().await;
    }
}

async fn seeded() -> (ClusterGroup, TestApp) {
    let group = ClusterGroup::start().await;
    seed(&group).await;
    let app = app_on(&group.url()).await;
    (group, app)
}

async fn app_on(url: &str) -> TestApp {
    let app = TestApp::on(url).await;
    app.recovers().await;
    app
}

/// Calls for ids of each shard, and of all, until it is told to stop.
struct Callers {
    is_over: Cell<bool>,
    /// The refused calls: when, and for which ids.
    refused: RefCell<Vec<(Instant, Vec<i64>)>>,
    calls: Cell<usize>,
}

impl Callers {
    fn new() -> Self {
        Self { is_over: Cell::new(false), refused: RefCell::default(), calls: Cell::new(0) }
    }

    /// Every answer is right, or a refusal in time.
    async fn call(&self, app: &TestApp, ids: &[i64]) {
        while !self.is_over.get() {
            let reply = app.interests(ids).await;
            assert!(reply.took <= INTERESTS_BOUND, "{ids:?} took {:?}", reply.took);
            if reply.status == 200 {
                let expected: serde_json::Map<_, _> =
                    ids.iter().map(|id| (id.to_string(), interests_of(*id))).collect();
                assert_eq!(*reply.response(), Value::Object(expected));
            } else {
                assert_eq!(reply.status, 503, "{reply:?}");
                self.refused.borrow_mut().push((Instant::now(), ids.to_vec()));
            }
            self.calls.set(self.calls.get() + 1);
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn score(&self, app: &TestApp) {
        while !self.is_over.get() {
            app.scores_right().await;
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Calls while `fault` happens and for a moment afterwards. Returns the refused calls that count. On a starved machine no call does,
    /// whose servers may be silent for longer than the fixed limits allow.
    async fn meanwhile(app: &TestApp, fault: impl AsyncFnOnce()) -> Vec<(Instant, Vec<i64>)> {
        let (callers, lasts) = (Self::new(), Stopwatch::start());
        let all = ids();
        let [one, two, three] = all.map(|id| [id]);
        let happens = async {
            sleep(Duration::from_millis(100)).await;
            Box::pin(fault()).await;
            sleep(Duration::from_millis(500)).await;
            callers.is_over.set(true);
        };
        tokio::join!(
            callers.call(app, &one),
            callers.call(app, &two),
            callers.call(app, &three),
            callers.call(app, &all),
            callers.score(app),
            happens,
        );
        assert!(callers.calls.get() > 20, "{} calls", callers.calls.get());
        if lasts.is_starved() { Vec::new() } else { callers.refused.into_inner() }
    }
}

/// The service asks the new primary for a value that only this one has.
async fn new_primary_is_asked(app: &TestApp, group: &ClusterGroup) {
    let [id, ..] = ids();
    let key = format!("i:{id}");
    let new = group.primary_of(&key).await;
    assert_ne!(new.addr(), group.servers[0].addr());
    new.command::<()>(&["SET", &key, r#"["new"]"#]).await;
    let (lasts, until) = (Stopwatch::start(), Instant::now() + Duration::from_secs(3));
    while Instant::now() < until {
        let reply = app.interests(&[id]).await;
        if reply.status == 200 || !lasts.is_starved() {
            assert_eq!(*reply.response(), json!({id.to_string(): ["new"]}));
        }
        app.scores_right().await;
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn row_26a_slots_that_move_cost_no_call() {
    let (group, app) = seeded().await;
    let [one, ..] = ids();
    let refused = Box::pin(Callers::meanwhile(&app, async || {
        let slot = slot_of(&format!("i:{one}"));
        for (slot, to) in [(slot, 1), (slot, 2), (slot, 0), (slot_of("i:probe"), 1), (slot_of("i:1"), 2)] {
            group.move_slot(slot, &group.servers[to]).await;
            sleep(Duration::from_millis(100)).await;
        }
    }))
    .await;
    assert_eq!(refused, []);
    app.is_ok().await;
}

#[tokio::test]
async fn row_26a_slots_that_are_being_moved_cost_no_call() {
    let (group, app) = seeded().await;
    let [one, two] = neighbours();
    let slot = slot_of(&format!("i:{one}"));
    let expected = json!({one.to_string(): interests_of(one), two.to_string(): interests_of(two)});
    group.half_move(slot, &group.servers[2], |key| key == format!("i:{one}")).await;
    let lasts = Stopwatch::start();
    for _ in 0..200 {
        let reply = app.interests(&[one, two]).await;
        if reply.status == 200 || !lasts.is_starved() {
            assert_eq!(*reply.response(), expected);
        }
        app.scores_right().await;
    }
    assert_eq!(group.slot_of(&format!("i:{two}")).await, slot);
}

#[tokio::test]
async fn row_26b_a_primary_is_killed() {
    let (group, app) = seeded().await;
    let old = group.servers[0].addr();
    let served = Cell::new(None);
    let refused = Box::pin(Callers::meanwhile(&app, async || {
        group.servers[0].kill9();
        group.serves_without(&[old]).await;
        served.set(Some(Instant::now()));
        sleep(ALL_IS_OK_WITHIN).await;
    }))
    .await;
    let late = served.get().unwrap() + ALL_IS_OK_WITHIN;
    assert!(refused.iter().all(|(at, _)| *at < late), "{refused:?}");
    app.recovers().await;
    new_primary_is_asked(&app, &group).await;
}

#[tokio::test]
async fn row_26c_a_primary_is_stopped_and_not_believed_when_it_comes_back() {
    let (group, app) = seeded().await;
    let old = group.servers[0].addr();
    Box::pin(Callers::meanwhile(&app, async || {
        group.servers[0].sigstop();
        group.serves_without(&[old]).await;
        app.recovers().await;
        group.servers[0].sigcont();
    }))
    .await;
    new_primary_is_asked(&app, &group).await;
}

#[tokio::test]
async fn row_26d_an_ordered_failover_and_a_node_that_leaves_cost_no_call() {
    let (group, app) = seeded().await;
    let (old, new) = (&group.servers[0], &group.servers[3]);
    let refused = Box::pin(Callers::meanwhile(&app, async || {
        group.fails_over_to(new).await;
        sleep(Duration::from_secs(1)).await;
        let id: String = old.command(&["CLUSTER", "MYID"]).await;
        for server in &group.servers[1..] {
            server.command::<()>(&["CLUSTER", "FORGET", &id]).await;
        }
        old.command::<()>(&["CLUSTER", "RESET", "HARD"]).await;
        sleep(Duration::from_millis(500)).await;
        old.kill9();
    }))
    .await;
    assert!(refused.len() <= 4, "at most the calls in flight: {refused:?}");
    app.recovers().await;
    new_primary_is_asked(&app, &group).await;
}

#[tokio::test]
async fn row_26e_half_open_connections_to_one_shard_are_rebuilt() {
    let proxies = RefCell::new(Vec::new());
    let group = ClusterGroup::with_each(3, |addr| {
        let proxy = Proxy::to(addr);
        let (port, bus) = (proxy.addr().port(), addr.port() + 10_000);
        proxies.borrow_mut().push(proxy);
        let options = [("--cluster-announce-port", port), ("--cluster-announce-bus-port", bus)];
        options.into_iter().flat_map(|(name, port)| [name.to_owned(), port.to_string()]).collect()
    })
    .await;
    seed(&group).await;
    let app = app_on(&group.url()).await;
    let rebuilt = Cell::new(Duration::ZERO);
    let refused = Box::pin(Callers::meanwhile(&app, async || {
        let begun = Stopwatch::start();
        proxies.borrow()[0].stop_existing_after(0);
        let [one, ..] = ids();
        while app.interests(&[one]).await.took > Duration::from_millis(100) {}
        rebuilt.set(begun.took());
    }))
    .await;
    assert_eq!(refused, []);
    assert!(rebuilt.get() <= ALL_IS_OK_WITHIN, "{:?}", rebuilt.get());
}

#[tokio::test]
async fn row_26f_without_full_coverage_a_lost_shard_takes_only_its_own_clients_along() {
    let options = ["--cluster-require-full-coverage", "no", "--appendonly", "yes"];
    let group = ClusterGroup::with(3, &options).await;
    seed(&group).await;
    let app = app_on(&group.url()).await;
    let [one, two, three] = ids();
    group.servers[0].kill9();
    eventually(Duration::from_secs(10), "the shard is refused at once", async || {
        app.interests(&[one]).await.status == 503 && app.readiness().await == "degraded"
    })
    .await;
    let lasts = Stopwatch::start();
    for _ in 0..200 {
        for ids in [&[two][..], &[three], &[two, three]] {
            let reply = app.interests(ids).await;
            assert!(reply.status == 200 || lasts.is_starved(), "{ids:?}: {reply:?}");
        }
        assert_eq!(app.interests(&[one, two, three]).await.status, 503);
        app.scores_right().await;
    }
    let shard = group.servers[0].addr();
    let up =
        async |shard| app.metric(&format!(r#"scoring_store_up{{role="persistent",shard="{shard}"}}"#)).await;
    assert_eq!([up(shard).await, up(group.servers[1].addr()).await], [0.0, 1.0]);
    let note = app.admin("/readyz").await.body["parts"]["persistent"]["note"].clone();
    assert!(note.as_str().is_some_and(|note| note.contains(&shard.to_string())), "{note}");
    group.servers[0].restart().await;
    app.recovers().await;
}

#[tokio::test]
async fn row_26g_all_nodes_are_killed_and_come_back() {
    let group = ClusterGroup::with(6, &["--appendonly", "yes"]).await;
    seed(&group).await;
    let app = app_on(&group.url()).await;
    group.servers.iter().for_each(|server| server.kill9());
    app.is_degraded().await;
    for server in &group.servers {
        server.restart().await;
    }
    group.serves_without(&[]).await;
    app.recovers().await;
}

/// Nodes that have met, and name themselves differently than the URL does.
#[rstest]
#[case::name(&["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"])]
#[case::no_address(&["--cluster-preferred-endpoint-type", "unknown-endpoint"])]
#[tokio::test]
async fn row_26h_nodes_have_names_or_no_address_at_all(#[case] options: &[&str]) {
    if RedisServer::is_before_7() {
        return;
    }
    let group = ClusterGroup::with(3, options).await;
    seed(&group).await;
    // One seed: the others come from the answers.
    let app = app_on(&format!("redis+cluster://{}", group.servers[1].addr())).await;
    let refused = Box::pin(Callers::meanwhile(&app, async || {
        let [one, ..] = ids();
        group.move_slot(slot_of(&format!("i:{one}")), &group.servers[2]).await;
    }))
    .await;
    assert_eq!(refused, []);
}

#[tokio::test]
async fn row_24b_a_cluster_over_tls_has_one_name_for_all_nodes() {
    let certificate = Certificate::new();
    let group = ClusterGroup::over_tls(&certificate).await;
    for (key, value) in TestApp::seeds() {
        group.store(key, value).await;
    }
    let folder = tempfile::tempdir().unwrap();
    certificate.write(folder.path());
    let ca = format!("store.tls_ca={}", folder.path().join("cert.pem").display());
    let url = format!("store.url=rediss+cluster://{}", group.servers[0].addr());
    let app = TestApp::with_settings(&[&url, &ca, &format!("store.tls_name={}", Certificate::NAME)]).await;
    app.recovers().await;
    // Without the name, the nodes' certificates are for another one.
    let app = TestApp::with_settings(&[&url, &ca]).await;
    app.is_degraded().await;
    eventually(ALL_IS_OK_WITHIN, "readiness names the certificate", async || {
        let store = app.admin("/readyz").await.body["parts"]["persistent"].clone();
        store["cause"]
            .as_str()
            .is_some_and(|text| text.contains("the server's certificate is for another name"))
    })
    .await;
    // Only an operator can help, so attempts are slow.
    let connections = async || -> u64 {
        let stats: String = group.servers[0].command(&["INFO", "stats"]).await;
        let count = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().trim().parse().unwrap()
    };
    let before = connections().await;
    sleep(Duration::from_secs(4)).await;
    let made = connections().await - before;
    assert!((1..=8).contains(&made), "{made} connections in 4 s");
}

/// Reads of distinct clients, a quarter of them given up, while slots move and a primary changes.
#[tokio::test]
async fn row_27_no_answer_belongs_to_another_question_while_the_cluster_changes() {
    let (group, app) = seeded().await;
    const CLIENTS: i64 = 200;
    for id in 1_000..1_000 + CLIENTS {
        group.store(&format!("i:{id}"), &format!("value of {id}")).await;
    }
    let (tree, reads, done) = (app.tree(), Cell::new(0), Cell::new(false));
    let read = async |offset: i64| {
        let mut random = fastrand::Rng::with_seed(offset as u64);
        while !done.get() || reads.get() < 10_000 {
            let ids: Vec<_> = (0..random.usize(1..20)).map(|_| 1_000 + random.i64(0..CLIENTS)).collect();
            let keys = ids.iter().map(|id| format!("i:{id}")).collect();
            let deadline = Deadline::after(tokio::time::Instant::now(), Duration::from_millis(500));
            let asked = tree.persistent_store.send(GetMany { keys, deadline });
            let patience = if random.u8(..4) == 0 {
                Duration::from_micros(random.u64(..1_500))
            } else {
                INTERESTS_BOUND
            };
            if let Some(Ok(Ok(values))) = in_time(patience, asked).await {
                let expected: Vec<_> =
                    ids.iter().map(|id| Some(format!("value of {id}").into_bytes())).collect();
                assert_eq!(values, expected);
            }
            reads.set(reads.get() + 1);
            if reads.get() >= 10_000 {
                // The servers need time for their election, too.
                sleep(Duration::from_millis(2)).await;
            }
        }
    };
    let changes = async {
        for id in 1_000..1_010 {
            let slot = slot_of(&format!("i:{id}"));
            group.move_slot(slot, &group.servers[id as usize % 3]).await;
        }
        group.fails_over_to(&group.servers[4]).await;
        done.set(true);
    };
    tokio::join!(read(1), read(2), read(3), read(4), read(5), read(6), read(7), read(8), changes);
    let count = async |outcome: &str| {
        app.metric(&format!(
            r#"scoring_store_operations_total{{op="get_many",outcome="{outcome}",role="persistent"}}"#
        ))
        .await
    };
    assert!(count("ok").await > 5_000.0);
    assert_eq!(count("protocol").await, 0.0);
}

#[tokio::test]
async fn a_url_of_one_server_that_is_a_node_is_named() {
    let (group, _app) = seeded().await;
    let app = TestApp::on(&group.servers[0].url()).await;
    let probe = group.primary_of("i:probe").await.addr();
    // The node that has the probe's key serves its own keys; each other one is down.
    let other = group.servers.iter().find(|server| server.addr() != probe).unwrap();
    let app = if group.servers[0].addr() == probe { TestApp::on(&other.url()).await } else { app };
    eventually(Duration::from_secs(10), "readiness names the right URL", async || {
        let store = app.admin("/readyz").await.body["parts"]["persistent"].clone();
        let cause = format!("use redis+cluster://{probe}");
        store["last_error"] == "redirected"
            && store["cause"].as_str().is_some_and(|text| text.ends_with(&cause))
    })
    .await;
}

#[tokio::test]
async fn a_seed_that_is_no_node_is_named() {
    let redis = RedisServer::start().await;
    let app = TestApp::on(&format!("redis+cluster://{}", redis.addr())).await;
    app.is_degraded().await;
    let cause = format!("the cluster has no known primary: {}: is not a node of a cluster", redis.addr());
    eventually(ALL_IS_OK_WITHIN, "readiness names the server", async || {
        app.admin("/readyz").await.body["parts"]["persistent"]["cause"] == cause
    })
    .await;
}

#[tokio::test]
async fn interests_go_in_and_come_out_of_all_shards() {
    let group = ClusterGroup::with(3, &[]).await;
    let (sandbox, url) = (Sandbox::new(), format!("store.url={}", group.url()));
    let lines: Vec<_> =
        (1..=500).map(|id| format!("{{\"id\":{id},\"interests\":[\"number {id}\"]}}")).collect();
    let text = lines.join("\n") + "\n";
    let refused = sandbox.feed(&text, &["interests", "import", "-", "--set", &url]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("--piecewise"), "{refused:?}");
    for _ in 0..2 {
        let import = ["interests", "import", "-", "--piecewise", "--set", &url];
        sandbox.feed(&text, &import).await.succeeded();
    }
    let mut exported = sandbox.exported(&["--set", &url]).await;
    exported.sort_by_key(|line| line.split([':', ',']).nth(1).and_then(|id| id.parse::<i64>().ok()));
    assert_eq!(exported, lines);
    let got = sandbox.run(&["--set", &url, "interests", "get", "7", "8", "9"]).await;
    assert!(got.out.contains("number 7") && got.out.contains("number 9"), "{got:?}");
    sandbox.run(&["--set", &url, "check-config", "--connect"]).await.succeeded();

    // A part of it fails: the others may have been written, and the number is told.
    group.servers[1].kill9();
    let partly = sandbox.feed(&text, &["interests", "import", "-", "--piecewise", "--set", &url]).await;
    let said = partly.failed(1).concat();
    assert!(said.contains(" of 500 clients were written before this failed: "), "{partly:?}");
    assert!(said.contains("running this again is safe"), "{partly:?}");
    let export = sandbox.run(&["--set", &url, "interests", "export"]).await;
    assert_eq!(export.code, Some(1), "not even one client may be missed: {export:?}");
}

#[tokio::test]
async fn an_export_does_not_trust_slots_that_move() {
    let group = ClusterGroup::with(3, &[]).await;
    seed(&group).await;
    let (sandbox, url) = (Sandbox::new(), format!("store.url={}", group.url()));
    let [one, _] = neighbours();
    group.half_move(slot_of(&format!("i:{one}")), &group.servers[2], |_| true).await;
    let export = sandbox.run(&["--set", &url, "interests", "export"]).await;
    assert!(export.failed(1).concat().ends_with("slots of the cluster are being moved"), "{export:?}");
    // Single clients are found, wherever they are.
    let got = sandbox.run(&["--set", &url, "interests", "get", &one.to_string()]).await;
    assert!(got.succeeded().contains(&format!("number {one}")), "{got:?}");
}
