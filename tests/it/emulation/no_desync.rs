//! Row 27: after any cancellation or timeout, no answer belongs to another request.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use testkit::{Conditions, Loss, Proxy, TestApp, alone};
use tokio::{task::JoinSet, time::timeout};

use super::seeded;

const CLIENTS: i64 = 40;
const CALLS: i64 = 250;
const FIRST_ID: i64 = 1_000;

/// 10,000 reads of distinct keys. A third of the callers go away in the middle, and the network's latency sways around
/// the time limit of a try, so that many tries time out and are answered late.
#[tokio::test]
async fn row_27_no_answer_ever_belongs_to_another_request() {
    alone();
    let store = seeded();
    for id in 0..CLIENTS * CALLS {
        store.put(&format!("i:{}", FIRST_ID + id), format!(r#"["of {}"]"#, FIRST_ID + id));
    }
    let proxy = Proxy::seeded(store.addr(), 27);
    let app = Arc::new(TestApp::on(&format!("redis://{}", proxy.addr())).await);
    app.recovers().await;
    proxy.set(Conditions {
        latency: Duration::from_millis(1),
        jitter: Duration::from_millis(20),
        loss: Some(Loss { chance: 0.01, stall: Duration::from_millis(200) }),
        ..Conditions::default()
    });

    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = app.clone();
        clients.spawn(async move {
            let mut answered = 0;
            for call in 0..CALLS {
                let id = FIRST_ID + client * CALLS + call;
                let patience = Duration::from_millis(if fastrand::u8(..) < 85 {
                    1 + fastrand::u64(..30)
                } else {
                    10_000
                });
                let Ok(reply) = timeout(patience, app.interests(&[id])).await else {
                    continue;
                };
                match reply.status {
                    200 => {
                        assert_eq!(*reply.response(), json!({ id.to_string(): [format!("of {id}")] }));
                        answered += 1;
                    }
                    503 => {}
                    _ => panic!("{reply:?}"),
                }
            }
            answered
        });
    }
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client.expect("an answer belonged to another request");
    }
    assert!(answered > CLIENTS * CALLS / 4, "only {answered} answers could be checked");
}
