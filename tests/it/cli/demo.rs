//! The demo as users run it.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
    time::Duration,
};

use rstest::rstest;
use rustix::process::Signal;
use testkit::eventually;
use tokio::task::spawn_blocking;

use super::process::Sandbox;

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// The phases, in their order.
const PHASES: [&str; 11] = [
    "all is well",
    "the store is killed",
    "the store is back",
    "the store hangs",
    "the store answers again",
    "the store refuses writes",
    "the store accepts writes again",
    "actor panics on each 10th call",
    "actor panics on every call",
    "the actor is cured",
    "SIGTERM under load",
];

#[tokio::test]
async fn the_smoke_test_sees_every_phase_and_no_wrong_answer() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["demo", "--check", "--record", "demo.svg"]);
    // The user's own settings do not count.
    command.env("SCORING_HTTP__BIND", "192.0.2.1:80").env("SCORING_STORE__URL", "redis://192.0.2.1");
    let ended = sandbox.spawn(command).ended().await;
    let out = ended.succeeded();
    assert_eq!(ended.err, "");
    assert!(out.contains("Status page: http://127.0.0.1:"), "{out}");
    let rows: Vec<_> = out.lines().filter(|line| PHASES.iter().any(|phase| line.contains(phase))).collect();
    assert_eq!(rows.len(), PHASES.len(), "{out}");
    for (row, phase) in rows.iter().zip(PHASES) {
        assert!(row.contains(phase), "{out}");
        // No colours in a file.
        assert!(row.is_ascii() && !row.contains('\x1b'), "{row:?}");
    }
    let last = out.lines().last().unwrap();
    assert!(last.ends_with(" calls, 0 wrong") && !last.starts_with("0 calls"), "{out}");
    let picture = fs::read_to_string(sandbox.path("demo.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains(last), "{picture}");
}

#[tokio::test]
async fn a_reader_that_goes_does_not_end_the_run() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["demo", "--check", "--record", "demo.svg"]);
    let mut demo = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first_line = String::new();
    // As `head -1` does: the pipe is closed after a line.
    BufReader::new(demo.stdout.take().unwrap()).read_line(&mut first_line).unwrap();
    assert!(first_line.starts_with("The real service"), "{first_line:?}");
    let ended = spawn_blocking(|| demo.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    let picture = fs::read_to_string(sandbox.path("demo.svg")).unwrap();
    assert!(picture.starts_with("<svg ") && picture.contains(" calls, 0 wrong"), "{picture}");
}

#[tokio::test]
async fn ctrl_c_ends_the_demo_at_once_and_leaves_an_older_picture_as_it_is() {
    let sandbox = Sandbox::new();
    sandbox.write("older.svg", "older");
    for picture in ["older.svg", "new.svg"] {
        let demo = sandbox.start(&["demo", "--record", picture]);
        eventually(STARTS_WITHIN, "the demo runs", async || demo.out().contains("Status page")).await;
        demo.signal(Signal::INT);
        assert_eq!(demo.ended().await.failed(130), ["ended by SIGINT before the demo was over"]);
    }
    assert_eq!(fs::read_to_string(sandbox.path("older.svg")).unwrap(), "older");
    assert!(!sandbox.path("new.svg").exists(), "an empty file is no picture");
}

#[rstest]
#[case::in_a_missing_folder("missing/demo.svg")]
#[case::that_is_a_folder("folder")]
#[case::below_a_file("file/demo.svg")]
#[case::where_no_file_can_be_made("/proc/demo.svg")]
#[tokio::test]
async fn a_picture_that_cannot_be_written_is_refused_at_once(#[case] picture: &str) {
    let sandbox = Sandbox::new();
    sandbox.write("file", "");
    fs::create_dir(sandbox.path("folder")).unwrap();
    let ended = sandbox.run(&["demo", "--record", picture]).await;
    assert!(ended.failed(1)[0].starts_with(&format!("{picture}: ")), "{ended:?}");
    assert_eq!(ended.out, "");
}

#[rstest]
#[case::file(&["demo", "--check", "--config", "is-not-read.toml"], "--config <FILE>")]
#[case::setting(&["--set", "http.bind=127.0.0.1:0", "demo"], "--set <KEY=VALUE>")]
#[tokio::test]
async fn settings_for_the_demo_are_wrong_usage(#[case] words: &[&str], #[case] argument: &str) {
    let ended = Sandbox::new().run(words).await;
    let expected =
        format!("error: the argument '{argument}' cannot be used with 'demo', which reads no settings\n");
    assert!(ended.code == Some(2) && ended.err.starts_with(&expected), "{ended:?}");
    assert_eq!(ended.out, "");
}
