//! `card`, and `call online_score --explain`.

use rstest::rstest;
use serde_json::{Value, json};
use testkit::TestApp;

use super::process::{Ended, Sandbox};

/// Something personal, to be looked for in every output.
const EMAIL: &str = "very.private@person";

const CARD: &str = r#"
version = "2026-11-a"
base = 100
max = 230

[[characteristic]]
name = "age"
reason = "R-AGE"
baseline = 100
bin = [
    { when = { age = { below = 25 } }, points = 40.5, reason = "R-AGE-2" },
    { when = { age = { from = 25 } }, points = 150 },
]

[[characteristic]]
name = "email"
reason = "R-EMAIL"
baseline = 50
bin = [{ when = { email_domain = "person" }, points = 20 }]
"#;

const FAULTY: &str = r#"version = ""
base = 0
"ex\ntra" = 1
[[characteristic]]
name = "a"
bin = [{ points = 1 }]
[[characteristic]]
name = "b"
bin = [
    { points = "x" },
]
"#;

/// One person with an email, one without, and five lines that do not count.
fn batch() -> String {
    let names = json!({"first_name": "a", "last_name": "b"});
    let lines = [
        json!({"method": "online_score", "arguments": {"phone": "79175002040", "email": EMAIL}}).to_string(),
        json!({"method": "online_score", "login": "L", "arguments": names}).to_string(),
        json!({"method": "online_score", "arguments": {"phone": "123", "email": EMAIL}}).to_string(),
        json!({"method": "online_score", "arguments": [EMAIL]}).to_string(),
        json!({"method": "clients_interests", "arguments": {"client_ids": [1]}}).to_string(),
        json!({"method": "online_score", "login": "admin", "arguments": names}).to_string(),
        format!("{{\"method\": \"online_score\", \"phone\": \"{EMAIL}\""),
    ];
    lines.join("\n")
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("card.toml", CARD);
    sandbox.write("faulty.toml", FAULTY);
    sandbox.write("batch.ndjson", batch());
    sandbox
}

fn json_of(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap()
}

#[tokio::test]
async fn check_prints_the_properties_of_a_card() {
    // Settings are not read.
    let ended = sandbox().run(&["--config", "nowhere.toml", "card", "check", "card.toml"]).await;
    let lines: Vec<_> = ended.succeeded().lines().collect();
    assert_eq!(lines[0], "version:         2026-11-a");
    let digest = lines[1].strip_prefix("digest:          ").unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest}");
    let numbers = ["characteristics: 2", "lowest score:    100", "highest score:   230"];
    assert_eq!(lines[2..], numbers);
    assert_eq!(ended.err, "");
    let built_in = sandbox().run(&["card", "check", "built-in"]).await;
    assert!(built_in.succeeded().starts_with("version:         built-in\n"), "{built_in:?}");
}

#[tokio::test]
async fn check_prints_every_fault_with_its_line() {
    let ended = sandbox().run(&["card", "check", "faulty.toml"]).await;
    let faults = [
        "faulty.toml:1: version: must have 1 to 64 characters, and no control characters",
        "faulty.toml:3: ex\\ntra: unknown key",
        "faulty.toml:10: characteristic[2].bin[1].points: must be a number such as 12.5",
    ];
    assert_eq!(ended.failed(2), faults);
    assert_eq!(ended.out, "");
}

#[rstest]
#[case::missing("nowhere", "nowhere: cannot be read: No such file or directory (os error 2)")]
#[case::folder(".", ".: cannot be read: not a file")]
#[case::not_toml("batch.ndjson", "batch.ndjson:1: not valid TOML: ")]
#[case::line_break("no\nwhere", "no\\nwhere: cannot be read: No such file or directory (os error 2)")]
#[tokio::test]
async fn a_file_that_is_not_a_card_is_a_fault_of_usage(#[case] file: &str, #[case] message: &str) {
    let ended = sandbox().run(&["card", "check", file]).await;
    let errors = ended.failed(2);
    assert!(errors[0].starts_with(message), "{errors:?}");
    assert!(!ended.err.contains(EMAIL), "{}", ended.err);
}

#[tokio::test]
async fn explain_prints_a_table() {
    let person = ["--phone", "79175002040", "--email", EMAIL, "--birthday", "01.01.1980", "--gender", "1"];
    let words = [&["card", "explain", "card.toml", "--text"], person.as_slice()].concat();
    let ended = sandbox().run(&words).await;
    let table = "\
card 2026-11-a

characteristic   bin        points      baseline  reason
base                           100
age                2           150           100
email              1            20            50  R-EMAIL
sum                            270
lowest                         100
highest                        230
score                          230

reasons
  1. R-EMAIL
";
    assert_eq!((ended.succeeded(), ended.err.as_str()), (table, ""));
}

