//! Rows with procedures of their own, about clients, signals and the machine.

use std::time::{Duration, Instant};

use futures_util::future::LocalBoxFuture;
use testkit::{
    Person, RespServer,
    bench::client::{Connection, Method, Sample, Seen, post},
    call, eventually,
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    load::Load,
    measure::{Latencies, latencies},
    row::{Outcome, ms},
    service::{Launch, Service},
    world::filled_store,
};

/// Maximum growth of the memory that does not count as a leak.
const GROWTH_KIB: u64 = 10 * 1024;
/// Maximum growth of open files that does not count as a leak.
const FILES: usize = 5;

/// A service with these settings on a healthy store.
pub async fn start(settings: &[&str]) -> (RespServer, Service) {
    let store = filled_store();
    let url = format!("store.url={}", store.url());
    let service = Service::start(&[&[url.as_str()], settings].concat()).await;
    let ready = async || service.target.is_ready().await;
    eventually(Duration::from_secs(5), "the service is ready", ready).await;
    (store, service)
}

/// Row 34.
pub fn clients_go_away() -> LocalBoxFuture<'static, Outcome> {
    const CLIENTS: usize = 10_000;
    const AT_ONCE: usize = 50;
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, service) = start(&[]).await;
        let target = service.target.clone();
        let load = Load::start(target.clone(), 100).await;
        sleep(Duration::from_secs(1)).await;
        let before = service.usage();

        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            let target = target.clone();
            clients.spawn(async move {
                for _ in 0..CLIENTS / AT_ONCE {
                    let body = call("online_score", Person::any().arguments()).to_string();
                    let request = post(&body);
                    // In the middle of the head or of the body, or behind it.
                    let sent = fastrand::usize(1..=request.len());
                    let Ok(mut connection) = Connection::open(target.public()).await else { continue };
                    if connection.send(&request.as_bytes()[..sent]).await.is_ok() && fastrand::bool() {
                        _ = connection.get_ref().set_zero_linger();
                    }
                }
            });
        }
        clients.join_all().await;
        let after = settled(&service, before.files).await;
        judge_load(&load.end().await, Duration::from_millis(100), &mut out);
        out.note(format!("RSS {} → {} KiB", before.rss_kib, after.rss_kib));
        out.note(format!("files {} → {}", before.files, after.files));
        out.must(after.rss_kib <= before.rss_kib + GROWTH_KIB, "memory grew");
        out.must(after.files <= before.files + FILES, "files are still open");
        out
    })
}

/// Row 36.
pub fn large_bodies() -> LocalBoxFuture<'static, Outcome> {
    const CLIENTS: usize = 20;
    const CHUNKS: usize = 1_024;
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, service) = start(&[]).await;
        let target = service.target.clone();
        let load = Load::start(target.clone(), 100).await;
        sleep(Duration::from_secs(1)).await;
        let before = service.usage();
        let mut highest = before.rss_kib;

        let announced = Connection::open(target.public()).await;
        let head = "POST /method HTTP/1.1\r\nhost: api\r\ncontent-length: 100000000\r\n\r\n";
        let answer = match announced {
            Ok(mut connection) => connection.exchange(head.as_bytes()).await,
            Err(error) => Err(error),
        };
        let fits = answer.as_ref().is_ok_and(|answer| answer.is_error(413, "Payload Too Large"));
        out.must(fits, format!("announced: {answer:?}"));

        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let target = target.clone();
            clients.spawn(async move {
                let mut connection = Connection::open(target.public()).await?;
                let head = "POST /method HTTP/1.1\r\nhost: api\r\ntransfer-encoding: chunked\r\n\r\n";
                connection.send(head.as_bytes()).await?;
                let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
                let mut sent = 0;
                // Goes on until the service ends it.
                while sent < CHUNKS && connection.send(chunk.as_bytes()).await.is_ok() {
                    sent += 1;
                }
                std::io::Result::Ok((sent, connection.receive().await))
            });
        }
        let mut refused = 0;
        let mut most = 0;
        loop {
            tokio::select! {
                client = clients.join_next() => match client {
                    None => break,
                    Some(Ok(Ok((sent, answer)))) => {
                        most = most.max(sent);
                        refused += usize::from(answer.is_ok_and(|a| a.is_error(413, "Payload Too Large")));
                    }
                    Some(failed) => out.must(false, format!("{failed:?}")),
                },
                () = sleep(Duration::from_millis(2)) => highest = highest.max(service.usage().rss_kib),
            }
        }
        judge_load(&load.end().await, Duration::from_millis(100), &mut out);
        let grown = highest.saturating_sub(before.rss_kib);
        out.note(format!("{refused} of {CLIENTS} chunked: 413; at most {} KiB sent", most * 64));
        out.note(format!("RSS +{grown} KiB"));
        // The limit and 64 KiB for each, once more the limit for the smaller buffers that a growing one was copied from, and the
        // usual growth of a process. Without the limit it would be 64 MiB for each.
        let allowed = (CLIENTS * (256 + 64 + 256)) as u64 + 4 * 1024;
        out.must(grown <= allowed, format!("RSS grew by {grown} KiB"));
        // A client that still sends when it is rejected may see a reset before the answer.
        out.must(refused > 0, "no chunked body was answered 413");
        out
    })
}

