//! Three instances of the binary on a real cluster, behind a real HAProxy and a real nginx with the configurations that
//! the repository ships.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    time::{Duration, Instant},
};

use rstest::rstest;
use rustix::process::Signal;
use serde_json::json;
use testkit::{
    ALL_IS_OK_WITHIN, ClusterGroup, INTERESTS_BOUND, Person, ReservedPort, ReverseProxy, SCORE_BOUND,
    Stopwatch, TestApp, call, eventually, http_client, sign,
};
use tokio::time::sleep;

use crate::{
    cli::process::{Process, Sandbox},
    packaging::text,
};

/// An instance has this long to become ready on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(20);

struct Instance {
    sandbox: Sandbox,
    public: ReservedPort,
    admin: ReservedPort,
    url: String,
    process: RefCell<Option<Process>>,
}

/// The instances, and the proxy in front of them.
struct Service {
    instances: Vec<Instance>,
    proxy: ReverseProxy,
    client: reqwest::Client,
}

/// The calls of some callers, and how many failed.
#[derive(Default)]
struct Tally {
    is_over: Cell<bool>,
    calls: Cell<usize>,
    failed: RefCell<Vec<String>>,
    refused: RefCell<Vec<Instant>>,
}

// ===== impl Instance =====

impl Instance {
    async fn start(url: String) -> Self {
        let instance = Self {
            sandbox: Sandbox::new(),
            public: ReservedPort::new(),
            admin: ReservedPort::new(),
            url,
            process: RefCell::default(),
        };
        instance.start_again().await;
        instance
    }

