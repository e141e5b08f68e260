//! A store that is found by its name: a name server that is silent or wrong, and a name with a dead address.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use rstest::rstest;
use scoring_api::{
    app::Stores,
    resolver::Resolver,
    store::{RedisConnector, url::StoreUrl},
};
use socket2::{Domain, Socket, Type};
use testkit::{ALL_IS_OK_WITHIN, RespServer, eventually, settings};
use tokio::sync::watch;

use super::{TestApp, seeded};

/// Both roles on `store`, which is found by the name that `resolver` looks up.
fn found_by(store: &RespServer, resolver: &Resolver) -> Stores {
    let url = format!("redis://redis.example:{}", store.addr().port());
    let Ok(StoreUrl::Redis(target)) = url.parse() else { panic!("{url}") };
    let limit = settings(&[]).store.connect_timeout;
    let connector = || Arc::new(RedisConnector::new(target.clone(), limit, resolver.clone()));
    Stores { cache: connector(), persistent: connector() }
}

fn at(ip: [u8; 4]) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(ip), 0))
}

async fn last_error(app: &TestApp) -> (String, String) {
    let ready = app.admin("/readyz").await.body;
    let text = |key: &str| ready["parts"]["persistent"][key].as_str().unwrap_or_default().to_owned();
    (text("last_error"), text("cause"))
}

#[tokio::test]
async fn row_52_a_silent_name_server_costs_one_look_up_at_a_time() {
    let store = seeded();
    let (healed, looked_up) = (watch::Sender::new(false), Arc::new(AtomicUsize::new(0)));
    let (heals, count) = (healed.subscribe(), looked_up.clone());
    let resolver = Resolver::new(move |_| {
        count.fetch_add(1, SeqCst);
        // As getaddrinfo does while no name server answers.
        while !*heals.borrow() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(vec![at([127, 0, 0, 1])])
    });
    let app = TestApp::with(&["http.workers=4"], found_by(&store, &resolver)).await;
    app.is_degraded().await;
    let refused = r#"scoring_store_operations_total{op="connect",outcome="unresolved",role="persistent"}"#;
    eventually(10 * ALL_IS_OK_WITHIN, "many attempts are given up", async || {
        app.metric(refused).await >= 50.0
    })
    .await;
    let cause = "the name redis.example does not resolve (no answer in time)";
    assert_eq!(last_error(&app).await, ("unresolved".to_owned(), cause.to_owned()));
    assert_eq!(looked_up.load(SeqCst), 1);
    healed.send_replace(true);
    app.recovers().await;
}

/// It ends at once, although the look-up goes on.
#[tokio::test]
async fn row_52_the_service_ends_while_a_look_up_is_blocked() {
    let store = seeded();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let resolver = Resolver::new(move |_| {
        _ = gate.lock().unwrap().recv();
        Ok(vec![])
    });
    let app = TestApp::with_stores(found_by(&store, &resolver)).await;
    app.is_degraded().await;
    let (ended, has_ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        drop(app);
        _ = ended.send(());
    });
    tokio::time::timeout(Duration::from_secs(30), has_ended).await.unwrap().unwrap();
    drop(open);
}

#[tokio::test]
async fn row_56_a_name_that_does_not_resolve_is_named_and_tried_again() {
    let store = seeded();
    let healed = watch::Sender::new(false);
    let heals = healed.subscribe();
    let resolver = Resolver::new(move |_| {
        if *heals.borrow() {
            Ok(vec![at([127, 0, 0, 1])])
        } else {
            Err(io::Error::other("Name or service not known"))
        }
    });
    let app = TestApp::with_stores(found_by(&store, &resolver)).await;
    app.is_degraded().await;
    let cause = "the name redis.example does not resolve (Name or service not known)";
    assert_eq!(last_error(&app).await, ("unresolved".to_owned(), cause.to_owned()));
    healed.send_replace(true);
    app.recovers().await;
}

/// Nothing listens at the first address; or its queue is full, so that packets are dropped; or it never answers.
#[rstest]
#[case::refuses(None)]
#[case::drops_packets(Some(1))]
#[case::never_answers(Some(64))]
#[tokio::test]
async fn row_53_a_name_with_a_dead_first_address_uses_the_second(#[case] backlog: Option<i32>) {
    let store = seeded();
    let dead = SocketAddr::from(([127, 0, 0, 2], store.addr().port()));
    let _listening = backlog.map(|backlog| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&dead.into()).unwrap();
        socket.listen(backlog).unwrap();
        let queued = if backlog == 1 { 2 } else { 0 };
        let queued: Vec<_> = (0..queued).map(|_| std::net::TcpStream::connect(dead).unwrap()).collect();
        (socket, queued)
    });
    let resolver = Resolver::new(|_| Ok(vec![at([127, 0, 0, 2]), at([127, 0, 0, 1])]));
    let app = TestApp::with_stores(found_by(&store, &resolver)).await;
    let begun = Instant::now();
    app.recovers().await;
    assert!(begun.elapsed() <= 2 * ALL_IS_OK_WITHIN, "{:?}", begun.elapsed());
}
