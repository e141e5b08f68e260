//! Row 35: heads and bodies that never end, and their effect on other clients.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use testkit::bench::client::{Connection, Method};
use tokio::time::sleep;

use crate::{
    load::Load,
    measure::percentile,
    own::start,
    row::{Outcome, ms},
};

/// Of each kind.
const SLOW_CLIENTS: usize = 100;
/// Pairs of a phase without slow clients and one with them.
const ROUNDS: usize = 9;
const PHASE: Duration = Duration::from_millis(800);
/// Calls of each method a second.
const RATE: u32 = 500;
/// Maximum growth of the others' p99.
const GROWTH: f64 = 0.1;

/// The service waits until the bound; then the answer must be sent.
const SLACK: Duration = Duration::from_millis(100);

const HEAD: &str = "POST /method HTTP/1.1\r\nhost: api\r\n";

/// Row 35.
pub fn slow_clients() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, service) = start(&[]).await;
        let target = service.target.clone();

        // One phase is too short for a meaningful p99, and the machine changes over long ones. So they alternate, and
        // each is compared with its neighbour.
        let mut p99s = [Vec::new(), Vec::new()];
        for round in 0..2 * ROUNDS {
            let slow = round % 2 == 1;
            let mut held = Vec::new();
            for _ in 0..if slow { SLOW_CLIENTS } else { 0 } {
                held.push(unfinished(target.public(), HEAD).await);
                held.push(unfinished(target.public(), &format!("{HEAD}content-length: 100\r\n\r\n{{")).await);
            }
            out.must(held.iter().all(Option::is_some), "a slow client was not accepted");
            let load = Load::start(target.clone(), RATE).await;
            sleep(PHASE).await;
            let samples = load.end().await;
            let mut took: Vec<_> =
                samples.iter().filter(|s| s.method == Method::OnlineScore).map(|s| s.took).collect();
            took.sort_unstable();
            p99s[usize::from(slow)].push(percentile(&took, 0.99));
        }
        let [without, with] = &p99s;
        let mut growth: Vec<_> = without
            .iter()
            .zip(with)
            .map(|(without, with)| with.as_secs_f64() / without.as_secs_f64() - 1.0)
            .collect();
        growth.sort_by(f64::total_cmp);
        let median = growth[ROUNDS / 2];
        let [without, with] = p99s.map(|mut all| {
            all.sort_unstable();
            all[ROUNDS / 2]
        });
        out.note(format!(
            "others' score, medians of {ROUNDS} rounds: p99 {}, with {} slow clients {}, growth {:+.0} %",
            ms(without),
            2 * SLOW_CLIENTS,
            ms(with),
            100.0 * median
        ));
        out.must(median <= GROWTH, format!("others' p99 grew by {:.0} %", 100.0 * median));

        for (what, request, bound) in [
            ("head", HEAD.to_owned(), Duration::from_secs(5)),
            ("body", format!("{HEAD}content-length: 100\r\n\r\n{{"), Duration::from_secs(10)),
        ] {
            let begun = Instant::now();
            let Some(mut connection) = unfinished(target.public(), &request).await else {
                out.must(false, format!("{what}: not accepted"));
                continue;
            };
            sleep(bound - Duration::from_secs(1)).await;
            match connection.receive().await {
                Ok(answer) => {
                    let took = begun.elapsed();
                    out.note(format!("{what}: {} after {:.2} s", answer.code, took.as_secs_f64()));
                    out.must(answer.is_error(408, "Request Timeout"), format!("{what}: {answer:?}"));
                    out.within(what, took, bound + SLACK);
                }
                Err(error) => out.must(false, format!("{what}: {error}")),
            }
        }
        out
    })
}

/// A connection with an incomplete request.
async fn unfinished(address: SocketAddr, request: &str) -> Option<Connection> {
    let mut connection = Connection::open(address).await.ok()?;
    connection.send(request.as_bytes()).await.ok()?;
    Some(connection)
}
