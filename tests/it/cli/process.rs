//! Processes of the real binary, each in a folder of its own and with an environment that says nothing of scoring.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use scoring_api::store::EmbeddedFile;
use serde_json::Value;
use tempfile::TempDir;
use testkit::{eventually, share};

const ENDS_WITHIN: Duration = Duration::from_secs(60);
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
const ON_FREE_PORTS: [&str; 4] = ["--set", "http.bind=127.0.0.1:0", "--set", "admin.bind="];

/// The folder that processes run in. The default store is in it, too.
pub struct Sandbox {
    folder: TempDir,
}

/// A process under way. Dropping it kills and reaps it.
pub struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    pub out: String,
    /// Without the lines of operators' acts.
    pub err: String,
    /// The lines of operators' acts on standard error.
    pub acts: Vec<Value>,
}

// ===== impl Sandbox =====

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    /// Opens the default store, as another process would.
    pub fn store(&self) -> EmbeddedFile {
        EmbeddedFile::open(&self.path("data/scoring.redb")).unwrap()
    }

    /// The binary, with nothing on its standard input and its output in files.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scoring-api"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SCORING_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub fn start(&self, arguments: &[&str]) -> Process {
        self.spawn(self.command(arguments))
    }

    pub fn spawn(&self, mut command: Command) -> Process {
        share();
        let [out, err] = ["out", "err"].map(|name| self.path(&format!("{name}-{}", fastrand::u64(..))));
        // Files, unlike pipes, never fill up.
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn();
        Process { child: child.unwrap(), out, err }
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).ended().await
    }

    /// As [`run`](Self::run), with `input` on its standard input.
    pub async fn feed(&self, input: &str, arguments: &[&str]) -> Ended {
        self.write("input", input);
        let mut command = self.command(arguments);
        command.stdin(File::open(self.path("input")).unwrap());
        self.spawn(command).ended().await
    }

    /// A service that listens, and where it does.
    pub async fn serve(&self, arguments: &[&str]) -> (Process, String) {
        self.serve_by(self.command(&[ON_FREE_PORTS.as_slice(), arguments].concat())).await
    }

    /// The same, started by a command that says itself where to listen.
    pub async fn serve_by(&self, command: Command) -> (Process, String) {
        let service = self.spawn(command);
        let listens = || service.out().lines().find(|line| line.contains("listening")).map(str::to_owned);
        eventually(LISTENS_WITHIN, "the service listens", async || listens().is_some()).await;
        // In either format, the first address in that line is the public one.
        let line = listens().unwrap();
        let (_, address) = line.split_once("127.0.0.1:").unwrap();
        let port = address.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        (service, format!("127.0.0.1:{port}"))
    }

    /// The output of `interests export`, line by line.
    pub async fn exported(&self, arguments: &[&str]) -> Vec<String> {
        let ended = self.run(&[&["interests", "export"], arguments].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out.lines().map(str::to_owned).collect()
    }
}

// ===== impl Process =====

impl Process {
    pub fn out(&self) -> String {
        read(&self.out)
    }

    pub fn err(&self) -> String {
        read(&self.err)
    }

    /// How many files and sockets the process has open.
    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for a line of the log.
    pub async fn logged(&self, message: &str, within: Duration) -> Value {
        let find = || {
            let lines = self.out();
            let mut lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == message)
        };
        eventually(within, message, async || find().is_some()).await;
        find().unwrap()
    }

    /// Waits until the process handles SIGTERM itself.
    pub async fn handles_signals(&self) {
        let status = format!("/proc/{}/status", self.child.id());
        let sigterm = 1 << (15 - 1);
        eventually(ENDS_WITHIN, "signals are handled", async || {
            let status = read(Path::new(&status));
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
            caught.is_some_and(|mask| u64::from_str_radix(mask, 16).unwrap() & sigterm != 0)
        })
        .await;
    }

    pub async fn ended(mut self) -> Ended {
        let mut status = None;
        eventually(ENDS_WITHIN, "the process ends", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        let err = read(&self.err);
        let is_act = |line: &&str| line.starts_with('{') && line.contains("scoring_api::audit");
        let (acts, err): (Vec<_>, Vec<_>) = err.split_inclusive('\n').partition(is_act);
        let acts = acts.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        Ended { code: status.unwrap().code(), out: self.out(), err: err.concat(), acts }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

// ===== impl Ended =====

impl Ended {
    /// Checks that it failed with `code`, and that standard error says so in lines of their own.
    #[track_caller]
    pub fn failed(&self, code: i32) -> Vec<&str> {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.err.is_empty(), "{self:?}");
        for line in self.err.lines() {
            assert!(line.starts_with("error: "), "{self:?}");
        }
        self.err.lines().map(|line| &line["error: ".len()..]).collect()
    }

    #[track_caller]
    pub fn succeeded(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.out
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
