//! A real headless Chromium for one test, driven through chromedriver's WebDriver interface (W3C WebDriver, level 1).
//!
//! The few commands that are needed are said here directly: they are plain JSON over HTTP. The profile is a new folder,
//! and the browser is told to keep to itself.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use tempfile::TempDir;

use super::{eventually, http_client, port::ReservedPort};

const START_WITHIN: Duration = Duration::from_secs(60);
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A browser with one page. Dropping it ends chromedriver and every process of the browser.
pub struct Browser {
    client: reqwest::Client,
    session: String,
    _driver: Driver,
    _profile: TempDir,
}

/// chromedriver, the head of a process group that its browsers belong to.
struct Driver(Child);

// ===== impl Browser =====

impl Browser {
    /// Starts one.
    ///
    /// # Panics
    ///
    /// When Chromium or chromedriver is not installed.
    pub async fn start() -> Self {
        let port = free_port();
        let driver = Driver::start(port);
        let profile = tempfile::tempdir().unwrap();
        let client = http_client();
        let url = format!("http://127.0.0.1:{port}");
        eventually(START_WITHIN, "chromedriver is ready", async || {
            let status = client.get(format!("{url}/status")).send().await;
            status.is_ok_and(|status| status.status().is_success())
        })
        .await;
        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", profile.path().display()));
        let options = json!({ "args": flags });
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}});
        let mut browser =
            Self { client, session: format!("{url}/session"), _driver: driver, _profile: profile };
        let session = browser.command("", wanted).await;
        browser.session = format!("{}/{}", browser.session, session["sessionId"].as_str().unwrap());
        browser
    }

    /// Opens a page and waits until it is loaded.
    pub async fn open(&self, url: &str) {
        self.command("/url", json!({ "url": url })).await;
    }

    /// Sets the size of the window.
    pub async fn resize(&self, width: u32, height: u32) {
        self.command("/window/rect", json!({"width": width, "height": height})).await;
    }

    /// Sets the size of the page, also to one that is too narrow for a window, as on a phone.
    pub async fn screen(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Runs `script` in each page that is opened from now on, before the page's own scripts.
    pub async fn run_first(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Lets pages see a system that is set to dark colours.
    pub async fn prefer_dark(&self) {
        let features = json!([{"name": "prefers-color-scheme", "value": "dark"}]);
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Runs the body of a JavaScript function in the page, and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until `script` returns true.
    pub async fn until(&self, what: &str, script: &str) {
        // Between two looks the page is left alone: it has one thread, and would never come to its own work.
        let script =
            format!("return new Promise(seen => setTimeout(() => seen((() => {{{script}}})()), 100))");
        eventually(START_WITHIN, what, async || self.run(&script).await == json!(true)).await;
    }

    /// The page's errors so far, such as violations of its content security policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("/se/log", json!({"type": "browser"})).await;
        log.as_array().unwrap().iter().map(|line| line["message"].to_string()).collect()
    }

    /// The page as a PNG, in base 64.
    pub async fn screenshot(&self) -> String {
        let answer = self.client.get(format!("{}/screenshot", self.session)).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["value"].as_str().unwrap().to_owned()
    }

    /// A command of Chromium's own protocol.
    async fn devtools(&self, command: &str, params: Value) {
        self.command("/goog/cdp/execute", json!({"cmd": command, "params": params})).await;
    }

    async fn command(&self, path: &str, body: Value) -> Value {
        let answer = self.client.post(format!("{}{path}", self.session)).json(&body).send().await.unwrap();
        let status = answer.status();
        let mut answer: Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {answer}");
        answer["value"].take()
    }
}

// ===== impl Driver =====

impl Driver {
    fn start(port: u16) -> Self {
        let program = ["/usr/bin/chromedriver", "/usr/bin/chromium"];
        let missing = program.iter().find(|path| !Path::new(path).exists());
        if let Some(missing) = missing {
            panic!("{missing} is missing; install it with: apt-get install -y chromium chromium-driver");
        }
        let child = Command::new("/usr/bin/chromedriver")
            .arg(format!("--port={port}"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        _ = self.0.wait();
    }
}

/// chromedriver does not share a port, so it cannot stay reserved.
fn free_port() -> u16 {
    ReservedPort::new().addr().port()
}
