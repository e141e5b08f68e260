//! Interests into the embedded store and out of it.

use std::process::Stdio;

use rstest::rstest;
use serde_json::json;

use super::{process::Sandbox, serve::interests_of_client_1};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/interests.ndjson");
const OLD: &str = "{\"id\":1,\"interests\":[\"old\"]}\n{\"id\":2,\"interests\":[]}\n";

/// A store with two clients.
async fn with_old_data() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.feed(OLD, &["interests", "import", "-"]).await.succeeded();
    sandbox
}

#[tokio::test]
async fn the_sample_can_be_imported_looked_at_and_exported() {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["interests", "import", SAMPLE]).await;
    assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "imported 5 clients\n"));
    let found = sandbox.run(&["interests", "get", "1", "-9", "1"]).await;
    let books = r#"{"id":1,"interests":["books","hi-tech"]}"#;
    assert_eq!(found.succeeded(), format!("{books}\n{{\"id\":-9,\"interests\":[]}}\n{books}\n"));
    let exported = sandbox.exported(&[]).await;
    assert_eq!(exported.len(), 5);
    assert_eq!(exported[0], books);
}

#[tokio::test]
async fn an_export_can_be_imported_elsewhere_unchanged() {
    let sandbox = Sandbox::new();
    let lines: String = (-1_500..1_500)
        .map(|id| format!("{}\n", json!({ "id": id, "interests": ["\u{43a}\n\"\\", id.to_string()] })))
        .collect();
    sandbox.feed(&lines, &["interests", "import", "-"]).await.succeeded();
    let exported = sandbox.exported(&[]).await;
    assert_eq!(exported.len(), 3_000);
    let elsewhere = ["--set", "store.url=embedded:other.redb"];
    let import = [&["interests", "import", "-"], elsewhere.as_slice()].concat();
    sandbox.feed(&exported.join("\n"), &import).await.succeeded();
    assert_eq!(sandbox.exported(&elsewhere).await, exported);
}

