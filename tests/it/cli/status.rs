//! `status`: the state of a service, for people and for programs.

use std::{
    fs::File,
    io::Read as _,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rstest::rstest;
use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use scoring_api::http::status::{ReloadOutcome, StatusReport};
use serde_json::Value;
use testkit::{Person, TestApp, eventually};

use super::process::Sandbox;

const WITHIN: Duration = Duration::from_secs(20);

fn bound(app: &TestApp) -> String {
    format!("admin.bind={}", app.admin_address())
}

#[tokio::test]
async fn the_state_is_printed_in_aligned_lines_without_colours() {
    let app = TestApp::spawn().await;
    app.online_score(&Person::full()).await;
    eventually(WITHIN, "the call is in the report", async || {
        !app.admin("/status.json").await.body["calls"]["history"]["calls"].as_array().unwrap().is_empty()
    })
    .await;
    let ended = Sandbox::new().run(&["status", "--set", &bound(&app)]).await;
    let text = ended.succeeded();
    assert!(text.starts_with("scoring-api "), "{text}");
    for part in [
        "\nOK: Callers notice nothing.",
        "\nCALLS\n",
        "\nSTORES\n",
        "  cache (memory) ",
        "\nACTORS\n",
        "  Worker 0\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains('\x1b') && text.lines().all(|line| line == line.trim_end()), "{text}");
    let columns = |start: &str| {
        let line = text.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
        line.chars().take_while(|letter| *letter != '\n').collect::<String>()
    };
    // The second column begins in one place.
    let second = |line: &str, word: &str| line.split_once(word).map(|(before, _)| before.chars().count());
    assert_eq!(second(&columns("Actor "), "State"), second(&columns("dispatcher "), "running"), "{text}");
}

#[tokio::test]
async fn json_is_the_answer_of_the_service() {
    let app = TestApp::spawn().await;
    let ended = Sandbox::new().run(&["status", "--json", "--set", &bound(&app)]).await;
    let report: StatusReport = serde_json::from_str(ended.succeeded()).unwrap();
    assert_eq!(report.service.name, "scoring-api");
    assert_eq!(ended.out.lines().count(), 1);
}

#[rstest]
#[case::nobody_there("127.0.0.1:1", 1, "GET http://127.0.0.1:1/status.json: ")]
#[case::turned_off("", 2, "admin.bind: the operators' listener is turned off")]
#[tokio::test]
async fn a_service_that_does_not_answer_is_a_failure(
    #[case] address: &str,
    #[case] code: i32,
    #[case] line: &str,
) {
    let ended = Sandbox::new().run(&["status", "--set", &format!("admin.bind={address}")]).await;
    assert!(ended.failed(code)[0].starts_with(line), "{ended:?}");
}

/// The public listener answers 404.
#[tokio::test]
async fn another_answer_than_a_report_is_a_failure() {
    let app = TestApp::spawn().await;
    let ended = Sandbox::new().run(&["status", "--set", &format!("admin.bind={}", app.address())]).await;
    let line = format!(r#"GET http://{}/status.json: answered "HTTP/1.1 404 Not Found""#, app.address());
    assert_eq!(ended.failed(1), [line]);
}

#[tokio::test]
async fn a_watch_prints_until_ctrl_c_and_outlasts_the_service() {
    let app = TestApp::spawn().await;
    let sandbox = Sandbox::new();
    let watch = sandbox.start(&["status", "--watch", "--json", "--set", &bound(&app)]);
    let lines = || watch.out().lines().map(str::to_owned).collect::<Vec<_>>();
    eventually(WITHIN, "it prints more than once", async || lines().len() > 2).await;
    // The last one may be under way.
    for line in lines().iter().take(2) {
        let report: Value = serde_json::from_str(line).unwrap();
        assert_eq!(report["service"]["phase"], "serving");
    }
    drop(app);
    eventually(WITHIN, "it goes on without an answer", async || watch.err().contains("/status.json: ")).await;
    watch.signal(Signal::INT);
    let ended = watch.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// As on a terminal of 20 rows and 60 columns.
#[rstest]
#[case::ctrl_c(Signal::INT)]
#[case::terminated(Signal::TERM)]
#[tokio::test]
async fn a_watch_fits_its_terminal_and_leaves_it_as_it_was(#[case] signal: Signal) {
    let app = TestApp::spawn().await;
    let sandbox = Sandbox::new();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 20, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let inside = File::options().read(true).write(true).open(path).unwrap();
    let mut command = sandbox.command(&["status", "--watch", "--set", &bound(&app)]);
    let mut watch = command.stdout(inside.try_clone().unwrap()).stderr(inside).spawn().unwrap();
    // The terminal ends with its last writer.
    drop(command);
    let text = Arc::new(Mutex::new(String::new()));
    let reader = thread::spawn({
        let (text, mut terminal) = (text.clone(), File::from(terminal));
        move || {
            let (mut bytes, mut all) = ([0; 4096], Vec::new());
            while let Ok(count @ 1..) = terminal.read(&mut bytes) {
                all.extend_from_slice(&bytes[..count]);
                *text.lock().unwrap() = String::from_utf8_lossy(&all).into_owned();
            }
        }
    });
    eventually(WITHIN, "two reports are shown", async || text.lock().unwrap().matches("\x1b[H").count() >= 2)
        .await;
    kill_process(Pid::from_child(&watch), signal).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
    let text = text.lock().unwrap();
    assert!(text.starts_with("\x1b[?1049h") && text.ends_with("\x1b[?1049l"), "{text:?}");
    let (_, reports) = text.split_once("\x1b[H").unwrap();
    let (report, _) = reports.split_once("\x1b[H").unwrap();
    let lines: Vec<_> = report.split('\n').collect();
    assert_eq!(lines.len(), 20, "{text:?}");
    assert!(lines[19].contains("… ") && lines[19].ends_with(" more lines"), "{text:?}");
}

#[tokio::test]
async fn a_reload_is_in_the_report_with_its_keys_and_without_secrets() {
    let sandbox = Sandbox::new();
    sandbox.write("x.toml", "[auth]\nsalt = \"first salt\"\n");
    let arguments = ["--config", "x.toml", "--set", "store.url=memory:", "--set", "admin.bind=127.0.0.1:0"];
    let (service, _) = sandbox.serve(&arguments).await;
    let listening = service.logged("listening", WITHIN).await;
    let bind = format!("admin.bind={}", listening["admin_address"].as_str().unwrap());
    let report = async || {
        let ended = sandbox.run(&["status", "--json", "--set", &bind]).await;
        serde_json::from_str::<StatusReport>(ended.succeeded()).unwrap()
    };
    assert_eq!(report().await.last_reload, None);

    sandbox.write("x.toml", "[auth]\nsalt = \"second salt\"\n");
    service.signal(Signal::HUP);
    let told = |report: &StatusReport, text: &str| report.changes.iter().any(|change| change.text == text);
    eventually(WITHIN, "the reload is told", async || told(&report().await, "settings reloaded: auth.salt"))
        .await;
    let after = report().await;
    let reload = after.last_reload.as_ref().unwrap();
    assert_eq!((reload.outcome, &*reload.changed), (ReloadOutcome::Succeeded, &["auth.salt".to_owned()][..]));
    assert!(!serde_json::to_string(&after).unwrap().contains("second salt"));

    sandbox.write("x.toml", "[auth]\nsalt = 1\n");
    service.signal(Signal::HUP);
    let text = "settings not reloaded, because the new ones are at fault";
    eventually(WITHIN, "the failure is told", async || told(&report().await, text)).await;
    assert_eq!(report().await.last_reload.unwrap().outcome, ReloadOutcome::Failed);
}
