//! A minimal client, so that the figures are the service's and not the client's.
//!
//! Connections are kept alive and shared: a call uses an idle one, or opens one if all are busy. So a service that
//! stalls gets more connections, as it would from independent clients.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::{Person, call};

/// Maximum time of an answer; a later one counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Clients up to this one have interests. Later ones have an empty list.
pub const LAST_CLIENT: i64 = 100;

/// One connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Status line and headers, in small letters.
    head: String,
    body: Vec<u8>,
}

/// A service, and the idle connections to it, longest idle first: the service ends a connection that is idle for
/// seconds with a 408, and a call that is being sent would take that for its answer.
pub struct Target {
    public: SocketAddr,
    admin: SocketAddr,
    idle: Mutex<VecDeque<Connection>>,
}

/// Which method was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    OnlineScore,
    ClientsInterests,
}

/// The checked answer of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// 200, with the very score or interests that are right.
    Right,
    /// 503, in the contract's shape.
    Refused,
    /// 500, in the contract's shape.
    Broken,
    /// The answer did not arrive.
    Lost(String),
    /// Anything else.
    Wrong(String),
}

/// One call.
#[derive(Debug, Clone)]
pub struct Sample {
    pub method: Method,
    /// Its due time.
    pub at: Instant,
    pub took: Duration,
    pub seen: Seen,
}

// ===== impl Connection =====

impl Connection {
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    pub fn get_ref(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    pub async fn receive(&mut self) -> io::Result<Answer> {
        timeout(PATIENCE, self.read()).await?
    }

    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.send(request).await?;
        self.receive().await
    }

    async fn read(&mut self) -> io::Result<Answer> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        head.make_ascii_lowercase();
        let code = head.get(9..12).and_then(|code| code.parse().ok()).ok_or(ErrorKind::InvalidData)?;
        let mut answer = Answer { code, head, body: Vec::new() };
        let length = answer.header("content-length").map_or(Ok(0), str::parse);
        answer.body.resize(length.map_err(|_| ErrorKind::InvalidData)?, 0);
        self.stream.read_exact(&mut answer.body).await?;
        Ok(answer)
    }
}

// ===== impl Answer =====

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next()
    }

    /// Whether the service closes the connection after it.
    pub fn is_last(&self) -> bool {
        self.header("connection") == Some("close")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it is the contract's envelope of an error.
    pub fn is_error(&self, code: u16, text: &str) -> bool {
        self.code == code && self.json() == json!({ "code": code, "error": text })
    }

    fn check(&self, expected: &Value) -> Seen {
        if self.code == 200 && self.json() == json!({ "code": 200, "response": expected }) {
            Seen::Right
        } else if self.is_error(503, "Service Unavailable") && self.header("retry-after").is_some() {
            Seen::Refused
        } else if self.is_error(500, "Internal Server Error") {
            Seen::Broken
        } else {
            Seen::Wrong(format!("{} {} instead of {expected}", self.code, self.text()))
        }
    }
}

// ===== impl Target =====

impl Target {
    pub fn new(public: SocketAddr, admin: SocketAddr) -> Self {
        Self { public, admin, idle: Mutex::default() }
    }

    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Opens idle connections up to this number.
    pub async fn connect(&self, connections: usize) -> io::Result<()> {
        let mut opened = VecDeque::new();
        let idle = self.idle.lock().unwrap().len();
        for _ in idle..connections {
            opened.push_back(Connection::open(self.public).await?);
        }
        self.idle.lock().unwrap().append(&mut opened);
        Ok(())
    }

    /// Closes the idle connections.
    pub fn disconnect(&self) {
        self.idle.lock().unwrap().clear();
    }

    /// `POST /method` with this body.
    pub async fn post(&self, body: &str) -> io::Result<Answer> {
        let idle = self.idle.lock().unwrap().pop_front();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(self.public).await?,
        };
        let answer = connection.exchange(post(body).as_bytes()).await?;
        if !answer.is_last() {
            self.idle.lock().unwrap().push_back(connection);
        }
        Ok(answer)
    }

    /// `online_score` for `person`, due at `at`.
    pub async fn score(&self, person: &Person, at: Instant) -> Sample {
        let body = call("online_score", person.arguments()).to_string();
        let answer = self.post(&body).await;
        sample(Method::OnlineScore, at, answer, &json!({ "score": person.score() }))
    }

    /// `clients_interests` of `ids`, due at `at`.
    pub async fn interests(&self, ids: &[i64], at: Instant) -> Sample {
        let body = call("clients_interests", json!({ "client_ids": ids })).to_string();
        let answer = self.post(&body).await;
        let expected: Map<_, _> = ids.iter().map(|&id| (id.to_string(), interests_of(id))).collect();
        sample(Method::ClientsInterests, at, answer, &expected.into())
    }

    /// `GET` from the operators' listener.
    pub async fn admin(&self, path: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        Connection::open(self.admin).await?.exchange(request.as_bytes()).await
    }

    /// The status code of `/readyz`, and its state.
    pub async fn readiness(&self) -> (u16, String) {
        match self.admin("/readyz").await {
            Ok(answer) => {
                (answer.code, answer.json()["status"].as_str().unwrap_or("no status at all").to_owned())
            }
            Err(error) => (0, error.to_string()),
        }
    }

    pub async fn is_ready(&self) -> bool {
        self.readiness().await == (200, "ready".to_owned())
    }

    /// The sum of all series with this prefix.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await.map_or_else(|_| String::new(), |answer| answer.text());
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

fn sample(method: Method, at: Instant, answer: io::Result<Answer>, expected: &Value) -> Sample {
    let took = at.elapsed();
    let seen = answer.map_or_else(|error| Seen::Lost(error.to_string()), |answer| answer.check(expected));
    Sample { method, at, took, seen }
}

/// A request with this body.
pub fn post(body: &str) -> String {
    format!("POST /method HTTP/1.1\r\nhost: api\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// The stored interests for the load.
pub fn stored() -> impl Iterator<Item = (String, String)> {
    (1..=LAST_CLIENT).map(|id| (format!("i:{id}"), interests_of(id).to_string()))
}

/// The stored interests of this client.
pub fn interests_of(id: i64) -> Value {
    if (1..=LAST_CLIENT).contains(&id) { json!(["books", format!("of {id}")]) } else { json!([]) }
}
