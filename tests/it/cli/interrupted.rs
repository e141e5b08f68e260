//! Imports that are interrupted: the store keeps its old data, or has all of the new.

use std::{
    fs,
    io::Write,
    process::Stdio,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use rstest::rstest;
use rustix::process::Signal;
use scoring_api::store::Watch;
use testkit::eventually;

use super::process::Sandbox;

const CLIENTS: usize = 15_000;
const WITHIN: Duration = Duration::from_secs(60);

/// Many clients, each with one interest that is over a thousand bytes long.
fn many(interest: &str) -> String {
    let interest = interest.repeat(500);
    (0..CLIENTS).map(|id| format!("{{\"id\":{id},\"interests\":[\"{interest}\"]}}\n")).collect()
}

#[tokio::test]
async fn a_killed_import_leaves_the_old_data_or_all_of_the_new() {
    let sandbox = Sandbox::new();
    sandbox.feed(&many("old"), &["interests", "import", "-"]).await.succeeded();
    let size = || fs::metadata(sandbox.path("data/scoring.redb")).unwrap().len();
    let before = size();
    sandbox.write("new.ndjson", many("new"));
    let import = sandbox.start(&["interests", "import", "new.ndjson"]);
    // Pages that do not fit into its memory go to the file before the commit.
    eventually(WITHIN, "the import writes", async || size() > before).await;
    import.signal(Signal::KILL);
    assert_eq!(import.ended().await.code, None);

    let exported = sandbox.exported(&[]).await;
    assert_eq!(exported.len(), CLIENTS);
    let new = exported.iter().filter(|line| line.contains("new")).count();
    assert!(new == 0 || new == CLIENTS, "{new} of {CLIENTS} are new");
    // And the file is as good as ever.
    sandbox.run(&["interests", "import", "new.ndjson"]).await.succeeded();
    assert!(sandbox.exported(&[]).await.iter().all(|line| line.contains("new")));
}

#[rstest]
#[case::sigint(Signal::INT, 130, "SIGINT")]
#[case::sigterm(Signal::TERM, 143, "SIGTERM")]
#[tokio::test]
async fn a_signal_while_it_waits_for_input_ends_it(
    #[case] signal: Signal,
    #[case] code: i32,
    #[case] name: &str,
) {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["interests", "import", "-"]);
    let (input, mut pipe) = std::io::pipe().unwrap();
    command.stdin(Stdio::from(input));
    let import = sandbox.spawn(command);
    pipe.write_all(b"{\"id\":1,\"interests\":[]}\n").unwrap();
    import.handles_signals().await;
    import.signal(signal);
    let ended = import.ended().await;
    assert_eq!(ended.failed(code), [format!("ended by {name}; nothing was changed")]);
    assert!(!sandbox.path("data").exists());
}

/// Holds the writers' lock of the file until it is told to go on.
struct Hold(std::sync::Mutex<Receiver<()>>);

impl Watch for Hold {
    fn written(&self, _: usize) {}

    fn may_commit(&self) -> bool {
        // The sender is only ever dropped.
        self.0.lock().unwrap().recv().is_ok()
    }
}

#[tokio::test]
async fn a_signal_while_it_waits_for_another_writer_ends_it() {
    let sandbox = Sandbox::new();
    sandbox.feed("{\"id\":1,\"interests\":[]}", &["interests", "import", "-"]).await.succeeded();
    let store = sandbox.store();
    let (release, released) = channel();
    let writer = thread::spawn(move || store.put_all(&[], &Hold(released.into())).is_err());

    sandbox.write("new.ndjson", "{\"id\":1,\"interests\":[\"new\"]}");
    let import = sandbox.start(&["interests", "import", "new.ndjson"]);
    import.handles_signals().await;
    import.signal(Signal::TERM);
    import.ended().await.failed(143);
    drop(release);
    assert!(writer.join().unwrap(), "called off");
    assert_eq!(sandbox.exported(&[]).await, [r#"{"id":1,"interests":[]}"#]);
}
