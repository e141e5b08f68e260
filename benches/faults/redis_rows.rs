//! Rows about names, log-ins and single questions, on real Redis servers: 24a, 46, 52, 53, 54.

use std::{
    fs,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::future::LocalBoxFuture;
use serde_json::json;
use testkit::{
    FullBacklog, RedisServer, ReservedPort,
    bench::client::{LAST_CLIENT, Seen, Target, stored},
    call, eventually,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{
    names::Names,
    outage::Outage,
    row::Outcome,
    service::{Launch, Service},
    world::{block, fill, filled_store},
};

/// A client whose stored value is too large, or whose key is in another slot than others'.
const CULPRIT: i64 = 9_999;

/// Row 46: imports and exports on database 3, beside scripts that make the server refuse the choice of a database.
pub fn bulk_beside_scripts() -> LocalBoxFuture<'static, Outcome> {
    const IMPORTS: usize = 32;
    Box::pin(async {
        let mut out = Outcome::default();
        let redis = RedisServer::with(&["--lua-time-limit", "20"]).await;
        let url = format!("store.url={}/3", redis.url());
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("interests.ndjson").display().to_string();
        let lines: String = stored()
            .map(|(key, value)| format!("{{\"id\": {}, \"interests\": {value}}}\n", &key[2..]))
            .collect();
        fs::write(&source, lines).unwrap();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let import = words(&["interests", "import", &source, "--set", &url]);
        let export = words(&["interests", "export", "--set", &url]);

        let ended = AtomicBool::new(false);
        let scripts = async {
            while !ended.load(Relaxed) {
                block(&redis, Duration::from_millis(60)).await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        let bulk = async {
            let (mut imported, mut exported) = (0, 0);
            for _ in 0..IMPORTS {
                let run = import.clone();
                let done = tokio::task::spawn_blocking(move || Launch::default().run(&run)).await.unwrap();
                out.must(matches!(done.code, Some(0 | 1)), format!("import: {done:?}"));
                imported += usize::from(done.code == Some(0));
                let run = export.clone();
                let done = tokio::task::spawn_blocking(move || Launch::default().run(&run)).await.unwrap();
                let lines = done.out.lines().count();
                let is_right = match done.code {
                    Some(0) if imported == 0 => lines == 0,
                    Some(0) => lines == LAST_CLIENT as usize,
                    code => code == Some(1),
                };
                out.must(is_right, format!("export: {:?} after {lines} lines", done.code));
                exported += usize::from(done.code == Some(0));
            }
            ended.store(true, Relaxed);
            out.note(format!("{imported} of {IMPORTS} imports and {exported} exports succeeded"));
        };
        tokio::join!(scripts, bulk);
        let strays: usize = redis.command(&["DBSIZE"]).await;
        out.must(strays == 0, format!("{strays} keys in database 0"));
        out
    })
}

/// Row 52: the name server does not answer.
pub fn names_do_not_resolve() -> LocalBoxFuture<'static, Outcome> {
    const WORKERS: usize = 16;
    const FILES: usize = 256;
    const LASTS: Duration = Duration::from_secs(60);
    Box::pin(async {
        let mut out = Outcome::default();
        let store = filled_store();
        let names = Names::new("store.test", "127.0.0.1");
        names.get_stuck();
        let launch = Launch::with(names.environment()).with_files(FILES);
        let url = format!("store.url=redis://store.test:{}", store.addr().port());
        let service = launch.serve(&[&url, &format!("http.workers={WORKERS}")]).await;
        // With so few files, each worker has a place for one connection.
        let outage = Outage::over(WORKERS / 2, &service, 5).await;
        outage.is_degraded(&["resolve"], &mut out).await;
        sleep(Duration::from_secs(2)).await;
        let before = service.usage();
        let (mut threads, mut files) = (before.threads, before.files);
        let begun = Instant::now();
        while begun.elapsed() < LASTS {
            let usage = service.usage();
            (threads, files) = (threads.max(usage.threads), files.max(usage.files));
            sleep(Duration::from_millis(100)).await;
        }
        out.note(format!(
            "threads {} → {threads} at most, files {} → {files} at most",
            before.threads, before.files
        ));
        out.must(threads <= before.threads + 2, "threads grew");
        out.must(files <= before.files + 5, "files grew");
        names.heal();
        // The running look-up ends after its 10 s, and the next one finds the store.
        eventually(Duration::from_secs(12), "the store is found", async || service.target.is_ready().await)
            .await;
        outage.recovers(&mut out).await;
        out
    })
}

/// Row 24a: the name leads nowhere, and then to another address.
pub fn the_name_leads_elsewhere() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let (old, new) = (filled_store(), filled_store());
        let (port, behind) = (old.addr().port(), new.addr());
        let elsewhere = ReservedPort::at((Ipv4Addr::new(127, 0, 0, 2), port).into());
        let listener = TcpListener::from_std(elsewhere.listen(128)).unwrap();
        let forwarding = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut store = TcpStream::connect(behind).await.unwrap();
                    // It ends with either side.
                    _ = copy_bidirectional(&mut client, &mut store).await;
                });
            }
        });
        let names = Names::new("store.test", "127.0.0.1");
        let url = format!("store.url=redis://store.test:{port}");
        let service = Launch::with(names.environment()).serve(&[&url]).await;
        let ready = async || service.target.is_ready().await;
        eventually(Duration::from_secs(5), "the service is ready", ready).await;
        let outage = Outage::of(&service).await;
        names.lead_to("");
        old.door.shut();
        old.drop_connections();
        outage.is_degraded(&["resolve"], &mut out).await;
        names.lead_to("127.0.0.2");
        outage.recovers(&mut out).await;
        forwarding.abort();
        out
    })
}

