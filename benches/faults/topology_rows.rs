//! Rows about TLS and Sentinel, on real servers: 24b, 24c, 25.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use tempfile::TempDir;
use testkit::{Certificate, Proxy, RedisServer, SentinelGroup, bench::client::stored, eventually};
use tokio::time::sleep;

use crate::{
    outage::Outage,
    row::{Outcome, ms},
    service::Service,
    world::fill,
};

/// The next attempt after an error of a certificate comes within 2 s.
const AFTER_AN_OPERATOR: Duration = Duration::from_secs(5);

/// A failover takes two to three seconds.
const FAILOVER_WITHIN: Duration = Duration::from_secs(30);

// ===== TLS =====

fn trust(folder: &Path, certificate: &Certificate) {
    certificate.write(folder);
    fs::rename(folder.join("cert.pem"), folder.join("ca.pem")).unwrap();
}

async fn over_tls(address: std::net::SocketAddr, trusted: &Certificate) -> (TempDir, Service) {
    let folder = tempfile::tempdir().unwrap();
    trust(folder.path(), trusted);
    let service = Service::start(&[
        &format!("store.url=rediss://{address}"),
        &format!("store.tls_ca={}", folder.path().join("ca.pem").display()),
        &format!("store.tls_name={}", Certificate::NAME),
    ])
    .await;
    (folder, service)
}

async fn is_ready(service: &Service) {
    eventually(Duration::from_secs(5), "the service is ready", async || service.target.is_ready().await)
        .await;
}

/// Row 24b: an unknown issuer, until an operator adds it.
pub fn an_unknown_issuer() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let certificate = Certificate::new();
        let redis = RedisServer::over_tls(&certificate, &[]).await;
        fill(&redis).await;
        let (folder, service) = over_tls(redis.addr(), &Certificate::new()).await;
        let outage = Outage::of(&service).await;
        outage
            .is_degraded(&["tls handshake: the server's certificate has an unknown issuer"], &mut out)
            .await;
        let attempts = async || -> u32 {
            let metrics = service.target.admin("/metrics").await.unwrap();
            let text = metrics.text();
            let series = r#"scoring_store_operations_total{op="connect",outcome="tls""#;
            let of_roles = text.lines().filter(|line| line.starts_with(series));
            of_roles.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u32>().ok()).sum()
        };
        let before = attempts().await;
        sleep(Duration::from_secs(4)).await;
        let made = attempts().await - before;
        out.note(format!("{made} attempts of 8 links in 4 s"));
        out.must((1..=8 * 5).contains(&made), format!("{made} attempts"));
        trust(folder.path(), &certificate);
        outage.recovers_within(AFTER_AN_OPERATOR, &mut out).await;
        out
    })
}

/// Row 24c: open connections go dead below TLS.
pub fn half_open_below_tls() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let certificate = Certificate::new();
        let redis = RedisServer::over_tls(&certificate, &[]).await;
        fill(&redis).await;
        let proxy = Proxy::to(redis.addr());
        let (_folder, service) = over_tls(proxy.addr(), &certificate).await;
        is_ready(&service).await;
        let outage = Outage::of(&service).await;
        sleep(Duration::from_millis(500)).await;
        proxy.stop_existing_after(0);
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 24c: a server in the clear behind `rediss://`.
pub fn a_server_in_the_clear() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let redis = RedisServer::start().await;
        fill(&redis).await;
        let (_folder, service) = over_tls(redis.addr(), &Certificate::new()).await;
        let outage = Outage::of(&service).await;
        outage.is_degraded(&["tls handshake: "], &mut out).await;
        sleep(Duration::from_secs(2)).await;
        outage.ends(&mut out).await;
        out
    })
}

// ===== Sentinel =====

async fn sentinels() -> (SentinelGroup, Service) {
    let group = SentinelGroup::start().await;
    fill(&group.servers[0]).await;
    let (key, value) = stored().last().unwrap();
    group.store(&key, &value).await;
    let service = Service::start(&[&format!("store.url={}", group.url())]).await;
    is_ready(&service).await;
    (group, service)
}

/// Row 25a: the primary is killed.
pub fn the_primary_is_killed() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = sentinels().await;
        fails_over(&group, &service, |server| server.kill9()).await
    })
}

/// Rows 25a and 25c: the primary is stopped, and comes back as one that says that it is the primary.
pub fn the_primary_is_stopped() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = sentinels().await;
        let mut out = fails_over(&group, &service, |server| server.sigstop()).await;
        let outage = Outage::of(&service).await;
        group.servers[0].sigcont();
        sleep(Duration::from_secs(5)).await;
        let clients: String = group.servers[0].command(&["CLIENT", "LIST", "TYPE", "normal"]).await;
        let of_others = |client: &&str| !client.contains("user=tools") && !client.contains("name=sentinel-");
        let strays = clients.lines().filter(of_others).count();
        out.must(strays == 0, format!("{strays} connections to the old primary"));
        out.note("the old primary is back");
        outage.recovers(&mut out).await;
        out
    })
}

async fn fails_over(group: &SentinelGroup, service: &Service, falls: fn(&RedisServer)) -> Outcome {
    let mut out = Outcome::default();
    let outage = Outage::of(service).await;
    sleep(Duration::from_millis(500)).await;
    let (old, fell) = (group.servers[0].addr(), Instant::now());
    falls(&group.servers[0]);
    group.fails_over(old).await;
    out.note(format!("most sentinels name another after {}", ms(fell.elapsed())));
    out.must(fell.elapsed() < FAILOVER_WITHIN, "no failover");
    outage.recovers(&mut out).await;
    out
}

/// Row 25b: a failover that an operator orders.
pub fn an_ordered_failover() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = sentinels().await;
        let mut out = Outcome::default();
        let outage = Outage::of(&service).await;
        sleep(Duration::from_millis(500)).await;
        let old = group.servers[0].addr();
        group.order_failover().await;
        group.fails_over(old).await;
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 25d: no sentinel is left, and the connections are lost.
pub fn no_sentinels() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let (group, service) = sentinels().await;
        let mut out = Outcome::default();
        let outage = Outage::of(&service).await;
        group.kill_sentinels();
        sleep(Duration::from_secs(1)).await;
        group.servers[0].client_kill().await;
        let ready = service.target.admin("/readyz").await.unwrap().json();
        let note = ready["parts"]["persistent"]["note"].as_str().unwrap_or_default().to_owned();
        out.must(note.starts_with("0 of 3 sentinels answer"), format!("the note is {note:?}"));
        outage.recovers(&mut out).await;
        out
    })
}
