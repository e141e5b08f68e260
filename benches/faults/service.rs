//! The release binary as a separate process, and the kernel's figures about it.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{bench::client::Target, eventually};

const STARTS_WITHIN: Duration = Duration::from_secs(10);
/// The shipped binary, built by `bench/install`.
const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/bin/scoring-api");
const ON_FREE_PORTS: [&str; 2] = ["http.bind=127.0.0.1:0", "admin.bind=127.0.0.1:0"];

/// A service that listens. Dropping it kills and reaps the process.
pub struct Service {
    pub target: Arc<Target>,
    process: Process,
    dir: TempDir,
    /// Held open and not read, if the log is written to a pipe.
    _pipe: Option<BufReader<ChildStdout>>,
}

struct Process(Child);

/// The start of the binary.
#[derive(Default)]
pub struct Launch {
    environment: Vec<(&'static str, String)>,
    /// A script that a shell runs first. It ends with `exec "$0" "$@"`.
    script: Option<String>,
}

/// A run of the command line that has ended.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The resources of the service.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub rss_kib: u64,
    pub files: usize,
    pub threads: u64,
}

// ===== impl Launch =====

impl Launch {
    /// With these environment variables of a shim.
    pub fn with(environment: &[(&'static str, String)]) -> Self {
        Self { environment: environment.to_vec(), script: None }
    }

    /// With this limit on open files.
    pub fn with_files(self, most: usize) -> Self {
        Self { script: Some(format!("ulimit -n {most} && exec \"$0\" \"$@\"")), ..self }
    }

    /// In a namespace of its own, in which `folder` is mounted read-only. Needs root.
    pub fn read_only(folder: &str) -> Self {
        let mount = format!("mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}");
        let script = format!("exec unshare -m sh -c '{mount} && exec \"$0\" \"$@\"' \"$0\" \"$@\"");
        Self { environment: Vec::new(), script: Some(script) }
    }

    fn command(&self) -> Command {
        let mut command = match &self.script {
            None => Command::new(BINARY),
            Some(script) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", script, BINARY]);
                shell
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SCORING_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs the command line to its end.
    pub fn run(&self, arguments: &[String]) -> Ended {
        let output = self.command().args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Starts the command line. The caller reaps it.
    pub fn spawn(&self, arguments: &[String]) -> Child {
        self.command().args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A service with these settings. Its log goes to a file.
    pub async fn serve(&self, settings: &[&str]) -> Service {
        Service::start_by(self.command(), settings).await
    }
}

// ===== impl Service =====

impl Service {
    /// Starts it with these settings. Its log goes to a file.
    pub async fn start(settings: &[&str]) -> Self {
        Launch::default().serve(settings).await
    }

    async fn start_by(command: Command, settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let out = File::create(log_path(&dir)).unwrap();
        let process = Process::spawn(command, &dir, settings, out.into());
        let mut line = None;
        eventually(STARTS_WITHIN, "the service listens", async || {
            let log = fs::read_to_string(log_path(&dir)).unwrap_or_default();
            line = log.lines().find_map(listening);
            line.is_some()
        })
        .await;
        Self { target: Arc::new(line.unwrap()), process, dir, _pipe: None }
    }

    /// The same, with a log in a pipe that is not read any more once the service listens.
    pub async fn start_with_blocked_log(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Process::spawn(Launch::default().command(), &dir, settings, Stdio::piped());
        let mut pipe = BufReader::new(process.0.stdout.take().unwrap());
        let reading = tokio::task::spawn_blocking(move || {
            let found = (&mut pipe).lines().map_while(Result::ok).find_map(|line| listening(&line));
            (found, pipe)
        });
        let (found, pipe) = tokio::time::timeout(STARTS_WITHIN, reading).await.unwrap().unwrap();
        Self { target: Arc::new(found.expect("the service listens")), process, dir, _pipe: Some(pipe) }
    }

    /// Its whole log.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.dir)).unwrap_or_default()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.process.pid(), signal).unwrap();
    }

    pub fn usage(&self) -> Usage {
        let proc = PathBuf::from(format!("/proc/{}", self.process.0.id()));
        let status = fs::read_to_string(proc.join("status")).unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Usage {
            rss_kib: number("VmRSS:").unwrap_or(0),
            files: fs::read_dir(proc.join("fd")).map_or(0, Iterator::count),
            threads: number("Threads:").unwrap_or(0),
        }
    }

    /// Its exit code and the time it took to exit; `None` if it is still running then.
    pub async fn ends(&mut self, within: Duration) -> Option<(Option<i32>, Duration)> {
        let begun = Instant::now();
        while begun.elapsed() < within {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                return Some((status.code(), begun.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }
}

// ===== impl Process =====

impl Process {
    fn spawn(mut command: Command, dir: &TempDir, settings: &[&str], out: Stdio) -> Self {
        for setting in ON_FREE_PORTS.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        command.current_dir(dir.path()).stdout(out);
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn log_path(dir: &TempDir) -> PathBuf {
    dir.path().join("log")
}

/// The address of a service, if this line of its log contains it.
fn listening(line: &str) -> Option<Target> {
    let line: Value = serde_json::from_str(line).ok()?;
    let address = |name: &str| line[name].as_str()?.parse::<SocketAddr>().ok();
    (line["message"] == "listening")
        .then(|| Some(Target::new(address("address")?, address("admin_address")?)))?
}
