//! Asks the service for its readiness over HTTP, as a load balancer does.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The time limit of one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// The parts of `GET /readyz` that the demo judges by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Readiness {
    /// `ready`, `degraded`, `draining`, …; empty if there was no answer.
    pub(super) status: String,
    /// Stores by role, and actors by name.
    pub(super) parts: BTreeMap<String, Part>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
/// A store or an actor.
pub(super) struct Part {
    status: String,
    #[serde(default)]
    restarts: u64,
    writes: Option<Writes>,
}

/// Whether a store accepts writes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Writes {
    status: String,
}

// ===== impl Readiness =====

impl Readiness {
    /// The number of restarts of the actor `name`, over all workers.
    pub(super) fn restarts(&self, name: &str) -> u64 {
        self.parts.get(name).map_or(0, |part| part.restarts)
    }

    /// Whether the store of the role `name` refuses writes.
    pub(super) fn refuses_writes(&self, name: &str) -> bool {
        let writes = self.parts.get(name).and_then(|part| part.writes.as_ref());
        writes.is_some_and(|writes| writes.status == "refused")
    }

    /// Whether an actor called `name` restarts too often.
    pub(super) fn is_failing(&self, name: &str) -> bool {
        self.parts.get(name).is_some_and(|part| part.status == "failing")
    }
}

/// The readiness of the service whose operators' listener is at `address`; the default without an answer.
pub(super) async fn ask(address: SocketAddr) -> Readiness {
    match timeout(PATIENCE, get(address)).await {
        Ok(Ok(answer)) => read(&answer).unwrap_or_default(),
        Ok(Err(_)) | Err(_) => Readiness::default(),
    }
}

async fn get(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Reads the body, which is the answer behind its head. The status code says less than the body.
fn read(answer: &[u8]) -> Option<Readiness> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    serde_json::from_slice(answer.get(end + 4..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_that_decide_are_read() {
        let body = r#"{"status":"degraded","parts":{"cache":{"status":"up","kind":"memory","writes":{"status":"refused"}},
            "cache_store":{"status":"failing","restarts":7},"scoring":{"status":"running","restarts":0}}}"#;
        let found = read(format!("HTTP/1.1 200 OK\r\na: b\r\n\r\n{body}").as_bytes()).unwrap();
        assert_eq!((found.status.as_str(), found.restarts("cache_store")), ("degraded", 7));
        assert!(found.refuses_writes("cache") && !found.refuses_writes("cache_store"));
        assert!(found.is_failing("cache_store") && !found.is_failing("scoring") && !found.is_failing("x"));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\n\r\nnot JSON"), None);
    }
}
