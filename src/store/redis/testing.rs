//! A server for tests that knows the steps of a log-in and nothing else.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The server's answers to steps, and whether it disconnects after the first; without an entry it answers as Redis
/// does.
type Answers = HashMap<&'static str, &'static str>;

/// A server that knows the steps of a log-in and nothing else.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl Server {
    pub(super) async fn start(answers: &[(&'static str, &'static str)]) -> Self {
        Self::on("127.0.0.1:0", answers).await
    }

    pub(super) async fn on(address: &str, answers: &[(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Answers = answers.iter().copied().collect();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let mut serving = JoinSet::new();
        let seen = asked.clone();
        serving.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                clients.spawn(serve(stream, answers.clone(), seen.clone()));
            }
        });
        Self { address, asked, _serving: serving }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answers: Answers, asked: Arc<Mutex<Vec<String>>>) {
    let (from, mut to) = stream.split();
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let usual = match line.as_str() {
            "AUTH" | "SELECT" => "+OK\r\n",
            "PING" => "+PONG\r\n",
            line if answers.contains_key(line) => "",
            _ => {
                asked.lock().unwrap().push(line);
                continue;
            }
        };
        let answer = answers.get(line.as_str()).copied().unwrap_or(usual);
        asked.lock().unwrap().push(line);
        let (answer, hangs_up) =
            answer.strip_suffix("<end>").map_or((answer, false), |answer| (answer, true));
        if to.write_all(answer.as_bytes()).await.is_err() || hangs_up {
            return;
        }
    }
}
