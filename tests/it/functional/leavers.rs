//! Row 34: clients that go away in the middle of a call.

use std::{fs, sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, pending},
};
use scoring_api::{
    app::Stores,
    store::{BackendError, Connection, Connector, Memory, ReplyFuture},
};
use serde_json::json;
use testkit::{TestApp, Wire, alone, call, eventually, post};
use tokio::{select, sync::Semaphore, time::sleep};

const IN_FLIGHT: usize = 16;
const LEAVERS: usize = 1_008;
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(10);

/// A store that takes 10 ms to answer, and tells when it is asked.
#[derive(Debug, Clone)]
struct Slow {
    asked: Arc<Semaphore>,
    memory: Memory,
}

impl Connector for Slow {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        async { Ok(connection) }.boxed()
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn address(&self) -> String {
        "scripted".to_owned()
    }
}

impl Connection for Slow {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        self.memory.get(key)
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        self.asked.add_permits(1);
        let found = self.memory.get_many(keys);
        async {
            sleep(Duration::from_millis(10)).await;
            found.await
        }
        .boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        self.memory.set(key, value, ttl)
    }

    fn silent_for(&self) -> Duration {
        Duration::ZERO
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        pending().boxed()
    }

    fn close(&self) {}
}

/// One client that leaves while it sends its head or its body, or while its call is at the store.
async fn leave(app: &TestApp, store: &Slow, number: usize) {
    let request = post(&call("clients_interests", json!({ "client_ids": [1] })).to_string());
    let mut wire = Wire::to(app.address()).await;
    match number % 4 {
        0 => wire.send(&request[..20]).await.unwrap(),
        1 => wire.send(&request[..request.len() - 20]).await.unwrap(),
        _ => {
            wire.send(&request).await.unwrap();
            select! {
                asked = store.asked.acquire() => asked.unwrap().forget(),
                // Rejected, because the calls of clients that left are still in flight.
                () = wire.answered() => {}
            }
        }
    }
    // Some hang up, some crash.
    if number.is_multiple_of(3) {
        drop(wire);
    } else {
        wire.crash();
    }
}

/// Connections that the service holds, from the kernel's table: tests that run beside this one have descriptors, too.
fn connections_of(app: &TestApp) -> usize {
    const ESTABLISHED: &str = "01";
    const LEFT_BY_THE_CLIENT: &str = "08";
    let ours = format!(":{:04X}", app.address().port());
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let held = table.lines().filter(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        local.is_some_and(|local| local.ends_with(&ours))
            && state.is_some_and(|state| [ESTABLISHED, LEFT_BY_THE_CLIENT].contains(&state))
    });
    held.count()
}

#[tokio::test]
async fn row_34_a_thousand_clients_that_leave_cost_nothing() {
    alone();
    let memory = Memory::new(100);
    memory.insert("i:1".into(), br#"["books"]"#.to_vec());
    let store = Slow { asked: Arc::new(Semaphore::new(0)), memory };
    let limit = format!("limits.max_in_flight={IN_FLIGHT}");
    let stores = Stores { cache: Arc::new(store.memory.clone()), persistent: Arc::new(store.clone()) };
    let app = TestApp::with(&[&limit], stores).await;

    for first in (0..LEAVERS).step_by(IN_FLIGHT) {
        join_all((first..first + IN_FLIGHT).map(|number| leave(&app, &store, number))).await;
    }

    eventually(FORGOTTEN_WITHIN, "no request is in flight", async || {
        app.metric("scoring_requests_in_flight").await == 0.0
    })
    .await;
    eventually(FORGOTTEN_WITHIN, "no connection is held", async || connections_of(&app) == 0).await;
    // Each permit is back: as many calls as there are permits are all admitted, again and again.
    eventually(FORGOTTEN_WITHIN, "all permits are back", async || {
        join_all((0..IN_FLIGHT).map(|_| app.interests(&[1]))).await.iter().all(|reply| reply.status == 200)
    })
    .await;
    for _ in 0..10 {
        for reply in join_all((0..IN_FLIGHT).map(|_| app.interests(&[1]))).await {
            assert_eq!(*reply.response(), json!({"1": ["books"]}));
        }
    }
}
