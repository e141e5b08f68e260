//! Rows 43 and 44: the process when the system gives it no more file descriptors, or takes no more of its log.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::Value;
use testkit::{
    Person, Reply, ReservedPort, SCORE_BOUND, SLACK, Stopwatch, Wire, alone, call, eventually, post,
};
use tokio::{net::TcpStream, time::timeout};

use super::process::Sandbox;

fn a_call() -> String {
    post(&call("online_score", Person::full().arguments()).to_string())
}

async fn score(wire: &mut Wire) -> Reply {
    wire.send(a_call()).await.unwrap();
    wire.answer().await
}

/// The service takes no more connections than it has files for, so it never runs out of them.
#[tokio::test]
async fn row_43_without_free_files_open_connections_are_served() {
    alone();
    const LIMIT: usize = 256;
    let sandbox = Sandbox::new();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {LIMIT} && exec \"$0\" \"$@\"")]);
    command.arg(env!("CARGO_BIN_EXE_scoring-api")).current_dir(sandbox.path("."));
    for setting in ["http.bind=127.0.0.1:0", "admin.bind=127.0.0.1:0", "store.url=memory:", "http.workers=1"]
    {
        command.args(["--set", setting]);
    }
    let (service, address) = sandbox.serve_by(command).await;
    let address: SocketAddr = address.parse().unwrap();
    let mut old = Wire::to(address).await;
    assert_eq!(score(&mut old).await.score(), 5.0);

    // The kernel completes connections that the service does not accept.
    let mut crowd = Vec::new();
    for _ in 0..LIMIT {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    for _ in 0..200 {
        let reply = score(&mut old).await;
        assert_eq!(reply.score(), 5.0);
        assert!(reply.took <= SCORE_BOUND, "{reply:?}");
    }
    let mut new = Wire::to(address).await;
    new.send(a_call()).await.unwrap();
    assert!(timeout(Duration::from_millis(100), new.answered()).await.is_err(), "there was a place left");
    assert!((LIMIT / 3..LIMIT - 50).contains(&service.files()), "{} files", service.files());

    drop(crowd);
    let freed = Stopwatch::start();
    assert_eq!(new.answer().await.score(), 5.0);
    freed.assert_within(Duration::from_secs(1) * SLACK, "an accept");
    assert!(!service.out().contains("accepting"), "{}", service.out());
}

/// A service whose standard output is `out`, and its two addresses.
fn serve_onto(sandbox: &Sandbox, out: Stdio) -> (Service, [SocketAddr; 2]) {
    let ports = [ReservedPort::new(), ReservedPort::new()];
    let [bind, admin] = ports.each_ref().map(ReservedPort::addr);
    let (bind_to, admin_to) = (format!("http.bind={bind}"), format!("admin.bind={admin}"));
    let arguments = ["store.url=memory:", "shutdown.grace=0s", &bind_to, &admin_to];
    let arguments: Vec<_> = arguments.iter().flat_map(|assignment| ["--set", assignment]).collect();
    let child = sandbox.command(&arguments).stdout(out).stderr(Stdio::null()).spawn().unwrap();
    (Service { child, _ports: ports }, [bind, admin])
}

/// Killed when it is dropped.
struct Service {
    child: Child,
    _ports: [ReservedPort; 2],
}

impl Drop for Service {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

async fn dropped_lines(admin: SocketAddr) -> f64 {
    let client = testkit::http_client();
    let text = client.get(format!("http://{admin}/metrics")).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("scoring_log_lines_dropped_total "));
    line.expect("the metric").parse().unwrap()
}

/// 4 clients send 16 calls at a time, 60,000 at most, until log lines are dropped. Each answer comes as fast as before.
async fn answered_while_lines_are_lost(address: SocketAddr, admin: SocketAddr) {
    const AT_ONCE: usize = 16;
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(Wire::to(address).await);
    }
    let burst = a_call().repeat(AT_ONCE);
    while dropped_lines(admin).await == 0.0 || calls < 400 {
        assert!(calls < 60_000, "no line was lost");
        for _ in 0..4 {
            join_all(wires.iter_mut().map(|wire| wire.send(&burst))).await;
            for _ in 0..AT_ONCE {
                for reply in join_all(wires.iter_mut().map(Wire::answer)).await {
                    assert_eq!(reply.score(), 5.0);
                    slowest = slowest.max(reply.took);
                    calls += 1;
                }
            }
        }
    }
    assert!(slowest <= SCORE_BOUND, "{slowest:?}");
}

#[tokio::test]
async fn row_44_an_unread_standard_output_delays_nothing() {
    let sandbox = Sandbox::new();
    let (mut service, [address, admin]) = serve_onto(&sandbox, Stdio::piped());
    let _unread = read_until_listening(service.child.stdout.take().unwrap());
    answered_while_lines_are_lost(address, admin).await;

    // Nor does it hold up the end.
    let pid = rustix::process::Pid::from_child(&service.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut status = None;
    eventually(Duration::from_secs(5) * SLACK, "the process ends", async || {
        status = service.child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert!(status.unwrap().success());
}

#[tokio::test]
async fn row_44_a_full_disk_delays_nothing() {
    let sandbox = Sandbox::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let (_service, [address, admin]) = serve_onto(&sandbox, full.into());
    eventually(Duration::from_secs(20), "the service listens", async || {
        TcpStream::connect(address).await.is_ok() && TcpStream::connect(admin).await.is_ok()
    })
    .await;
    answered_while_lines_are_lost(address, admin).await;
}

fn read_until_listening(out: ChildStdout) -> BufReader<ChildStdout> {
    let mut out = BufReader::new(out);
    let mut line = String::new();
    while serde_json::from_str::<Value>(&line).map_or(true, |line| line["message"] != "listening") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the service ended");
    }
    out
}
