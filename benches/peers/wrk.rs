//! Load as fast as the contender answers: wrk.

use std::{
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Deserialize;
use tokio::{process::Command, time::timeout};

/// One for each core: a single thread would limit the fastest contender.
const THREADS: usize = 2;

/// wrk ends by itself. This bounds the wait if it does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Result of a run of wrk.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Summary {
    pub requests: u64,
    pub microseconds: u64,
    /// Connections that failed, timed out or were cut off, and answers other than 2xx.
    pub errors: u64,
    /// Latency, from a request to its answer.
    pub p50_us: f64,
    pub p99_us: f64,
    /// Mean size of a message, with its header.
    pub request_bytes: f64,
    pub reply_bytes: f64,
}

// ===== impl Summary =====

impl Summary {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / (self.microseconds as f64 / 1e6)
    }
}

/// Posts the bodies of a file to `url` over this many connections for this long.
pub async fn wrk(url: &str, bodies: &Path, connections: usize, lasts: Duration) -> Summary {
    // Different runs ask for the same person only if they mean to.
    static FIRST: AtomicU64 = AtomicU64::new(0);
    let first = FIRST.fetch_add(10_000_000, Relaxed) % 10_000_000_000;
    let running = Command::new("wrk")
        .args(["-t", &THREADS.min(connections).to_string(), "-c", &connections.to_string()])
        .args(["-d", &format!("{}s", lasts.as_secs().max(1)), "--timeout", "5s"])
        .args(["-s", concat!(env!("CARGO_MANIFEST_DIR"), "/bench/wrk.lua")])
        .arg(url)
        .arg("--")
        .arg(bodies)
        .arg(first.to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(lasts + PATIENCE, running).await.expect("wrk ends in time").expect("wrk starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("summary "));
    serde_json::from_str(line.unwrap_or_else(|| panic!("wrk said no summary: {text}"))).unwrap()
}
