//! Rows 47, 49, 51, 55 and 56 on the binary: the embedded store's file on a disk that fails, is full or read-only, and files that are
//! damaged.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{FileExt, PermissionsExt},
    process::Command,
    time::Duration,
};

use rustix::process::geteuid;
use serde_json::Value;
use testkit::{Calls, EIO, ENOSPC, Reply, Shim, Wire, call, eventually, post};

use super::process::{Process, Sandbox};

const SOON: Duration = Duration::from_secs(10);

struct Service {
    process: Process,
    address: String,
}

impl Service {
    /// Serves the sandbox' default store, started by `command`.
    async fn start(sandbox: &Sandbox, mut command: Command) -> Self {
        command.args([
            "--set",
            "http.bind=127.0.0.1:0",
            "--set",
            "admin.bind=127.0.0.1:0",
            "--set",
            "log.format=json",
        ]);
        let (process, address) = sandbox.serve_by(command).await;
        Self { process, address }
    }

    async fn interests_of(&self, client: i64) -> Reply {
        let mut wire = Wire::to(self.address.parse().unwrap()).await;
        let body = call("clients_interests", serde_json::json!({ "client_ids": [client] })).to_string();
        wire.send(post(&body)).await.unwrap();
        wire.answer().await
    }

    /// `/readyz` of the operators' listener.
    async fn readiness(&self) -> Value {
        let line = self.process.out().lines().find(|line| line.contains("listening")).unwrap().to_owned();
        let line: Value = serde_json::from_str(&line).unwrap();
        let mut wire = Wire::to(line["admin_address"].as_str().unwrap().parse().unwrap()).await;
        wire.send("GET /readyz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        wire.answer().await.body
    }

    /// Waits until client 1 is answered with this code.
    async fn answers(&self, code: u16) {
        eventually(SOON, "client 1 is answered so", async || self.interests_of(1).await.status == code).await;
    }

    /// Waits until readiness names a cause that contains this.
    async fn names(&self, cause: &str) {
        eventually(SOON, "readiness and log name the cause", async || {
            let readiness = self.readiness().await;
            let named = readiness["parts"]["persistent"]["cause"].as_str();
            named.is_some_and(|named| named.contains(cause)) && self.process.out().contains(cause)
        })
        .await;
    }
}

fn filled() -> Sandbox {
    let sandbox = Sandbox::new();
    let entries: Vec<_> = (1..=200).map(|id| (format!("i:{id}"), b"[\"books\"]".to_vec())).collect();
    sandbox.store().put_all(&entries, &|| ()).unwrap();
    sandbox
}

fn with(mut command: Command, shim: &Shim) -> Command {
    command.envs(shim.environment().iter().map(|(name, value)| (name, value)));
    command
}

/// The command in a namespace in which `data` is mounted read-only. Other users than root lose the right to write instead.
fn read_only(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let data = sandbox.path("data");
    if !geteuid().is_root() {
        fs::set_permissions(data.join("scoring.redb"), fs::Permissions::from_mode(0o444)).unwrap();
        return sandbox.command(arguments);
    }
    let script =
        format!("mount --bind {0} {0} && mount -o remount,ro,bind {0} && exec \"$0\" \"$@\"", data.display());
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_scoring-api")]).args(arguments);
    command.current_dir(sandbox.path("."));
    command
}

#[tokio::test]
async fn row_47_failing_reads_degrade_until_the_file_is_reopened() {
    let sandbox = filled();
    let shim = Shim::new("scoring.redb", Calls::Read, EIO);
    let service = Service::start(&sandbox, with(sandbox.command(&[]), &shim)).await;
    service.answers(200).await;
    shim.fail();
    eventually(SOON, "interests are refused", async || {
        // Others than those whose pages are in memory.
        service.interests_of(fastrand::i64(1..=200)).await.status == 503
    })
    .await;
    service.names("scoring.redb: Input/output error").await;
    shim.heal();
    service.answers(200).await;
    eventually(SOON, "ready", async || service.readiness().await["status"] == "ready").await;
}

#[tokio::test]
async fn row_47_an_import_on_a_full_disk_fails_and_changes_nothing() {
    let sandbox = filled();
    sandbox.write("more.ndjson", "{\"id\": 1, \"interests\": [\"films\"]}\n");
    let shim = Shim::new("scoring.redb", Calls::Write, ENOSPC);
    shim.fail();
    let ended =
        sandbox.spawn(with(sandbox.command(&["interests", "import", "more.ndjson"]), &shim)).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("scoring.redb: No space left on device"), "{ended:?}");
    assert_eq!(sandbox.exported(&[]).await.len(), 200);
    shim.heal();
    let ended =
        sandbox.spawn(with(sandbox.command(&["interests", "import", "more.ndjson"]), &shim)).ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[tokio::test]
async fn row_49_a_damaged_file_is_one_line_and_no_backtrace() {
    let sandbox = filled();
    let path = sandbox.path("data/scoring.redb");
    let length = path.metadata().unwrap().len();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // The blocks with values; the header stays.
    file.write_all_at(&vec![0xA5; length as usize - 8192], 8192).unwrap();
    for arguments in [&["interests", "export"][..], &["interests", "get", "1"]] {
        let mut command = sandbox.command(arguments);
        command.env("RUST_BACKTRACE", "1");
        let ended = sandbox.spawn(command).ended().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.err.contains("scoring.redb: the file is damaged"), "{ended:?}");
        assert!(!ended.err.contains("panicked") && !ended.err.contains("backtrace"), "{ended:?}");
    }
}

#[tokio::test]
async fn row_51_a_first_start_on_a_full_disk_recovers_with_space() {
    let sandbox = Sandbox::new();
    let shim = Shim::new("scoring.redb", Calls::Write, ENOSPC);
    shim.fail();
    let service = Service::start(&sandbox, with(sandbox.command(&[]), &shim)).await;
    service.names("scoring.redb: No space left on device").await;
    service.answers(503).await;
    shim.heal();
    service.answers(200).await;
}

#[tokio::test]
async fn row_55_a_read_only_file_is_served_and_an_import_is_an_error() {
    let sandbox = filled();
    sandbox.write("more.ndjson", "{\"id\": 1, \"interests\": [\"films\"]}\n");
    let service = Service::start(&sandbox, read_only(&sandbox, &[])).await;
    service.answers(200).await;
    assert_eq!(service.readiness().await["parts"]["persistent"]["access"], "read_only");

    let export = sandbox.spawn(read_only(&sandbox, &["interests", "export"])).ended().await;
    assert_eq!((export.code, export.out.lines().count()), (Some(0), 200), "{export:?}");
    let get = sandbox.spawn(read_only(&sandbox, &["interests", "get", "1"])).ended().await;
    assert_eq!(get.code, Some(0), "{get:?}");
    let import = sandbox.spawn(read_only(&sandbox, &["interests", "import", "more.ndjson"])).ended().await;
    assert_eq!(import.code, Some(1), "{import:?}");
    let why = ["Read-only file system", "Permission denied"];
    assert!(why.iter().any(|why| import.err.contains(why)), "{import:?}");
}