#[tokio::test]
async fn a_person_without_reasons_has_none_in_the_table() {
    let person = ["--phone", "79175002040", "--email", EMAIL, "--birthday", "01.01.1980", "--gender", "1"];
    let person = [&person[..], &["--first-name", "a", "--last-name", "b"]].concat();
    let words = [&["card", "explain", "built-in", "--text"], person.as_slice()].concat();
    let ended = sandbox().run(&words).await;
    assert!(
        ended.succeeded().ends_with("score                                 5\n\nreasons\n  -\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn explain_prints_json_unless_at_a_terminal() {
    let words = ["card", "explain", "card.toml", "--arguments", "-"];
    let ended = sandbox().feed(r#"{"first_name": "secret", "last_name": "secret"}"#, &words).await;
    ended.succeeded();
    let part = |name: &str, baseline: f64, reason: &str| json!({"name": name, "bin": null, "points": 0.0, "baseline": baseline, "reason": reason});
    let expected = json!({
        "card": "2026-11-a", "base": 100.0,
        "characteristics": [part("age", 100.0, "R-AGE"), part("email", 50.0, "R-EMAIL")],
        "sum": 100.0, "lowest": 100.0, "highest": 230.0, "score": 100.0, "reasons": ["R-AGE", "R-EMAIL"],
    });
    assert_eq!(json_of(&ended), expected);
    assert!(!ended.out.contains("secret"), "{}", ended.out);
}

#[rstest]
#[case::no_pair(&[], "arguments: must have phone and email, first_name and last_name, or gender and birthday")]
#[case::invalid(&["--phone", "123", "--email", "a"], "phone: must be 11 digits and start with 7; email: must contain \"@\"")]
#[case::not_an_object(&["--arguments", "[1]"], "arguments: must be an object")]
#[case::not_json(&["--arguments", "{secret"], "--arguments: not JSON, see line 1, column 2")]
#[case::repeated_key(&["--arguments", r#"{"a":1,"a":2}"#], "--arguments: repeats a key, see line 1, column 10")]
#[case::explain_is_strict(
    &["--set", "scoring.explain=true", "--arguments", r#"{"first_name":"a","last_name":"b","explain":1}"#],
    "explain: must be true or false"
)]
#[tokio::test]
async fn explain_rejects_what_the_service_rejects(#[case] words: &[&str], #[case] message: &str) {
    let ended = sandbox().run(&[&["card", "explain", "card.toml"], words].concat()).await;
    assert_eq!(ended.failed(2), [message]);
}

#[tokio::test]
async fn explain_needs_neither_a_store_nor_a_folder_for_one() {
    let sandbox = sandbox();
    let names = ["--first-name", "a", "--last-name", "b"];
    sandbox.run(&[&["card", "explain", "card.toml"], names.as_slice()].concat()).await.succeeded();
    assert!(!sandbox.path("data").exists());
}

#[tokio::test]
async fn compare_counts_changes_and_skipped_lines() {
    let sandbox = sandbox();
    let words = ["card", "compare", "built-in", "card.toml", "--text", "--batch"];
    let ended = sandbox.run(&[words.as_slice(), &["batch.ndjson"]].concat()).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let head = "\
old card:  built-in, scores 0 to 5
new card:  2026-11-a, scores 100 to 230
calls:     2
changed:   2, 100.0 %
mean:      +108.250
up:        2, at most by 117
down:      0, at most by 0
skipped:   4 (1 of other methods, 1 of the admin, 2 invalid)
bad lines: 1

changes by percent of the old card's range, without equal scores
";
    assert!(ended.out.starts_with(head), "{}", ended.out);
    let last = format!("  above +100          2 {}\n", "#".repeat(40));
    assert!(ended.out.ends_with(&last), "{}", ended.out);
    let reported = "\
skipped: line 3: phone: must be 11 digits and start with 7
skipped: line 4: arguments: must be an object
error: line 7: not a JSON object, see column 57
error: 1 of 7 lines are not calls
";
    assert_eq!(ended.err, reported);
    assert!(!ended.err.contains(EMAIL) && !ended.out.contains(EMAIL));
    let fed = sandbox.feed(&batch(), &[words.as_slice(), &["-"]].concat()).await;
    assert_eq!((fed.code, &fed.out, &fed.err), (Some(1), &ended.out, &ended.err));
}

#[tokio::test]
async fn compare_prints_json_for_machines() {
    let words = ["card", "compare", "card.toml", "built-in", "--batch", "batch.ndjson", "--json"];
    let ended = sandbox().run(&words).await;
    let report = json_of(&ended);
    assert_eq!(
        (&report["old"]["version"], &report["new"]["version"]),
        (&json!("2026-11-a"), &json!("built-in"))
    );
    assert_eq!(report["old"]["highest"], 230.0);
    for (field, expected) in [
        ("calls", json!(2)),
        ("changed", json!(2)),
        ("up", json!(0)),
        ("down", json!(2)),
        ("mean_change", json!(-108.25)),
        ("largest_up", json!(0.0)),
        ("largest_down", json!(117.0)),
        ("skipped", json!({"other_methods": 1, "admin": 1, "invalid": 2})),
        ("bad_lines", json!(1)),
    ] {
        assert_eq!(report[field], expected, "{field}");
    }
    let bins = report["bins"].as_array().unwrap();
    assert_eq!(bins.len(), 22);
    // Of the range of 130: 99.5 is 77 %, and 117 is 90 %.
    assert_eq!(bins[2], json!({"from": -90, "to": -80, "calls": 1}));
    assert_eq!(bins[3], json!({"from": -80, "to": -70, "calls": 1}));
}

#[tokio::test]
async fn cards_that_give_the_same_scores_have_no_changes() {
    let sandbox = sandbox();
    sandbox.write("good.ndjson", batch().lines().take(2).collect::<Vec<_>>().join("\n"));
    let words = ["card", "compare", "card.toml", "card.toml", "--batch", "good.ndjson"];
    let ended = sandbox.run(&[words.as_slice(), &["--text"]].concat()).await;
    assert!(
        ended.succeeded().contains("calls:     2\nchanged:   0, 0.0 %\nmean:      +0.000\n"),
        "{ended:?}"
    );
    assert!(ended.out.ends_with("bad lines: 0\n") && ended.err.is_empty(), "{ended:?}");
    let ended = sandbox.run(&words).await;
    ended.succeeded();
    let report = json_of(&ended);
    assert_eq!((&report["calls"], &report["changed"]), (&json!(2), &json!(0)));
}

#[tokio::test]
async fn compare_prints_at_most_twenty_bad_lines() {
    let words = ["card", "compare", "built-in", "built-in", "--batch", "-"];
    let ended = Sandbox::new().feed(&"{}\n".repeat(30), &words).await;
    let errors = ended.failed(1);
    assert_eq!(errors.len(), 22);
    assert_eq!(
        errors[19..],
        [
            "line 20: method is missing",
            "and more lines, which are only counted",
            "30 of 30 lines are not calls",
        ]
    );
}

#[tokio::test]
async fn compare_prints_the_faults_of_both_cards() {
    let words = ["card", "compare", "faulty.toml", "nowhere", "--batch", "batch.ndjson"];
    let ended = sandbox().run(&words).await;
    let errors = ended.failed(2);
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors[0].starts_with("faulty.toml:1: ") && errors[3].starts_with("nowhere: "), "{errors:?}");
    let words = ["card", "compare", "built-in", "card.toml", "--batch", "nowhere"];
    let ended = sandbox().run(&words).await;
    assert_eq!(ended.failed(1), ["nowhere: No such file or directory (os error 2)"]);
}

#[tokio::test]
async fn a_call_asks_for_reasons_only_with_explain() {
    let app = TestApp::with_settings(&["store.url=memory:", "scoring.explain=true"]).await;
    let url = format!("http://{}", app.address());
    let words =
        ["call", "--url", &url, "online_score", "--login", "h&f", "--first-name", "a", "--last-name", "b"];
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&words).await;
    assert_eq!(ended.succeeded(), "{\"code\":200,\"response\":{\"score\":0.5}}\n");
    let ended = sandbox.run(&[words.as_slice(), &["--explain"]].concat()).await;
    let reasons = r#"["NO-PHONE","NO-EMAIL","NO-BIRTHDAY-OR-GENDER"]"#;
    let response = format!("{{\"score\":0.5,\"reasons\":{reasons},\"card\":\"built-in\"}}");
    assert_eq!(ended.succeeded(), format!("{{\"code\":200,\"response\":{response}}}\n"));
    let ended = sandbox.run(&[words.as_slice(), &["--explain", "--text"]].concat()).await;
    let text = "score: 0.5\nreasons: NO-PHONE, NO-EMAIL, NO-BIRTHDAY-OR-GENDER\ncard: built-in\n";
    assert_eq!(ended.succeeded(), text);
}