/// Row 53: the first of a name's two addresses takes no connection (its backlog is full), or refuses.
pub fn the_first_address_is_silent() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let mut out = Outcome::default();
        let store = filled_store();
        let port = store.addr().port();
        let silent = ReservedPort::at((Ipv4Addr::new(127, 0, 0, 2), port).into());
        let _full = FullBacklog::on(&silent);
        let names = Names::new("store.test", "127.0.0.2,127.0.0.1");
        let url = format!("store.url=redis://store.test:{port}");
        let begun = Instant::now();
        let service = Launch::with(names.environment()).serve(&[&url]).await;
        let ready = async || service.target.is_ready().await;
        eventually(Duration::from_secs(5), "the service is ready", ready).await;
        let took = begun.elapsed();
        out.note(format!("ready {} after the start", crate::row::ms(took)));
        out.within("ready", took, Duration::from_secs(1));
        let outage = Outage::of(&service).await;
        sleep(Duration::from_millis(500)).await;
        let lost = Instant::now();
        store.drop_connections();
        outage.recovers(&mut out).await;
        out.note(format!("all new connections after {}", crate::row::ms(lost.elapsed())));
        out
    })
}

/// Row 54: calls of two ids on a server in cluster mode.
pub fn keys_of_two_slots() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let redis = RedisServer::with(&["--cluster-enabled", "yes"]).await;
        redis.owns_all_slots().await;
        for (key, value) in stored() {
            redis.command::<()>(&["SET", &key, &value]).await;
        }
        beside_culprits(&redis, &[1, 2], 0).await
    })
}

/// Row 54: a value of 80 MB, over the limit of a reply.
pub fn a_huge_value() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let redis = RedisServer::start().await;
        fill(&redis).await;
        redis.command::<()>(&["SETRANGE", &format!("i:{CULPRIT}"), "83886079", "x"]).await;
        beside_culprits(&redis, &[CULPRIT], 2 * 64 * 1024).await
    })
}