    async fn start_again(&self) {
        let settings = [
            format!("store.url={}", self.url),
            format!("http.bind={}", self.public.addr()),
            format!("admin.bind={}", self.admin.addr()),
            "http.workers=1".to_owned(),
        ];
        let mut arguments = vec!["serve"];
        for setting in &settings {
            arguments.extend(["--set", setting]);
        }
        self.process.replace(Some(self.sandbox.start(&arguments)));
        let ready = format!("http://{}/readyz", self.admin.addr());
        let client = http_client();
        eventually(READY_WITHIN, "the instance is ready", async || match client.get(&ready).send().await {
            Ok(answer) => answer.text().await.is_ok_and(|text| text.contains(r#""status":"ready""#)),
            Err(_) => false,
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        self.process.borrow().as_ref().unwrap().signal(signal);
    }

    async fn restart(&self) {
        self.signal(Signal::TERM);
        let process = self.process.take().unwrap();
        let ended = process.ended().await;
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        self.start_again().await;
    }
}

// ===== impl Service =====

impl Service {
    async fn start(group: &ClusterGroup, program: &str) -> Self {
        let started = (0..3).map(|_| Instance::start(group.url()));
        let instances = futures_util::future::join_all(started).await;
        let proxy = if program == "haproxy" { haproxy(&instances).await } else { nginx(&instances).await };
        let service = Self { instances, proxy, client: http_client() };
        eventually(READY_WITHIN, "the proxy knows the instances", async || {
            service.post(&json!({})).await.is_ok_and(|(status, _)| status == 422)
        })
        .await;
        service
    }

    async fn post(&self, body: &serde_json::Value) -> Result<(u16, serde_json::Value), String> {
        let address = self.proxy.address();
        let sent = self.client.post(format!("http://{address}/method")).body(body.to_string()).send().await;
        let answer = sent.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(|error| format!("{error:?}"))?;
        Ok((status, serde_json::from_str(&body).unwrap_or_default()))
    }

    /// Calls of both methods until the end. A wrong answer is a panic.
    async fn call(&self, tally: &Tally) {
        while !tally.is_over.get() {
            let person = Person::any();
            let begun = Stopwatch::start();
            match self.post(&sign(call("online_score", person.arguments()))).await {
                Ok((200, body)) => assert_eq!(body["response"]["score"], person.score()),
                other => tally.failed.borrow_mut().push(format!("score: {other:?}")),
            }
            // A call that is sent to a second instance takes the time of both.
            begun.assert_within(2 * SCORE_BOUND, "a score");
            let begun = Stopwatch::start();
            match self.post(&sign(call("clients_interests", json!({"client_ids": [1, 2]})))).await {
                Ok((200, body)) => assert_eq!(body["response"], json!({"1": ["books", "hi-tech"], "2": []})),
                Ok((503, body)) if body["error"] == "Service Unavailable" => {
                    tally.refused.borrow_mut().push(Instant::now());
                }
                other => tally.failed.borrow_mut().push(format!("interests: {other:?}")),
            }
            begun.assert_within(2 * INTERESTS_BOUND, "interests");
            tally.calls.set(tally.calls.get() + 2);
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Four callers, while something happens.
    async fn meanwhile(&self, happens: impl Future<Output = ()>) -> Tally {
        let tally = Tally::default();
        let happens = async {
            happens.await;
            tally.is_over.set(true);
        };
        tokio::join!(self.call(&tally), self.call(&tally), self.call(&tally), self.call(&tally), happens);
        assert!(tally.calls.get() > 100, "{} calls", tally.calls.get());
        tally
    }
}

/// The shipped file, with these instances and on this port.
async fn haproxy(instances: &[Instance]) -> ReverseProxy {
    let file = text("deploy/haproxy/haproxy.cfg");
    ReverseProxy::haproxy_with(|port| {
        let mut config = file.replace("bind :8080", &format!("bind {port}"));
        for (number, instance) in (1..).zip(instances) {
            let shipped = format!("scoring-{number}:8080 check port 8081");
            assert!(config.contains(&shipped), "{shipped}");
            let real = format!("{} check port {}", instance.public.addr(), instance.admin.addr().port());
            config = config.replace(&shipped, &real);
        }
        config
    })
    .await
}

async fn nginx(instances: &[Instance]) -> ReverseProxy {
    let file = text("deploy/nginx/scoring-api.conf");
    ReverseProxy::nginx_with(|port: SocketAddr| {
        let mut config = file.replace("listen 8080", &format!("listen {port}"));
        for (number, instance) in (1..).zip(instances) {
            let shipped = format!("scoring-{number}:8080");
            assert!(config.contains(&shipped), "{shipped}");
            config = config.replace(&shipped, &instance.public.addr().to_string());
        }
        config
    })
    .await
}

async fn seeded() -> ClusterGroup {
    let group = ClusterGroup::start().await;
    for (key, value) in TestApp::seeds() {
        group.store(key, value).await;
    }
    group.is_replicated().await;
    group
}

/// All instances are restarted, one after the other; then one is killed with -9; then a primary of the cluster.
#[rstest]
#[tokio::test]
async fn instances_restart_and_die_behind_a_proxy(#[values("haproxy", "nginx")] program: &str) {
    let group = seeded().await;
    let service = Box::pin(Service::start(&group, program)).await;

    let lasts = Stopwatch::start();
    let rolling = async {
        for instance in &service.instances {
            instance.restart().await;
            // As an orchestrator does, so that the proxy sees it ready before the next one leaves.
            sleep(Duration::from_secs(1)).await;
        }
    };
    let tally = Box::pin(service.meanwhile(rolling)).await;
    let failed = tally.failed.into_inner();
    assert!(failed.is_empty(), "of {} calls: {failed:?}", tally.calls.get());
    assert!(tally.refused.borrow().is_empty() || lasts.is_starved(), "{:?}", tally.refused);

    let killed = async {
        sleep(Duration::from_millis(300)).await;
        service.instances[0].signal(Signal::KILL);
        sleep(Duration::from_secs(2)).await;
    };
    let tally = Box::pin(service.meanwhile(killed)).await;
    let failed = tally.failed.into_inner();
    // Four callers have a call in flight each.
    assert!(failed.len() <= 4, "of {} calls: {failed:?}", tally.calls.get());

    let served = Cell::new(None);
    let old = group.servers[0].addr();
    let lasts = Stopwatch::start();
    let failover = async {
        group.servers[0].kill9();
        group.serves_without(&[old]).await;
        served.set(Some(Instant::now()));
        sleep(ALL_IS_OK_WITHIN + Duration::from_secs(1)).await;
    };
    let tally = Box::pin(service.meanwhile(failover)).await;
    let failed = tally.failed.into_inner();
    assert!(failed.is_empty(), "of {} calls: {failed:?}", tally.calls.get());
    let late = served.get().unwrap() + ALL_IS_OK_WITHIN;
    let refused = tally.refused.into_inner();
    assert!(lasts.is_starved() || refused.iter().all(|at| *at < late), "{refused:?} after {late:?}");
}
