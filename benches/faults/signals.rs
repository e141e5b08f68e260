//! Row 42: SIGTERM, once and twice.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use rustix::process::Signal;
use serde_json::json;
use testkit::{
    bench::client::{Connection, post},
    call,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    load::{Load, some_clients},
    own::start,
    row::{Outcome, ms},
};

/// Row 42, one signal. Clients go on until their connection is rejected, and must see no other error.
pub fn sigterm() -> LocalBoxFuture<'static, Outcome> {
    const GRACE: Duration = Duration::from_millis(500);
    const DRAIN: Duration = Duration::from_secs(20);
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, mut service) = start(&["shutdown.grace=500ms"]).await;
        let target = service.target.clone();
        let answered = Arc::new(AtomicUsize::new(0));
        let mut clients = JoinSet::new();
        for number in 0..24 {
            let (address, answered) = (target.public(), answered.clone());
            // Two of three keep their connections alive.
            clients.spawn(call_until_refused(address, number % 3 > 0, answered));
        }
        sleep(Duration::from_secs(1)).await;
        let before = answered.load(Relaxed);
        service.signal(Signal::TERM);
        sleep(GRACE / 5).await;
        let (code, state) = target.readiness().await;
        out.must((code, state.as_str()) == (503, "draining"), format!("/readyz {code} {state}"));
        let end = service.ends(GRACE + DRAIN + Duration::from_secs(2)).await;
        match end {
            Some((code, took)) => {
                let took = took + GRACE / 5;
                out.note(format!("exits after {}", ms(took)));
                out.must(code == Some(0), format!("exit code {code:?}"));
                out.within("exit", took, GRACE + DRAIN);
            }
            None => out.must(false, "does not exit"),
        }
        let failed: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        out.note(format!(
            "{} calls answered before the signal, {} after, {} failed",
            before,
            answered.load(Relaxed) - before,
            failed.len()
        ));
        out.must(
            failed.is_empty(),
            format!("{} accepted calls failed, such as {:?}", failed.len(), failed.first()),
        );
        out
    })
}

/// The error of a call on an existing connection, if there was one.
async fn call_until_refused(
    address: std::net::SocketAddr,
    keep_alive: bool,
    answered: Arc<AtomicUsize>,
) -> Option<String> {
    let mut kept: Option<Connection> = None;
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match Connection::open(address).await {
                Ok(connection) => connection,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return None,
                Err(error) => return Some(format!("connect: {error}")),
            },
        };
        let body = call("clients_interests", json!({ "client_ids": some_clients() })).to_string();
        let request = if keep_alive {
            post(&body)
        } else {
            post(&body).replacen("host: api", "host: api\r\nconnection: close", 1)
        };
        match connection.exchange(request.as_bytes()).await {
            Ok(answer) if answer.code == 200 => {
                answered.fetch_add(1, Relaxed);
                kept = (keep_alive && !answer.is_last()).then_some(connection);
            }
            Ok(answer) => return Some(format!("{} {}", answer.code, answer.text())),
            Err(error) => return Some(error.to_string()),
        }
        sleep(Duration::from_millis(5)).await;
    }
    Some("never refused".to_owned())
}

/// Row 42, two signals.
pub fn sigterm_twice() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, mut service) = start(&["shutdown.grace=5s"]).await;
        let load = Load::start(service.target.clone(), 100).await;
        sleep(Duration::from_millis(500)).await;
        service.signal(Signal::TERM);
        sleep(Duration::from_millis(100)).await;
        service.signal(Signal::TERM);
        match service.ends(Duration::from_secs(20)).await {
            Some((code, took)) => {
                out.note(format!("exits {} after the second, with {}", ms(took), code.unwrap_or_default()));
                out.within("exit", took, Duration::from_millis(500));
            }
            None => out.must(false, "does not exit"),
        }
        drop(load);
        out
    })
}