/// Row 38.
pub fn bad_heads() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (_store, service) = start(&[]).await;
        let body = call("online_score", Person::full().arguments()).to_string();
        let length = body.len();
        let with = |headers: &str| format!("POST /method HTTP/1.1\r\nhost: api\r\n{headers}\r\n{body}");
        let many: String = (0..110).map(|n| format!("x-{n}: y\r\n")).collect();
        let cases = [
            ("CL+TE", with(&format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"))),
            ("two CLs", with(&format!("content-length: {length}\r\ncontent-length: 3\r\n"))),
            ("112 headers", with(&format!("{many}content-length: {length}\r\n"))),
            ("long request line", format!("POST /{} HTTP/1.1\r\nhost: api\r\n\r\n", "x".repeat(200_000))),
        ];
        for (name, request) in cases {
            let answer = match Connection::open(service.target.public()).await {
                Ok(mut connection) => {
                    // The service may answer and close before it has read everything.
                    _ = connection.send(request.as_bytes()).await;
                    connection.receive().await
                }
                Err(error) => Err(error),
            };
            match answer {
                Ok(answer) => {
                    out.note(format!("{name}: {}", answer.code));
                    out.must([400, 431].contains(&answer.code), format!("{name}: {}", answer.code));
                }
                Err(error) => {
                    out.note(format!("{name}: no answer"));
                    out.must(false, format!("{name}: {error}"));
                }
            }
        }
        let sample = service.target.score(&Person::any(), Instant::now()).await;
        out.must(sample.seen == Seen::Right, format!("a good call after that: {:?}", sample.seen));
        out
    })
}

/// Row 43.
pub fn out_of_files() -> LocalBoxFuture<'static, Outcome> {
    const FILES: usize = 256;
    Box::pin(async {
        let mut out = Outcome::default();
        let store = filled_store();
        let service =
            Launch::default().with_files(FILES).serve(&[&format!("store.url={}", store.url())]).await;
        let target = service.target.clone();
        let load = Load::start(target.clone(), 100).await;
        sleep(Duration::from_secs(1)).await;
        let onset = Instant::now();

        let mut idle = Vec::new();
        for _ in 0..2 * FILES {
            idle.push(Connection::open(target.public()).await);
        }
        sleep(Duration::from_secs(2)).await;
        out.note(format!("{} clients, files {} of {FILES}", idle.len(), service.usage().files));
        out.must(service.usage().files > FILES / 3, "the places never ran out");
        out.must(!service.log().contains("accepting connection"), "the files ran out");
        drop(idle);

        let freed = Instant::now();
        let mut accepted = None;
        while freed.elapsed() < Duration::from_secs(5) && accepted.is_none() {
            let body = post(&call("online_score", Person::any().arguments()).to_string());
            if let Ok(mut connection) = Connection::open(target.public()).await {
                let answer = connection.exchange(body.as_bytes()).await;
                accepted = answer.is_ok_and(|a| a.code == 200).then(|| freed.elapsed());
            }
        }
        match accepted {
            Some(took) => {
                out.note(format!("accepts {} after files are free", ms(took)));
                out.within("accepting", took, Duration::from_secs(1));
            }
            None => out.must(false, "accepts no more"),
        }
        let samples = load.end().await;
        out.note(format!(
            "{} calls on open connections meanwhile",
            samples.iter().filter(|s| s.at > onset).count()
        ));
        judge_load(&samples, Duration::from_millis(100), &mut out);
        out
    })
}

/// Row 44.
pub fn blocked_log() -> LocalBoxFuture<'static, Outcome> {
    const CALLS: usize = 30_000;
    const AT_ONCE: usize = 16;
    Box::pin(async {
        let mut out = Outcome::default();
        let store = filled_store();
        let service = Service::start_with_blocked_log(&[&format!("store.url={}", store.url())]).await;
        let target = service.target.clone();
        // More lines than the pipe and the queue can hold, so that some are lost.
        let mut clients = JoinSet::new();
        for _ in 0..AT_ONCE {
            let target = target.clone();
            clients.spawn(async move {
                for _ in 0..CALLS / AT_ONCE {
                    let sample = target.score(&Person::any(), Instant::now()).await;
                    if sample.seen != Seen::Right {
                        return Some(sample.seen);
                    }
                }
                None
            });
        }
        let failed: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        out.must(failed.is_empty(), format!("{:?}", failed.first()));
        let load = Load::start(target.clone(), 300).await;
        sleep(Duration::from_secs(2)).await;
        judge_load(&load.end().await, Duration::from_millis(100), &mut out);
        let counted =
            dropped_lines(&target.admin("/metrics").await.map_or_else(|_| String::new(), |a| a.text()));
        match counted {
            Some(lines) => out.note(format!("{lines} lost lines counted")),
            None => out.must(false, "lost lines are counted in no metric"),
        }
        out
    })
}

/// The counter of lost lines, under any name.
fn dropped_lines(metrics: &str) -> Option<f64> {
    let is_it = |name: &str| name.contains("log") && (name.contains("lost") || name.contains("dropped"));
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| line.rsplit_once(' ')).filter(|(name, _)| is_it(name));
    values.filter_map(|(_, value)| value.parse().ok()).find(|lines| *lines > 0.0)
}

/// The others' calls: all right and in time.
fn judge_load(samples: &[Sample], bound: Duration, out: &mut Outcome) {
    let wrong = samples.iter().filter(|s| s.seen != Seen::Right);
    if let Some(first) = wrong.clone().next() {
        out.must(false, format!("others: {} calls failed, such as {:?}", wrong.count(), first.seen));
    }
    let samples: Vec<_> = samples.iter().collect();
    let Latencies { p99, worst, .. } = latencies(&samples, Method::OnlineScore);
    out.note(format!("others' score: p99 {}, worst {}", ms(p99), ms(worst)));
    out.within("others' score: worst", worst, bound);
}

/// The service's resources once its files are back to their number before, or after two seconds.
async fn settled(service: &Service, files: usize) -> crate::service::Usage {
    let begun = Instant::now();
    loop {
        let usage = service.usage();
        if usage.files <= files + FILES || begun.elapsed() > Duration::from_secs(2) {
            return usage;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
