//! A real `memcached` process for one test, on a port that stays reserved while the process is dead.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::port::ReservedPort;
use super::process::{OUTPUT, Program, ServerProcess};
use super::{eventually, in_time};

const START_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running, stopped or killed memcached at one address. Dropping it kills and reaps the process.
#[derive(Debug)]
pub struct MemcachedServer {
    port: ReservedPort,
    dir: TempDir,
    options: Vec<String>,
    process: ServerProcess,
}

// ===== impl MemcachedServer =====

impl MemcachedServer {
    /// Starts an empty memcached.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts it with more options, for example `["-M", "-m", "2"]`.
    ///
    /// # Panics
    ///
    /// When `memcached` is not installed, or does not answer within 10 s.
    pub async fn with(options: &[&str]) -> Self {
        let (port, dir) = (ReservedPort::new(), tempfile::tempdir().unwrap());
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let process = ServerProcess::start(&command(&port, &dir, &options));
        let server = Self { port, dir, options, process };
        server.answers().await;
        server
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `memcached://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("memcached://{}", self.addr())
    }

    /// Starts it again at the same address, empty. Kills it first if it runs.
    pub async fn restart(&self) {
        self.kill9();
        self.process.run(&command(&self.port, &self.dir, &self.options));
        self.answers().await;
    }

    /// Stores a value that does not expire.
    ///
    /// # Panics
    ///
    /// When memcached does not store it within 5 s.
    pub async fn put(&self, key: &str, value: &str) {
        assert_eq!(self.ask(&set(key, value)).await.unwrap(), "STORED");
    }

    /// Stores values of several sizes, also of that of a score, until a server with `-M` refuses more.
    ///
    /// # Panics
    ///
    /// When the server goes on storing.
    pub async fn fill(&self) {
        let mut stream = BufReader::new(TcpStream::connect(self.addr()).await.unwrap());
        for size in [500_000, 3] {
            let value = "5".repeat(size);
            let mut answer = String::new();
            for number in 0..200_000 {
                stream.write_all(set(&format!("uid:{number:032}"), &value).as_bytes()).await.unwrap();
                answer.clear();
                stream.read_line(&mut answer).await.unwrap();
                if answer.starts_with("SERVER_ERROR") {
                    break;
                }
            }
            assert!(answer.starts_with("SERVER_ERROR"), "it is not full: {answer}");
        }
    }

    /// The number of connections that clients hold, without that of the question.
    pub async fn connections(&self) -> u64 {
        self.stat("curr_connections").await - 1
    }

    /// The value under `key`.
    ///
    /// # Panics
    ///
    /// When memcached does not answer within 5 s.
    pub async fn stored(&self, key: &str) -> Option<String> {
        let answer = self.ask(&format!("get {key}\r\n")).await.unwrap();
        let (_, value) = answer.split_once("\r\n")?;
        value.strip_suffix("\r\nEND").map(str::to_owned)
    }

    /// A number of its `stats`.
    ///
    /// # Panics
    ///
    /// When memcached does not answer within 5 s, or does not know the number.
    pub async fn stat(&self, name: &str) -> u64 {
        let stats = self.ask("stats\r\n").await.unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("STAT {name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {stats}")).parse().unwrap()
    }

    /// The keys that are stored. A server that has just stored one may not list it yet.
    pub async fn keys(&self) -> Vec<String> {
        let listed = self.ask("lru_crawler metadump all\r\n").await.unwrap();
        let key = |line: &str| Some(line.strip_prefix("key=")?.split(' ').next()?.to_owned());
        listed.lines().filter_map(key).collect()
    }

    /// A connection that the server has answered on; `None` if it admits no more.
    pub async fn connection(&self) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(self.addr()).await.ok()?;
        stream.write_all(b"mn\r\n").await.ok()?;
        let mut answer = [0; 4];
        let read = in_time(ANSWER_WITHIN / 5, Box::pin(stream.read_exact(&mut answer))).await;
        (read?.is_ok() && answer == *b"MN\r\n").then_some(stream)
    }

    async fn answers(&self) {
        eventually(START_WITHIN, "memcached answers", async || {
            self.process.has_not_ended(&self.dir.path().join(OUTPUT));
            self.ask("mn\r\n").await.is_ok_and(|answer| answer == "MN")
        })
        .await;
    }

    /// The answer to one command, up to its last line.
    async fn ask(&self, command: &str) -> io::Result<String> {
        let answer = async {
            let mut stream = BufReader::new(TcpStream::connect(self.addr()).await?);
            stream.write_all(command.as_bytes()).await?;
            let mut answer = String::new();
            let is_last = |line: &str| {
                matches!(line, "END" | "STORED" | "MN") || line.contains("ERROR") || line.starts_with("BUSY")
            };
            loop {
                if stream.read_line(&mut answer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if is_last(answer.lines().last().unwrap_or_default()) {
                    return Ok(answer.trim_end().to_owned());
                }
            }
        };
        in_time(ANSWER_WITHIN, Box::pin(answer)).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Deref for MemcachedServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

fn set(key: &str, value: &str) -> String {
    format!("set {key} 0 0 {}\r\n{value}\r\n", value.len())
}

fn command(port: &ReservedPort, dir: &TempDir, options: &[String]) -> Program {
    let number = port.addr().port().to_string();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let arguments = [&["-u", "nobody", "-l", "127.0.0.1", "-p", &number][..], &options].concat();
    Program::new("memcached", "memcached", &arguments, dir.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_keeps_values_until_it_is_started_again() {
        let server = MemcachedServer::start().await;
        server.put("a", "one").await;
        assert_eq!(server.stored("a").await.as_deref(), Some("one"));
        assert_eq!(server.stored("b").await, None);
        assert_eq!(server.stat("curr_items").await, 1);
        server.kill9();
        assert!(!server.is_running());
        server.restart().await;
        assert_eq!(server.stored("a").await, None);
    }
}
