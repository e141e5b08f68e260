//! One service per test, in the test's process, on free ports: asked over HTTP, as its users do.
//!
//! The service runs on a thread of its own and ends with its [`TestApp`]. Its stores are chosen by URL or handed in, so a
//! test can put anything behind it; its actors' addresses are known, so a test can send them messages of its own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use scoring_api::{
    actors::Tree,
    app::{Application, Stores},
    config::Settings,
    store::Memory,
};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::{Person, Stopwatch, call, eventually, http_client, share};

/// A service under test.
pub struct TestApp {
    address: SocketAddr,
    admin_address: SocketAddr,
    client: reqwest::Client,
    trees: Arc<Mutex<Vec<Tree>>>,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// An answer, and how long it took.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// Null if it is no JSON.
    pub body: Value,
    /// Less the lateness of a busy machine.
    pub took: Duration,
}

// ===== impl TestApp =====

impl TestApp {
    /// A service on a store in memory.
    pub async fn spawn() -> Self {
        Self::on("memory:").await
    }

    /// A service on the store at `url`, for both roles.
    pub async fn on(url: &str) -> Self {
        Self::with_settings(&[&format!("store.url={url}")]).await
    }

    /// A service with these settings besides those that a test always needs.
    pub async fn with_settings(assignments: &[&str]) -> Self {
        let settings = settings(assignments);
        let stores = Stores::from_settings(&settings);
        Self::start(settings, stores).await
    }

    /// A service with the cache at `url`, and [`seeds`](Self::seeds) in memory.
    pub async fn with_cache(url: &str) -> Self {
        let settings = settings(&[&format!("cache.url={url}")]);
        let memory = Memory::new(1_000);
        for (key, value) in Self::seeds() {
            memory.insert(key.to_owned(), value.into());
        }
        let stores = Stores { persistent: Arc::new(memory), ..Stores::from_settings(&settings) };
        Self::start(settings, stores).await
    }

    /// A service on given stores.
    pub async fn with_stores(stores: Stores) -> Self {
        Self::with(&[], stores).await
    }

    /// A service with these settings on given stores.
    pub async fn with(assignments: &[&str], stores: Stores) -> Self {
        Self::start(settings(assignments), stores).await
    }

    /// A service with these settings, on given stores.
    pub async fn start(settings: Settings, stores: Stores) -> Self {
        share();
        let trees = Arc::<Mutex<Vec<Tree>>>::default();
        let (started, addresses) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let known = trees.clone();
        let thread = thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let on_tree = move |tree: &Tree| known.lock().unwrap().push(tree.clone());
                let app = Application::assemble(&settings, stores, on_tree).unwrap();
                started.send((app.address(), app.admin_address().unwrap())).unwrap();
                app.run_until(async { _ = stopped.await }).await.unwrap();
            });
        });
        let (address, admin_address) = addresses.await.unwrap();
        let client = http_client();
        let app = Self {
            address,
            admin_address,
            client,
            trees,
            stop: Mutex::new(Some(stop)),
            thread: Some(thread),
        };
        eventually(Duration::from_secs(10), "the service listens", async || {
            app.admin("/healthz").await.status == 200
        })
        .await;
        app
    }

    /// Tells the service to stop, as SIGTERM does.
    pub fn stop(&self) {
        drop(self.stop.lock().unwrap().take());
    }

    /// Where the public listener is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the operators' listener is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// The first worker's actors.
    pub fn tree(&self) -> Tree {
        self.trees.lock().unwrap()[0].clone()
    }

    /// `POST /method` with these bytes.
    pub async fn post(&self, body: impl Into<reqwest::Body>) -> Reply {
        self.send(self.client.post(self.url("/method")).body(body)).await
    }

    /// `POST /method` with a signed call.
    pub async fn call(&self, method: &str, arguments: Value) -> Reply {
        self.post(call(method, arguments).to_string()).await
    }

    /// `online_score`.
    pub async fn online_score(&self, person: &Person) -> Reply {
        self.call("online_score", person.arguments()).await
    }

    /// `clients_interests`.
    pub async fn interests(&self, ids: &[i64]) -> Reply {
        self.call("clients_interests", serde_json::json!({ "client_ids": ids })).await
    }

    /// A request to the public listener.
    pub fn request(&self, verb: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(verb, self.url(path))
    }

    /// A request to the operators' listener.
    pub fn admin_request(&self, verb: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(verb, format!("http://{}{path}", self.admin_address))
    }

    /// Sends it.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        self.try_send(request).await.unwrap()
    }

    /// Sends it, to a service that may be gone.
    pub async fn try_send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let stopwatch = Stopwatch::start();
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?;
        let took = stopwatch.took();
        Ok(Reply { status, headers, body: serde_json::from_slice(&body).unwrap_or_default(), took })
    }

    /// `GET` from the operators' listener.
    pub async fn admin(&self, path: &str) -> Reply {
        self.send(self.client.get(format!("http://{}{path}", self.admin_address))).await
    }

    /// The state in `/readyz`, after it has answered 200.
    pub async fn readiness(&self) -> String {
        let ready = self.admin("/readyz").await;
        assert_eq!(ready.status, 200, "{ready:?}");
        ready.body["status"].as_str().unwrap().to_owned()
    }

    /// The metrics, as Prometheus scrapes them.
    pub async fn scrape(&self) -> String {
        let url = format!("http://{}/metrics", self.admin_address);
        self.client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The value of a metric, with its labels as they are printed; 0 if it is not there yet.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.scrape().await;
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How often actors of this name were restarted.
    pub async fn restarts(&self, actor: &str) -> u64 {
        let ready = self.admin("/readyz").await;
        ready.body["parts"][actor]["restarts"].as_u64().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        // Open connections would keep the service waiting.
        self.client = http_client();
        self.trees.lock().unwrap().clear();
        self.stop();
        let ended = self.thread.take().map(thread::JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().expect("the service ended by a panic");
        }
    }
}

// ===== impl Reply =====

impl Reply {
    /// The score of a successful answer.
    pub fn score(&self) -> f64 {
        assert_eq!(self.status, 200, "{self:?}");
        self.body["response"]["score"].as_f64().unwrap()
    }

    /// The response of a successful answer.
    pub fn response(&self) -> &Value {
        assert_eq!(self.status, 200, "{self:?}");
        &self.body["response"]
    }

    /// The text of a refusal, after checking that it has the shape of one.
    pub fn error(&self) -> &str {
        assert_eq!(self.body["code"], self.status, "{self:?}");
        assert_eq!(self.body.as_object().unwrap().len(), 2, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        self.body["error"].as_str().unwrap()
    }
}

/// Settings that a test always needs, and `assignments`.
pub fn settings(assignments: &[&str]) -> Settings {
    let always = [
        "http.bind=127.0.0.1:0",
        "admin.bind=127.0.0.1:0",
        "http.workers=1",
        "store.url=memory:",
        "shutdown.grace=0s",
    ];
    let assignments: Vec<_> = always.iter().chain(assignments).map(ToString::to_string).collect();
    Settings::load(None, [], &assignments).unwrap()
}
