//! Load of TLS handshakes: each connection makes a full handshake and one call, then closes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use rustls::{ClientConfig, client::Resumption, pki_types::ServerName};
use testkit::{Certificate, bench::client::post};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::wrk::Summary;

/// Maximum time of one connection; a later one is an error.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens connections one after another, `at_once` at a time, for this long. A request of the summary is a handshake with its call.
pub async fn handshakes(
    address: SocketAddr,
    mut client: ClientConfig,
    body: &str,
    at_once: usize,
    lasts: Duration,
) -> Summary {
    // Resumed sessions would skip the signature, which is the costly part.
    client.resumption = Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(client));
    let call = post(body);
    let (requests, errors) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..at_once {
        let (connector, call) = (connector.clone(), call.clone());
        let (requests, errors) = (Arc::clone(&requests), Arc::clone(&errors));
        callers.spawn(async move {
            while begun.elapsed() < lasts {
                let outcome = timeout(PATIENCE, shake(&connector, address, call.as_bytes())).await;
                let count = if matches!(outcome, Ok(Ok(true))) { &requests } else { &errors };
                count.fetch_add(1, Relaxed);
            }
        });
    }
    callers.join_all().await;
    Summary {
        requests: requests.load(Relaxed),
        microseconds: u64::try_from(begun.elapsed().as_micros()).unwrap(),
        errors: errors.load(Relaxed),
        p50_us: 0.0,
        p99_us: 0.0,
        request_bytes: 0.0,
        reply_bytes: 0.0,
    }
}

/// Whether the call of one new connection was answered with 200.
async fn shake(connector: &TlsConnector, address: SocketAddr, call: &[u8]) -> std::io::Result<bool> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(Certificate::NAME).map_err(std::io::Error::other)?;
    let mut stream = connector.connect(name, stream).await?;
    stream.write_all(call).await?;
    let mut answer = [0; 1 << 10];
    let length = stream.read(&mut answer).await?;
    Ok(answer[..length].starts_with(b"HTTP/1.1 200"))
}
