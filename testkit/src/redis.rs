//! A real `redis-server` process for one test.
//!
//! It listens on a Unix socket and on a port that stays reserved while the process is dead. It keeps nothing on disk,
//! and logs to its own directory. The tools' own user has all permissions, even if a test restricts the default user.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, cmd};
use tempfile::TempDir;

use super::certificate::Certificate;
use super::port::ReservedPort;
use super::process::{Program, ServerProcess};
use super::{eventually, in_time};

/// The distance from a node's port to the one over which nodes speak with each other.
pub(crate) const BUS: u16 = 10_000;

const START_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const TOOLS_USER: [&str; 6] = ["--user", "tools", "on", "nopass", "~*", "+@all"];

/// The program: `redis-server`, or another one that `TEST_REDIS_SERVER` names: see `scripts/test-servers`.
pub(crate) fn program() -> String {
    std::env::var("TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

/// A running, stopped or killed Redis at one address. Dropping it kills and reaps the process.
#[derive(Debug)]
pub struct RedisServer {
    port: ReservedPort,
    dir: TempDir,
    options: Vec<String>,
    process: ServerProcess,
    /// The port over which nodes of a cluster speak with each other.
    _bus: Option<ReservedPort>,
}

// ===== impl RedisServer =====

impl RedisServer {
    /// Starts an empty Redis without a password.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts it with more options, for example `["--requirepass", "secret"]` or `["--maxmemory", "1mb"]`.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed, or does not answer within 10 s.
    pub async fn with(options: &[&str]) -> Self {
        if options.contains(&"--cluster-enabled") {
            let (port, bus) = ReservedPort::with_another(BUS);
            return Self::node_at(port, bus, options).await;
        }
        Self::at(ReservedPort::new(), tempfile::tempdir().unwrap(), options).await
    }

    /// Starts a node of a cluster on `port`, whose other port is `bus`.
    pub(crate) async fn node_at(port: ReservedPort, bus: ReservedPort, options: &[&str]) -> Self {
        Self { _bus: Some(bus), ..Self::at(port, tempfile::tempdir().unwrap(), options).await }
    }

    /// Whether the tests' servers are of a version before 7.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed.
    pub fn is_before_7() -> bool {
        let said = Command::new(program()).arg("--version").output();
        let said = said.expect("redis-server must be installed: apt-get install -y redis-server");
        String::from_utf8_lossy(&said.stdout).contains("server v=6.")
    }

    /// Starts one that speaks only TLS on its port, with this certificate. It demands none of clients.
    ///
    /// # Panics
    ///
    /// As [`RedisServer::with`].
    pub async fn over_tls(certificate: &Certificate, options: &[&str]) -> Self {
        let (port, dir) = (ReservedPort::new(), tempfile::tempdir().unwrap());
        certificate.write(dir.path());
        let number = port.addr().port().to_string();
        let tls = ["--port", "0", "--tls-port", &number, "--tls-auth-clients", "no"];
        let files = ["--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem"];
        Self::at(port, dir, &[&tls[..], &files, options].concat()).await
    }

    async fn at(port: ReservedPort, dir: TempDir, options: &[&str]) -> Self {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let process = ServerProcess::start(&command(&program(), &port, dir.path(), &options));
        let server = Self { port, dir, options, process, _bus: None };
        server.answers().await;
        server
    }

    /// Its TCP address.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `redis://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.addr())
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Runs a command as the tools' own user.
    ///
    /// # Panics
    ///
    /// When Redis is not running, answers with an error or with something else than `T`, or takes over 5 s.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let answer = in_time(ANSWER_WITHIN, Box::pin(self.ask(words))).await;
        answer.unwrap_or_else(|| panic!("redis took over {ANSWER_WITHIN:?} for {words:?}")).unwrap()
    }

    /// `CONFIG SET`.
    pub async fn config_set(&self, key: &str, value: &str) {
        self.command::<()>(&["CONFIG", "SET", key, value]).await;
    }

    /// Gives a server that was started with `--cluster-enabled yes` all slots, and waits until it serves them.
    pub async fn owns_all_slots(&self) {
        let slots: Vec<_> = (0..16_384).map(|slot: u16| slot.to_string()).collect();
        let add: Vec<_> =
            ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str)).collect();
        self.command::<()>(&add).await;
        eventually(START_WITHIN, "the cluster serves", async || {
            self.command::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
        })
        .await;
    }

    /// Closes the connections of all clients, and returns their number.
    pub async fn client_kill(&self) -> usize {
        self.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await
    }

    /// Delays the commands of all clients for `duration`: only writes if `mode` is `WRITE`, all commands if it is
    /// `ALL`.
    pub async fn client_pause(&self, duration: Duration, mode: &str) {
        self.command::<()>(&["CLIENT", "PAUSE", &duration.as_millis().to_string(), mode]).await;
    }

    /// Starts it again at the same addresses, empty. Kills it first if it runs.
    pub async fn restart(&self) {
        self.process.kill9();
        self.process.run(&command(&program(), &self.port, self.dir.path(), &self.options));
        self.answers().await;
    }

    async fn answers(&self) {
        eventually(START_WITHIN, "redis-server answers", async || {
            self.process.has_not_ended(&self.dir.path().join("log"));
            self.ask::<String>(&["PING"]).await.is_ok()
        })
        .await;
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let url = format!("redis+unix://{}?user=tools&pass=any", self.socket().display());
        // The client's default limit of half a second is too short for a command that blocks the server on purpose.
        let patient = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection =
            Client::open(url)?.get_multiplexed_async_connection_with_config(&patient).await?;
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }
}

impl Deref for RedisServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

fn command(program: &str, port: &ReservedPort, dir: &Path, options: &[String]) -> Program {
    let number = port.addr().port().to_string();
    let arguments = [
        &["--bind", "127.0.0.1", "--port", &number][..],
        &["--unixsocket", "redis.sock", "--logfile", "log", "--daemonize", "no"],
        &["--save", "", "--appendonly", "no"],
        &TOOLS_USER,
        &options.iter().map(String::as_str).collect::<Vec<_>>(),
    ];
    Program::of_redis(program, &arguments.concat(), dir)
}

#[cfg(test)]
mod tests;
