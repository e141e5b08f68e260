//! A real `tarantool` process for one test, with the functions of `deploy/tarantool/scoring.lua`.
//!
//! It listens on a port that stays reserved while the process is dead, and keeps its data in its own directory, so the
//! interests outlive the process. The tools speak with its console.

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::port::ReservedPort;
use super::process::{OUTPUT, Program, ServerProcess};
use super::{eventually, in_time};

const START_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The user of the service, and the one that may import. Neither is a secret.
const PASSWORD: &str = "of-the-service";
const IMPORT_PASSWORD: &str = "of-the-import";

/// The server's own script: the one that comes with the service, and a console for the tools.
const INIT: &str = r#"
require('console').listen('unix/:./console')
if arg[3] == 'slowly' then
    box.cfg{wal_mode = 'fsync', work_dir = os.getenv('SCORING_WORK_DIR')}
end
if arg[2] == 'with' then
    dofile(arg[1] .. '/init.lua')
else
    package.path = arg[1] .. '/?.lua;' .. package.path
    box.cfg{listen = os.getenv('SCORING_LISTEN'), memtx_memory = 256 * 1024 * 1024}
end
"#;

/// A running, stopped or killed Tarantool at one address. Dropping it kills and reaps the process.
#[derive(Debug)]
pub struct TarantoolServer {
    port: ReservedPort,
    dir: TempDir,
    process: ServerProcess,
    log: Log,
}

/// How the server writes its log.
#[derive(Debug, Clone, Copy)]
enum Log {
    /// As by default.
    Fast,
    /// Each change waits for the disk.
    Synced,
}

// ===== impl TarantoolServer =====

impl TarantoolServer {
    /// Starts an empty Tarantool with the functions.
    ///
    /// # Panics
    ///
    /// When `tarantool` is not installed, or does not serve within 20 s.
    pub async fn start() -> Self {
        Self::with(Log::Fast).await
    }

    /// As [`start`](Self::start), with a log in which each change waits for the disk.
    pub async fn start_synced() -> Self {
        Self::with(Log::Synced).await
    }

    async fn with(log: Log) -> Self {
        let (port, dir) = (ReservedPort::new(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("init.lua"), INIT).unwrap();
        let process = ServerProcess::start(&command(&port, &dir, true, log));
        let server = Self { port, dir, process, log };
        server.serves().await;
        server
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// The URL for the service.
    pub fn url(&self) -> String {
        self.url_at(self.addr())
    }

    /// The URL for the service, if the server is reached at `addr`.
    pub fn url_at(&self, addr: SocketAddr) -> String {
        format!("tarantool://scoring:{PASSWORD}@{addr}")
    }

    /// The URL for imports and exports.
    pub fn import_url(&self) -> String {
        format!("tarantool://scoring_import:{IMPORT_PASSWORD}@{}", self.addr())
    }

    /// Starts it again at the same address, with its interests. Kills it first if it runs.
    pub async fn restart(&self) {
        self.kill9();
        self.process.run(&command(&self.port, &self.dir, true, self.log));
        self.serves().await;
    }

    /// As [`restart`](Self::restart), without the functions. [`load`](Self::load) loads them.
    pub async fn restart_without_functions(&self) {
        self.kill9();
        self.process.run(&command(&self.port, &self.dir, false, self.log));
        self.says("box.info.status", "running").await;
    }

    /// Loads the functions.
    pub async fn load(&self) {
        self.lua("require('scoring')").await;
    }

    /// Stores interests.
    pub async fn put(&self, key: &str, value: &str) {
        self.lua(&format!("box.space.scoring_interests:replace({{[==[{key}]==], [==[{value}]==]}})")).await;
    }

    /// The YAML that the console prints for a line of Lua.
    ///
    /// # Panics
    ///
    /// When the server does not answer within 30 s, or with an error.
    pub async fn lua(&self, line: &str) -> String {
        let answer = self.console(line).await.unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(!answer.contains("\n- error:"), "{line}: {answer}");
        answer
    }

    async fn serves(&self) {
        self.says("scoring ~= nil and #scoring.get_many({}) == 0", "true").await;
    }

    /// Waits until the console prints `expected` for an expression.
    async fn says(&self, expression: &str, expected: &str) {
        eventually(START_WITHIN, "tarantool serves", async || {
            self.process.has_not_ended(&self.dir.path().join(OUTPUT));
            let answer = self.console(&format!("return {expression}")).await;
            answer.is_ok_and(|answer| answer.trim() == format!("---\n- {expected}\n..."))
        })
        .await;
    }

    async fn console(&self, line: &str) -> io::Result<String> {
        let path: PathBuf = self.dir.path().join("console");
        let answer = async {
            let mut stream = UnixStream::connect(path).await?;
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            let mut said = Vec::new();
            // A line of greeting comes first, then one document.
            while !String::from_utf8_lossy(&said).contains("\n...\n") {
                if stream.read_buf(&mut said).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let said = String::from_utf8_lossy(&said).into_owned();
            Ok(said.find("---\n").map_or(said.clone(), |start| said[start..].to_owned()))
        };
        in_time(ANSWER_WITHIN, Box::pin(answer)).await.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Deref for TarantoolServer {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.process
    }
}

fn command(port: &ReservedPort, dir: &TempDir, has_functions: bool, log: Log) -> Program {
    let functions = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/tarantool");
    let log = match log {
        Log::Fast => "fast",
        Log::Synced => "slowly",
    };
    let arguments = ["init.lua", functions, if has_functions { "with" } else { "without" }, log];
    Program::new("tarantool", "tarantool", &arguments, dir.path()).with(&[
        ("SCORING_LISTEN", &port.addr().to_string()),
        ("SCORING_WORK_DIR", &dir.path().display().to_string()),
        ("SCORING_PASSWORD", PASSWORD),
        ("SCORING_IMPORT_PASSWORD", IMPORT_PASSWORD),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_interests_outlive_the_process() {
        let server = TarantoolServer::start().await;
        server.put("i:1", r#"["books"]"#).await;
        server.kill9();
        assert!(!server.is_running());
        server.restart().await;
        let found = server.lua("return unpack(scoring.get_many({'i:1', 'i:2'}))").await;
        assert_eq!(found.trim(), "---\n- '[\"books\"]'\n- null\n...");
        server.restart_without_functions().await;
        assert!(server.lua("return scoring == nil").await.contains("true"));
        server.load().await;
        assert!(server.lua("return scoring ~= nil").await.contains("true"));
    }
}
