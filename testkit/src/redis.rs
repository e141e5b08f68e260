//! A real `redis-server` process for one test.
//!
//! It listens on a Unix socket and on a port that stays reserved while the process is dead. It keeps nothing on disk,
//! and logs to its own directory. The tools' own user has all permissions, even if a test restricts the default user.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, cmd};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tempfile::TempDir;

use super::certificate::Certificate;
use super::port::ReservedPort;
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
    process: Mutex<Process>,
    is_stopped: AtomicBool,
    /// The port over which nodes of a cluster speak with each other.
    _bus: Option<ReservedPort>,
}

/// A child that does not outlive its owner. `None` once it is reaped, because another process may then have its id.
#[derive(Debug)]
pub(crate) struct Process(Option<Child>);

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
        let process = Mutex::new(Process::spawn(&program(), &port, dir.path(), &options));
        let server = Self { port, dir, options, process, is_stopped: AtomicBool::new(false), _bus: None };
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

    /// Whether it runs, and has not been stopped.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_stopped.load(Relaxed) && self.process.lock().unwrap().0.is_some()
    }

    /// Kills the process, and returns when it is gone.
    pub fn kill9(&self) {
        self.process.lock().unwrap().kill9();
    }

    /// Starts it again at the same addresses, empty. Kills it first if it runs.
    pub async fn restart(&self) {
        self.kill9();
        *self.process.lock().unwrap() =
            Process::spawn(&program(), &self.port, self.dir.path(), &self.options);
        self.answers().await;
    }

    /// Stops the process, and returns when it has stopped. The kernel still accepts connections for it.
    pub fn sigstop(&self) {
        let pid = self.process.lock().unwrap().pid();
        kill_process(pid, Signal::STOP).unwrap();
        self.is_stopped.store(true, Relaxed);
        // Without NOWAIT the kernel would report one stop only once, and a second stop would wait for ever.
        waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            .unwrap();
    }

    /// Resumes a stopped process.
    pub fn sigcont(&self) {
        self.is_stopped.store(false, Relaxed);
        kill_process(self.process.lock().unwrap().pid(), Signal::CONT).unwrap();
    }

    async fn answers(&self) {
        eventually(START_WITHIN, "redis-server answers", async || {
            if let Some(status) = self.process.lock().unwrap().exit_status() {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                panic!("redis-server ended with {status}:\n{log}");
            }
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

// ===== impl Process =====

impl Process {
    fn spawn(program: &str, port: &ReservedPort, dir: &Path, options: &[String]) -> Self {
        let number = port.addr().port().to_string();
        let arguments = [
            &["--bind", "127.0.0.1", "--port", &number][..],
            &["--unixsocket", "redis.sock", "--logfile", "log", "--daemonize", "no"],
            &["--save", "", "--appendonly", "no"],
            &TOOLS_USER,
            &options.iter().map(String::as_str).collect::<Vec<_>>(),
        ];
        Self::run(program, &arguments.concat(), dir)
    }

    /// Runs a program of Redis in `dir`.
    pub(crate) fn run(program: &str, arguments: &[&str], dir: &Path) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Ok(child) => Self(Some(child)),
            Err(error) => {
                panic!("cannot start {program} ({error}); install it with: apt-get install -y redis-server")
            }
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.0.as_ref().expect("redis-server has been killed"))
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.0.as_mut().and_then(|child| child.try_wait().unwrap())
    }

    /// This kills a stopped process too. One that has already ended is only reaped.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.0.take() {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

#[cfg(test)]
mod tests;
