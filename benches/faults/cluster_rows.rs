//! Rows about Redis Cluster, on real clusters of three primaries and their replicas: 26.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use scoring_api::store::slot_of;
use testkit::{
    ClusterGroup, Proxy, RedisServer,
    bench::client::{LAST_CLIENT, Seen, stored},
    eventually,
};
use tokio::time::sleep;

use crate::{
    outage::Outage,
    row::{Outcome, ms},
    service::Service,
};

/// The slots of the first primary are those up to this one.
const LAST_OF_FIRST: u16 = 5460;

async fn fill(group: &ClusterGroup) {
    for (key, value) in stored() {
        group.store(&key, &value).await;
    }
}

async fn on(group: &ClusterGroup) -> Service {
    fill(group).await;
    let service = Service::start(&[&format!("store.url={}", group.url())]).await;
    let is_ready = async || service.target.is_ready().await;
    eventually(Duration::from_secs(5), "the service is ready", is_ready).await;
    service
}

async fn cluster() -> (ClusterGroup, Service) {
    let group = ClusterGroup::start().await;
    let service = on(&group).await;
    group.is_replicated().await;
    (group, service)
}

/// The stored clients whose slots are the first primary's, or not.
fn clients(of_first: bool) -> Vec<i64> {
    (1..=LAST_CLIENT).filter(|id| (slot_of(&format!("i:{id}")) <= LAST_OF_FIRST) == of_first).collect()
}

/// No call of this load may be refused.
async fn all_ok(outage: Outage, out: &mut Outcome) {
    let refused = outage.recovers_and_refused(out).await;
    out.must(refused == 0, format!("{refused} calls were refused"));
}

/// Row 26a: slots move.
pub fn slots_move() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (group, service) = cluster().await;
        let outage = Outage::of(&service).await;
        let begun = Instant::now();
        let mut moved = 0;
        for id in clients(true) {
            group.move_slot(slot_of(&format!("i:{id}")), &group.servers[1]).await;
            moved += 1;
        }
        out.note(format!("{moved} slots moved in {}", ms(begun.elapsed())));
        all_ok(outage, &mut out).await;
        out
    })
}

/// Row 26a: slots are half moved for three seconds.
pub fn slots_are_half_moved() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (group, service) = cluster().await;
        let outage = Outage::of(&service).await;
        for id in clients(true) {
            group.half_move(slot_of(&format!("i:{id}")), &group.servers[2], |_| true).await;
        }
        sleep(Duration::from_secs(3)).await;
        all_ok(outage, &mut out).await;
        out
    })
}

async fn fails_over(group: &ClusterGroup, service: &Service, falls: fn(&RedisServer)) -> Outcome {
    let mut out = Outcome::default();
    let outage = Outage::of(service).await;
    sleep(Duration::from_millis(500)).await;
    let fell = Instant::now();
    falls(&group.servers[0]);
    group.serves_without(&[group.servers[0].addr()]).await;
    out.note(format!("every slot is served after {}", ms(fell.elapsed())));
    outage.recovers(&mut out).await;
    out
}

/// Row 26b: a primary is killed.
pub fn a_primary_is_killed() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = cluster().await;
        fails_over(&group, &service, |server| server.kill9()).await
    })
}

/// Row 26c: a primary is stopped, and comes back.
pub fn a_primary_is_stopped() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = cluster().await;
        let mut out = fails_over(&group, &service, |server| server.sigstop()).await;
        let outage = Outage::of(&service).await;
        let id = clients(true)[0];
        // Only the new primary has it. The benchmark's own calls do not ask for this client.
        let key =
            (1_000_000..).map(|id| format!("i:{id}")).find(|key| slot_of(key) == slot_of(&format!("i:{id}")));
        let key = key.unwrap();
        group.store(&key, r#"["new"]"#).await;
        group.servers[0].sigcont();
        let until = Instant::now() + Duration::from_secs(5);
        let (mut stale, mut reads) = (0, 0);
        while Instant::now() < until {
            let body = testkit::call(
                "clients_interests",
                serde_json::json!({"client_ids": [key[2..].parse::<i64>().unwrap()]}),
            );
            let answer = service.target.post(&body.to_string()).await.unwrap();
            stale += usize::from(!answer.text().contains("new"));
            reads += 1;
            sleep(Duration::from_millis(20)).await;
        }
        out.note(format!("the old primary is back: {reads} reads of a newer value"));
        out.must(stale == 0, format!("{stale} of {reads} reads were stale or refused"));
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 26d: an ordered failover; then the old primary leaves for good.
pub fn a_node_leaves() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (group, service) = cluster().await;
        let outage = Outage::of(&service).await;
        sleep(Duration::from_millis(500)).await;
        let old = &group.servers[0];
        group.fails_over_to(&group.servers[3]).await;
        let id: String = old.command(&["CLUSTER", "MYID"]).await;
        for server in &group.servers[1..] {
            server.command::<()>(&["CLUSTER", "FORGET", &id]).await;
        }
        old.command::<()>(&["CLUSTER", "RESET", "HARD"]).await;
        sleep(Duration::from_millis(500)).await;
        old.kill9();
        sleep(Duration::from_millis(500)).await;
        let refused = outage.recovers_and_refused(&mut out).await;
        out.must(refused <= 5, format!("{refused} calls were refused"));
        out
    })
}

/// Row 26e: the open connections to one primary go dead.
pub fn one_shard_is_half_open() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let proxies = RefCell::new(Vec::new());
        let group = ClusterGroup::with_each(3, |addr| {
            let proxy = Proxy::to(addr);
            let (port, bus) = (proxy.addr().port(), addr.port() + 10_000);
            proxies.borrow_mut().push(proxy);
            let options = [("--cluster-announce-port", port), ("--cluster-announce-bus-port", bus)];
            options.into_iter().flat_map(|(name, port)| [name.to_owned(), port.to_string()]).collect()
        })
        .await;
        let service = on(&group).await;
        let outage = Outage::of(&service).await;
        sleep(Duration::from_millis(500)).await;
        proxies.borrow()[0].stop_existing_after(0);
        all_ok(outage, &mut out).await;
        out
    })
}

/// Row 26f: a shard is lost for good, and comes back after all.
pub fn a_shard_is_lost() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let options = ["--cluster-require-full-coverage", "no", "--appendonly", "yes"];
        let group = ClusterGroup::with(3, &options).await;
        let service = on(&group).await;
        let outage = Outage::of(&service).await;
        group.servers[0].kill9();
        sleep(Duration::from_secs(2)).await;
        let others = clients(false);
        let (mut refused, mut calls) = (0, 0);
        for ids in others.chunks(3).cycle().take(300) {
            let sample = service.target.interests(ids, Instant::now()).await;
            refused += usize::from(sample.seen != Seen::Right);
            calls += 1;
        }
        out.note(format!("{calls} calls for clients of other shards"));
        out.must(refused == 0, format!("{refused} of {calls} calls for other shards were refused"));
        group.servers[0].restart().await;
        group.serves_without(&[]).await;
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 26g: all nodes are killed, and come back with their data.
pub fn all_nodes_are_killed() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let group = ClusterGroup::with(6, &["--appendonly", "yes"]).await;
        let service = on(&group).await;
        let outage = Outage::of(&service).await;
        group.servers.iter().for_each(|server| server.kill9());
        sleep(Duration::from_secs(2)).await;
        for server in &group.servers {
            server.restart().await;
        }
        group.serves_without(&[]).await;
        outage.recovers(&mut out).await;
        out
    })
}