/// Row 54: a value over the server's limit of output buffers, so that it cuts the connection.
pub fn over_the_servers_output_buffer() -> LocalBoxFuture<'static, Outcome> {
    Box::pin(async {
        let redis = RedisServer::with(&["--client-output-buffer-limit", "normal 1mb 1mb 0"]).await;
        fill(&redis).await;
        redis.command::<()>(&["SETRANGE", &format!("i:{CULPRIT}"), "8388607", "x"]).await;
        beside_culprits(&redis, &[CULPRIT], 2 * 64 * 1024).await
    })
}

/// Four callers ask for `ids` in a loop, which is 500; others, which ask for one id each, must not notice.
async fn beside_culprits(redis: &RedisServer, ids: &[i64], more_kib: u64) -> Outcome {
    const CALLERS: usize = 4;
    const OTHERS: usize = 4;
    const LASTS: Duration = Duration::from_secs(5);
    let mut out = Outcome::default();
    let service = Service::start(&[&format!("store.url={}", redis.url())]).await;
    let target = service.target.clone();
    eventually(Duration::from_secs(5), "the service is ready", async || target.is_ready().await).await;
    target.connect(CALLERS + OTHERS).await.unwrap();
    for id in 1..=LAST_CLIENT {
        out.must(target.interests(&[id], Instant::now()).await.seen == Seen::Right, "a healthy store");
    }
    let before = service.usage().rss_kib;
    let until = Instant::now() + LASTS;
    let mut culprits = JoinSet::new();
    for _ in 0..CALLERS {
        culprits.spawn(ask_in_a_loop(target.clone(), ids.to_vec(), until));
    }
    let mut others = JoinSet::new();
    for _ in 0..OTHERS {
        let target = target.clone();
        others.spawn(async move {
            let (mut right, mut other) = (0, Vec::new());
            while Instant::now() < until {
                let sample = target.interests(&[fastrand::i64(1..=LAST_CLIENT)], Instant::now()).await;
                if sample.seen == Seen::Right {
                    right += 1;
                } else {
                    other.push(sample.seen);
                }
                sleep(Duration::from_millis(5)).await;
            }
            (right, other)
        });
    }
    let mut highest = before;
    let mut unready = 0;
    while Instant::now() < until {
        highest = highest.max(service.usage().rss_kib);
        unready += usize::from(!target.is_ready().await);
        sleep(Duration::from_millis(20)).await;
    }
    let (mut right, mut failed) = (0, Vec::new());
    for (count, other) in others.join_all().await {
        right += count;
        failed.extend(other);
    }
    let (mut broken, mut strange) = (0, Vec::new());
    for (count, other) in culprits.join_all().await {
        broken += count;
        strange.extend(other);
    }
    out.note(format!("{broken} such calls: 500; {right} other calls right, {} not", failed.len()));
    out.must(strange.len() * 100 <= broken, format!("{} such calls: {:?}", strange.len(), strange.first()));
    out.must(
        failed.len() * 100 <= right,
        format!("{} other calls failed: {:?}", failed.len(), failed.first()),
    );
    out.must(unready == 0, format!("readiness was not ready {unready} times"));
    let grown = highest.saturating_sub(before);
    out.note(format!("RSS +{grown} KiB"));
    out.must(grown <= more_kib + 16 * 1024, format!("RSS grew by {grown} KiB"));
    let named = ids
        .iter()
        .all(|id| service.log().lines().any(|line| line.contains("ERROR") && line.contains(&id.to_string())));
    out.must(named, "no line of the log names the client");
    out
}

/// How many of the calls were 500, and the other outcomes.
async fn ask_in_a_loop(target: Arc<Target>, ids: Vec<i64>, until: Instant) -> (usize, Vec<String>) {
    let body = call("clients_interests", json!({ "client_ids": ids })).to_string();
    let (mut broken, mut other) = (0, Vec::new());
    while Instant::now() < until {
        match target.post(&body).await {
            Ok(answer) if answer.is_error(500, "Internal Server Error") => broken += 1,
            Ok(answer) => other.push(format!("{} {}", answer.code, answer.text())),
            Err(error) => other.push(error.to_string()),
        }
        sleep(Duration::from_millis(1)).await;
    }
    (broken, other)
}