#[tokio::test]
async fn csv_is_known_by_its_ending_or_by_its_flag() {
    let sandbox = Sandbox::new();
    sandbox.write("x.csv", "\u{feff}id,interests\r\n1,books\r\n2,\r\n1,\"a, b\"\r\n");
    sandbox.run(&["interests", "import", "x.csv"]).await.succeeded();
    let expected = [r#"{"id":1,"interests":["books","a, b"]}"#, r#"{"id":2,"interests":[]}"#];
    assert_eq!(sandbox.exported(&[]).await, expected);
    let again = sandbox.feed("id,interests\n2,new", &["interests", "import", "-", "--format", "csv"]).await;
    assert_eq!(again.err, "imported 1 client\n");
    assert_eq!(sandbox.exported(&[]).await[1], r#"{"id":2,"interests":["new"]}"#);
}

#[tokio::test]
async fn one_bad_line_stops_an_import_unless_skip_bad_is_set() {
    let sandbox = with_old_data().await;
    let input = "{\"id\":1,\"interests\":[\"new\"]}\n\n{\"id\":\"2\",\"interests\":[]}\n{\"id\":1,\"interests\":[]}\n";
    let ended = sandbox.feed(input, &["interests", "import", "-"]).await;
    let expected = [
        "line 3: id must be an integer of at most 64 bits",
        "line 4: id 1 stands already on line 1",
        "nothing was imported, because of 2 bad lines",
    ];
    assert_eq!(ended.failed(1), expected);
    assert_eq!(sandbox.exported(&[]).await.join("\n") + "\n", OLD);

    let ended = sandbox.feed(input, &["interests", "import", "-", "--skip-bad"]).await;
    ended.succeeded();
    assert!(ended.err.starts_with("skipped: line 3: id must be"), "{ended:?}");
    assert!(ended.err.ends_with("\nimported 1 client, skipped 2 bad lines\n"), "{ended:?}");
    assert_eq!(sandbox.exported(&[]).await[0], r#"{"id":1,"interests":["new"]}"#);
}

#[tokio::test]
async fn of_many_bad_lines_the_first_20_are_told_and_the_rest_counted() {
    let ended = Sandbox::new().feed(&"x\n".repeat(25), &["interests", "import", "-"]).await;
    let lines = ended.failed(1);
    assert_eq!(lines.len(), 22);
    assert!(lines[19].starts_with("line 20: "), "{lines:?}");
    assert_eq!(lines[20], "and 5 more");
    assert_eq!(lines[21], "nothing was imported, because of 25 bad lines");
}

#[tokio::test]
async fn csv_without_its_header_is_rejected_even_with_skip_bad() {
    let sandbox = with_old_data().await;
    let arguments = ["interests", "import", "-", "--format", "csv", "--skip-bad"];
    let ended = sandbox.feed("1,books\n2,cinema\n", &arguments).await;
    assert_eq!(ended.failed(1)[0], "line 1: must be the header id,interests");
    assert_eq!(sandbox.exported(&[]).await.join("\n") + "\n", OLD);
}

/// The file is open in both processes.
#[tokio::test]
async fn a_running_service_answers_with_imported_interests() {
    let sandbox = Sandbox::new();
    let (_service, address) = sandbox.serve(&[]).await;
    let answer = |interests: &[&str]| json!({ "code": 200, "response": { "1": interests } });
    assert_eq!(interests_of_client_1(&address).await, answer(&[]));
    for interests in [&["books"][..], &["cinema", "books"], &[]] {
        let line = json!({ "id": 1, "interests": interests }).to_string();
        sandbox.feed(&line, &["interests", "import", "-"]).await.succeeded();
        assert_eq!(interests_of_client_1(&address).await, answer(interests));
        assert_eq!(sandbox.exported(&[]).await.len(), 1, "reading beside the service");
    }
}

#[tokio::test]
async fn a_malformed_value_is_named_and_the_others_come_all_the_same() {
    let sandbox = with_old_data().await;
    sandbox.store().put_all(&[("i:3".to_owned(), b"\"hidden\"".to_vec())], &|| ()).unwrap();
    for arguments in [&["export"][..], &["get", "1", "3", "2"]] {
        let ended = sandbox.run(&[&["interests"], arguments].concat()).await;
        let lines = ended.failed(1);
        assert!(
            lines[0].starts_with("client 3: the stored value is not a JSON array of strings"),
            "{lines:?}"
        );
        assert_eq!(ended.out, OLD);
        assert!(!ended.err.contains("hidden"));
    }
}

#[rstest]
#[case::import_into_memory(&["import", SAMPLE, "--set", "store.url=memory:"], 2, "store.url = \"memory:\": it lives only inside")]
#[case::export_of_memory(&["export", "--set", "store.url=memory:"], 2, "store.url = \"memory:\": it lives only inside")]
#[case::export_of_no_file(&["export"], 1, "store.url = \"embedded:data/scoring.redb\": there is no such file")]
#[case::get_of_no_file(&["get", "1"], 1, "store.url = \"embedded:data/scoring.redb\": there is no such file")]
#[case::import_of_no_file(&["import", "none.csv"], 1, "none.csv: No such file")]
#[case::import_of_a_folder(&["import", ".", "--format", "csv"], 1, ".: Is a directory")]
#[case::import_into_a_file_that_is_none(&["import", SAMPLE, "--set", "store.url=embedded:/dev/null"], 1, "store.url = \"embedded:/dev/null\": /dev/null: not a file of this service")]
#[tokio::test]
async fn a_store_that_cannot_be_opened_is_named_in_one_line(
    #[case] arguments: &[&str],
    #[case] code: i32,
    #[case] line: &str,
) {
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&[&["interests"], arguments].concat()).await;
    let lines = ended.failed(code);
    assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}");
    assert!(!sandbox.path("data").exists(), "a look made something");
}

/// As in `… export | head`, when head has had enough.
#[rstest]
#[case::export(&["interests", "export"])]
#[case::get(&["interests", "get", "1"])]
#[case::token(&["token", "--admin"])]
#[case::check_config(&["check-config"])]
#[case::help(&["--help"])]
#[tokio::test]
async fn a_reader_that_goes_away_is_no_failure(#[case] arguments: &[&str]) {
    let sandbox = with_old_data().await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(arguments);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
}
