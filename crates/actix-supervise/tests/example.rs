//! The example does as its description says.

use std::{env, process::Command};

#[test]
fn the_counter_answers_again_after_each_panic() {
    // `cargo test` builds it, beside the tests.
    let mut program = env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/supervised_counter");
    assert!(program.exists(), "build it first: cargo build -p actix-supervise --examples");
    let output = Command::new(program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    let expected = [
        "message 1: Ok(1)",
        "message 2: Ok(2)",
        "message 3: Err(Lost)",
        "message 4: Ok(4)",
        "message 5: Ok(5)",
        "message 6: Err(Lost)",
        "message 7: Ok(7)",
    ];
    assert_eq!(lines[..7], expected);
    let summary = r#"counter: 2 restarts, the last by Some("a third message") in Some(""#;
    assert!(lines[7].starts_with(summary) && lines[7].contains("supervised_counter.rs:"), "{lines:?}");
}
