//! `call --batch` against a service that takes its time.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;
use testkit::eventually;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
    time::interval,
};

use super::process::{Process, Sandbox};

const WITHIN: Duration = Duration::from_secs(60);
const ANSWER: &str = r#"{"code":200,"response":{"score":3.0}}"#;

/// Answers only when it is told to.
struct Hesitant {
    url: String,
    calls: Arc<Mutex<Calls>>,
    answers: watch::Sender<bool>,
    serving: AbortHandle,
}

#[derive(Debug, Default)]
struct Calls {
    under_way: usize,
    /// Most that have been under way at a time.
    most: usize,
}

// ===== impl Hesitant =====

impl Hesitant {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Calls>>::default();
        let (answers, _) = watch::channel(false);
        let (known, may_answer) = (calls.clone(), answers.clone());
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, may_answer.clone(), known.clone()));
            }
        });
        Self { url, calls, answers, serving: serving.abort_handle() }
    }

    fn calls(&self) -> (usize, usize) {
        let calls = self.calls.lock().unwrap();
        (calls.under_way, calls.most)
    }
}

impl Drop for Hesitant {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(client: TcpStream, answers: watch::Sender<bool>, calls: Arc<Mutex<Calls>>) {
    let mut client = BufStream::new(client);
    while request(&mut client).await.is_some() {
        {
            let mut calls = calls.lock().unwrap();
            calls.under_way += 1;
            calls.most = calls.most.max(calls.under_way);
        }
        answers.subscribe().wait_for(|may| *may).await.unwrap();
        // Before the answer, which the next call may follow at once.
        calls.lock().unwrap().under_way -= 1;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        if client.write_all(answer.as_bytes()).await.is_err() || client.flush().await.is_err() {
            return;
        }
    }
}

/// Reads a request; `None` at the end of the connection.
async fn request(client: &mut BufStream<TcpStream>) -> Option<()> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if client.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some(given) = line.to_lowercase().strip_prefix("content-length: ") {
            length = given.trim().parse().ok()?;
        }
    }
    client.read_exact(&mut vec![0; length]).await.ok().map(|_| ())
}

/// A batch of this many calls, three at a time in flight.
fn batch_of(count: usize, service: &Hesitant) -> (Sandbox, Process) {
    let sandbox = Sandbox::new();
    let line = json!({"method": "online_score", "arguments": {}});
    sandbox.write("calls", format!("{line}\n").repeat(count));
    let words = ["call", "--batch", "calls", "--login", "h&f", "--concurrency", "3", "--deadline", "60m"];
    let batch = sandbox.start(&[words.as_slice(), &["--url", &service.url]].concat());
    (sandbox, batch)
}

#[tokio::test]
async fn as_many_calls_are_under_way_as_were_asked_for_and_no_more() {
    let service = Hesitant::start().await;
    let (_sandbox, batch) = batch_of(20, &service);
    eventually(WITHIN, "three calls are under way", async || service.calls().0 == 3).await;
    // For long enough that a fourth would have come.
    let (begun, mut ticks) = (Instant::now(), interval(Duration::from_millis(10)));
    while begun.elapsed() < Duration::from_millis(500) {
        assert_eq!(service.calls().0, 3);
        ticks.tick().await;
    }
    service.answers.send_replace(true);
    assert_eq!(batch.ended().await.succeeded().lines().count(), 20);
    assert_eq!(service.calls(), (0, 3));
}

#[tokio::test]
async fn a_signal_does_not_wait_for_calls_that_are_under_way() {
    let service = Hesitant::start().await;
    let (_sandbox, batch) = batch_of(2, &service);
    eventually(WITHIN, "two calls are under way", async || service.calls().0 == 2).await;
    batch.signal(Signal::TERM);
    let ended = batch.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(143), ""));
    assert!(
        ended.err.ends_with("error: ended by SIGTERM; the calls under way were given up\n"),
        "{}",
        ended.err
    );
}
