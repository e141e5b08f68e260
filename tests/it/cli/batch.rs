//! `call --batch` against a service that takes its time.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

use super::process::Sandbox;
use crate::tools::eventually;

const ANSWER: &str = r#"{"code":200,"response":{"score":3.0}}"#;

/// Answers nobody before so many calls have come.
struct Hesitant {
    url: String,
    calls: Arc<Mutex<Calls>>,
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
    async fn until(enough: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::<Mutex<Calls>>::default();
        let (came, _) = watch::channel(0);
        let known = calls.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, enough, came.clone(), known.clone()));
            }
        });
        Self { url, calls, serving: serving.abort_handle() }
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

async fn serve(client: TcpStream, enough: usize, came: watch::Sender<usize>, calls: Arc<Mutex<Calls>>) {
    let mut client = BufStream::new(client);
    while request(&mut client).await.is_some() {
        {
            let mut calls = calls.lock().unwrap();
            calls.under_way += 1;
            calls.most = calls.most.max(calls.under_way);
        }
        came.send_modify(|came| *came += 1);
        came.subscribe().wait_for(|came| *came >= enough).await.unwrap();
        // Before the answer, which the next call may follow at once.
        calls.lock().unwrap().under_way -= 1;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        if client.write_all(answer.as_bytes()).await.is_err() || client.flush().await.is_err() {
            return;
        }
    }
}

/// Reads a request; none at the end of the connection.
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

fn lines(count: usize) -> String {
    let line = json!({"method": "online_score", "arguments": {}}).to_string();
    (0..count).map(|_| format!("{line}\n")).collect()
}

fn words(url: &str) -> [&str; 11] {
    let [deadline, concurrency] = ["60m", "3"];
    [
        "call",
        "--batch",
        "-",
        "--url",
        url,
        "--login",
        "h&f",
        "--concurrency",
        concurrency,
        "--deadline",
        deadline,
    ]
}

#[tokio::test]
async fn as_many_calls_are_under_way_as_were_asked_for_and_no_more() {
    let service = Hesitant::until(3).await;
    let ended = Sandbox::new().feed(&lines(20), &words(&service.url)).await;
    assert_eq!(ended.succeeded().lines().count(), 20);
    assert_eq!(service.calls(), (0, 3));
}

#[tokio::test]
async fn a_signal_does_not_wait_for_calls_that_are_under_way() {
    let service = Hesitant::until(3).await;
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&words(&service.url));
    sandbox.write("two", lines(2));
    command.stdin(Stdio::from(std::fs::File::open(sandbox.path("two")).unwrap()));
    let batch = sandbox.spawn(command);
    eventually(Duration::from_secs(60), "two calls are under way", async || service.calls().0 == 2).await;
    batch.signal(Signal::TERM);
    let ended = batch.ended().await;
    assert_eq!((ended.code, ended.out.as_str()), (Some(143), ""));
    assert!(
        ended.err.ends_with("error: ended by SIGTERM; the calls under way were given up\n"),
        "{}",
        ended.err
    );
}
