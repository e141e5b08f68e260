//! A store inside the test process that answers wrongly, or not at all, and a bad network.
//!
//! The tests are named after the rows of the fault table.

pub mod interleavings;
mod link;
mod log_in;
mod loss;
mod names;
mod no_desync;
mod replies;
mod replies_astray;
mod replies_without_end;
mod tagged;

use std::sync::Arc;

use testkit::{Proxy, RespServer, TestApp};

/// A service on a healthy store that speaks Redis' protocol.
async fn on_resp() -> (RespServer, Arc<TestApp>) {
    let store = seeded();
    let app = Arc::new(TestApp::on(&store.url()).await);
    app.recovers().await;
    (store, app)
}

/// The same, with limits in time that a starved machine does not reach.
async fn on_resp_without_haste() -> (RespServer, Arc<TestApp>) {
    let store = seeded();
    let url = format!("store.url={}", store.url());
    let settings = [&url, "store.timeout=30s", "store.deadline=30s", "cache.timeout=30s"];
    let app = Arc::new(TestApp::with_settings(&settings).await);
    app.recovers().await;
    (store, app)
}

/// A service on a healthy store, with a network in between.
async fn behind_proxy() -> (RespServer, Proxy, Arc<TestApp>) {
    let store = seeded();
    let proxy = Proxy::to(store.addr());
    let app = Arc::new(TestApp::on(&format!("redis://{}", proxy.addr())).await);
    app.recovers().await;
    (store, proxy, app)
}

fn seeded() -> RespServer {
    let store = RespServer::start();
    for (key, value) in TestApp::seeds() {
        store.put(key, value);
    }
    store
}
