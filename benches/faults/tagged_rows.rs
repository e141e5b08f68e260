//! Rows with a procedure of their own on memcached and Tarantool.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use scoring_api::{
    resolver::Resolver,
    store::{Connector, Purpose, TarantoolConnector, open_bulk, url::StoreUrl},
};
use testkit::{TaggedServer, TarantoolServer, Wrong, bench::client::stored};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    outage::Outage,
    row::{Outcome, ms},
    service::Service,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Row 48: answers that are lost, one by one, while others overtake them.
pub fn answers_get_lost() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let double = TaggedServer::tarantool();
        stored().for_each(|(key, value)| double.put(&key, value));
        let service = Service::start(&[&format!("store.url={}", double.url())]).await;
        let outage = Outage::of(&service).await;
        sleep(Duration::from_secs(1)).await;
        let before = double.door.accepted();
        for _ in 0..4 {
            double.answer_wrongly(Wrong::Nothing, 1);
            sleep(Duration::from_millis(800)).await;
        }
        outage.recovers(&mut out).await;
        // The last of them may still be waited for.
        let replaced = double.door.accepted() - before;
        out.note(format!("{replaced} new connections for 4 lost answers"));
        out.must(replaced >= 3, "a connection with a lost answer was kept");
        out
    })
}

/// Row 23: an import of 100,000 clients, beside reads of ten of them every two milliseconds.
pub fn an_import_beside_reads() -> LocalBoxFuture<'static, Outcome> {
    const CLIENTS: usize = 100_000;
    const LONGEST: Duration = Duration::from_millis(100);
    Box::pin(async {
        let mut out = Outcome::default();
        let server = TarantoolServer::start().await;
        let entries = |value: &'static str| -> Vec<(String, Vec<u8>)> {
            (0..CLIENTS).map(|id| (format!("i:{id}"), value.as_bytes().to_vec())).collect()
        };
        let import = |value| {
            let (url, entries): (StoreUrl, _) = (server.import_url().parse().unwrap(), entries(value));
            spawn_blocking(move || {
                let begun = Instant::now();
                let store = open_bulk(&url, PATIENCE, &Resolver::system(), Purpose::Write).unwrap();
                store.put_all(&entries, &|| {}).map(|()| begun.elapsed()).map_err(|error| error.to_string())
            })
        };
        out.must(import(r#"["old"]"#).await.unwrap().is_ok(), "the first import failed");
        is_moved(&server).await;
        let service = Service::start(&[&format!("store.url={}", server.url())]).await;
        let StoreUrl::Tarantool(target) = server.url().parse().unwrap() else { unreachable!() };
        let connector = TarantoolConnector::new(target, PATIENCE, Resolver::system());
        let connection = connector.connect().await.unwrap();
        let keys: Arc<[String]> = (0..10).map(|part| format!("i:{}", part * CLIENTS / 10)).collect();

        let is_over = Arc::new(AtomicBool::new(false));
        let reads = async {
            let (mut count, mut slowest, mut states) = (0, Duration::ZERO, Vec::new());
            while !is_over.load(Relaxed) {
                let begun = Instant::now();
                let values = connection.get_many(keys.clone()).await.unwrap();
                slowest = slowest.max(begun.elapsed());
                count += 1;
                if values.iter().any(|value| *value != values[0]) {
                    states.push("half of an import".to_owned());
                } else {
                    let state =
                        String::from_utf8_lossy(values[0].as_deref().unwrap_or_default()).into_owned();
                    if states.last() != Some(&state) {
                        states.push(state);
                    }
                }
                sleep(Duration::from_millis(2)).await;
            }
            (count, slowest, states)
        };
        let importing = async {
            sleep(Duration::from_millis(200)).await;
            let took = import(r#"["new"]"#).await.unwrap();
            let begun = Instant::now();
            is_moved(&server).await;
            sleep(Duration::from_millis(200)).await;
            is_over.store(true, Relaxed);
            (took, begun.elapsed())
        };
        let ((count, slowest, states), (took, moved)) = tokio::join!(reads, importing);
        match took {
            Ok(took) => out.note(format!("imported in {}, moved {} after that", ms(took), ms(moved))),
            Err(error) => out.must(false, error),
        }
        out.note(format!("{count} reads, the slowest {}", ms(slowest)));
        out.within("a read beside the import", slowest, LONGEST);
        out.must(states == [r#"["old"]"#, r#"["new"]"#], format!("readers saw {states:?}"));
        let (code, state) = service.target.readiness().await;
        out.must((code, state.as_str()) == (200, "ready"), format!("/readyz {code} {state}"));
        out
    })
}

async fn is_moved(server: &TarantoolServer) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if server.lua("return box.space.scoring_live:len()").await.contains("- 0") {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
