//! Imports into Redis and exports from it; a double shows faults that Redis cannot show.

use std::{cell::Cell, time::Duration};

use rstest::rstest;
use rustix::process::Signal;
use scoring_api::{
    resolver::Resolver,
    store::{Purpose, PutError, Watch, open_bulk},
};
use serde_json::json;
use testkit::{Fault, RedisServer, RespServer, Rule, eventually};

use super::process::Sandbox;

const WITHIN: Duration = Duration::from_secs(20);

fn at(url: &str) -> [String; 2] {
    ["--set".to_owned(), format!("store.url={url}")]
}

fn lines(clients: usize, interest: &str) -> String {
    (0..clients).map(|id| format!("{}\n", json!({ "id": id, "interests": [interest] }))).collect()
}

async fn import(sandbox: &Sandbox, url: &str, input: &str) -> super::process::Ended {
    let [set, store] = at(url);
    sandbox.feed(input, &["interests", "import", "-", &set, &store]).await
}

#[tokio::test]
async fn thousands_of_clients_go_in_and_come_out_once_each() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::start().await);
    for url in [redis.url(), format!("redis+unix://{}?db=3", redis.socket().display())] {
        let input = lines(3_500, "books");
        let ended = import(&sandbox, &url, &input).await;
        assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "imported 3500 clients\n"));
        let [set, store] = at(&url);
        let mut exported = sandbox.exported(&[&set, &store]).await;
        exported.sort_unstable();
        let mut expected: Vec<_> = input.lines().collect();
        expected.sort_unstable();
        assert_eq!(exported, expected);
    }
    assert_eq!(redis.command::<String>(&["GET", "i:7"]).await, "[\"books\"]");
}

#[tokio::test]
async fn foreign_keys_are_skipped_and_values_of_another_kind_named() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::start().await);
    import(&sandbox, &redis.url(), &lines(3, "books")).await.succeeded();
    redis.command::<()>(&["MSET", "i:x", "[]", "i:01", "[]", "uid:7", "1.5", "i", "x", "j:1", "[]"]).await;
    redis.command::<()>(&["LPUSH", "i:7", "x"]).await;
    redis.command::<()>(&["SET", "i:8", "{}"]).await;
    let [set, store] = at(&redis.url());
    let ended = sandbox.run(&["interests", "export", &set, &store]).await;
    assert_eq!(ended.out.lines().count(), 3, "{ended:?}");
    let mut named = ended.failed(1);
    named.sort_unstable();
    assert_eq!(named[0], "2 stored values are malformed");
    assert_eq!(named[1], "client 7: the stored value is of another kind than a string");
    assert!(named[2].starts_with("client 8: the stored value is not a JSON array"), "{named:?}");

    let ended = sandbox.run(&["interests", "get", "0", "7", "99", &set, &store]).await;
    assert_eq!(ended.failed(1).len(), 2, "{ended:?}");
    assert_eq!(ended.out, "{\"id\":0,\"interests\":[\"books\"]}\n{\"id\":99,\"interests\":[]}\n");
}

#[tokio::test]
async fn a_server_without_enough_memory_takes_no_entry() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::start().await);
    import(&sandbox, &redis.url(), &lines(10, "old")).await.succeeded();
    redis.config_set("maxmemory", "4mb").await;
    let ended = import(&sandbox, &redis.url(), &lines(100_000, "new")).await;
    let url = format!("redis://{}/0", redis.addr());
    let expected = format!("store.url = \"{url}\": nothing was written: writes are refused (OOM)");
    assert_eq!(ended.failed(1), [expected]);
    let keys: usize = redis.command(&["DBSIZE"]).await;
    assert_eq!(keys, 10);
    assert_eq!(redis.command::<String>(&["GET", "i:1"]).await, "[\"old\"]");
}

#[tokio::test]
async fn a_password_is_taken_and_never_shown() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::with(&["--requirepass", "hunter2"]).await);
    let url = |password: &str| format!("redis://:{password}@{}", redis.addr());
    import(&sandbox, &url("hunter2"), &lines(1, "a")).await.succeeded();
    let ended = import(&sandbox, &url("hunter3"), &lines(1, "a")).await;
    assert_eq!(ended.failed(1).len(), 1);
    assert!(ended.err.contains("access refused (WRONGPASS)"), "{ended:?}");
    assert!(!ended.err.contains("hunter"), "{ended:?}");
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_told_as_a_doubt() {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.set(Fault::CutMidReply(0).on(&["EXEC"]));
    let ended = import(&sandbox, &server.url(), &lines(1, "a")).await;
    let lines = ended.failed(1);
    assert!(lines[0].contains("whether it was written is unknown"), "{lines:?}");
    assert!(lines[0].contains("running this again is safe"), "{lines:?}");
}

#[tokio::test]
async fn a_commit_that_is_refused_is_told_as_nothing_written() {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.set(Fault::Error("EXECABORT Transaction discarded because of previous errors.").on(&["EXEC"]));
    let ended = import(&sandbox, &server.url(), &lines(1, "a")).await;
    let lines = ended.failed(1);
    assert!(lines[0].contains("nothing was written: "), "{lines:?}");
}

#[tokio::test]
async fn a_signal_before_the_commit_calls_it_off() {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.set(Fault::Stall.on(&["MSET"]));
    sandbox.write("new.ndjson", lines(1, "a"));
    let [set, store] = at(&server.url());
    let import = sandbox.start(&["interests", "import", "new.ndjson", &set, &store]);
    let asked = |name| server.commands().iter().any(|command| command.name == name);
    eventually(WITHIN, "the import writes", async || asked("MSET")).await;
    import.signal(Signal::TERM);
    assert_eq!(import.ended().await.failed(143), ["ended by SIGTERM; nothing was changed"]);
    assert!(!asked("EXEC"));
}

#[tokio::test]
async fn only_a_second_signal_interrupts_a_commit() {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.set(Fault::Stall.on(&["EXEC"]));
    sandbox.write("new.ndjson", lines(1, "a"));
    let [set, store] = at(&server.url());
    let import = sandbox.start(&["interests", "import", "new.ndjson", &set, &store]);
    eventually(WITHIN, "the import commits", async || {
        server.commands().iter().any(|command| command.name == "EXEC")
    })
    .await;
    import.signal(Signal::TERM);
    // Two of a kind may become one on the way; one of another kind does not.
    import.signal(Signal::INT);
    let ended = import.ended().await;
    assert!(matches!(ended.code, Some(130 | 143)), "{ended:?}");
    assert!(ended.err.contains("in the middle of a commit"), "{ended:?}");
}

/// `SCAN` promises only to come by each key at least once.
#[tokio::test]
async fn a_key_that_the_scan_comes_by_twice_is_exported_once() {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.put("i:1", "[]");
    server.set(Fault::Raw(b"*2\r\n$1\r\n7\r\n*2\r\n$3\r\ni:1\r\n$3\r\ni:1\r\n").on(&["SCAN"]).times(1));
    server.also(Fault::Raw(b"*2\r\n$1\r\n0\r\n*2\r\n$3\r\ni:1\r\n$3\r\ni:2\r\n").on(&["SCAN"]));
    let [set, store] = at(&server.url());
    assert_eq!(sandbox.exported(&[&set, &store]).await, [r#"{"id":1,"interests":[]}"#]);
}

#[tokio::test]
async fn an_import_cancelled_before_the_commit_leaves_the_old_data() {
    struct No;
    impl Watch for No {
        fn written(&self, _: usize) {}
        fn may_commit(&self) -> bool {
            false
        }
    }
    let redis = RedisServer::start().await;
    let url = redis.url().parse().unwrap();
    redis.command::<()>(&["SET", "i:1", "old"]).await;
    let put = tokio::task::spawn_blocking(move || {
        let store = open_bulk(&url, WITHIN, &Resolver::system(), Purpose::Write).unwrap();
        store.put_all(&[("i:1".to_owned(), b"new".to_vec())], &No)
    });
    assert!(matches!(put.await.unwrap(), Err(PutError::CalledOff)));
    assert_eq!(redis.command::<String>(&["GET", "i:1"]).await, "old");
}

/// Every step of an import, answered with something else than it should be.
#[rstest]
#[case::select_busy(Fault::busy(), "SELECT: not serving at the moment (BUSY)")]
#[case::select_answered_otherwise(Fault::Raw(b"+FINE\r\n").on(&["SELECT"]), "SELECT: protocol error")]
#[case::ping_loading(Fault::loading(), "PING: not serving at the moment (LOADING)")]
#[case::multi_refused(Fault::Error("NOPERM no").on(&["MULTI"]), "nothing was written: access refused (NOPERM)")]
#[case::multi_answered_otherwise(Fault::Raw(b"+QUEUED\r\n").on(&["MULTI"]), "nothing was written: protocol error")]
#[case::write_refused(Fault::Error("OOM no").on(&["MSET"]), "nothing was written: writes are refused (OOM)")]
#[case::write_not_queued(Fault::Raw(b"+OK\r\n").on(&["MSET"]), "whether it was written is unknown")]
#[case::commit_of_nothing(Fault::Raw(b"*0\r\n").on(&["EXEC"]), "whether it was written is unknown")]
#[case::commit_of_more(Fault::Raw(b"*2\r\n+OK\r\n+OK\r\n").on(&["EXEC"]), "whether it was written is unknown")]
#[case::commit_with_an_error(Fault::Raw(b"*1\r\n-OOM no\r\n").on(&["EXEC"]), "whether it was written is unknown")]
#[case::commit_answered_with_ok(Fault::Raw(b"+OK\r\n").on(&["EXEC"]), "whether it was written is unknown")]
#[case::commit_answered_with_null(Fault::Raw(b"*-1\r\n").on(&["EXEC"]), "whether it was written is unknown")]
#[tokio::test]
async fn row_46_an_import_fails_after_an_unexpected_answer(#[case] fault: Rule, #[case] cause: &str) {
    let (sandbox, server) = (Sandbox::new(), RespServer::start());
    server.set(fault);
    let url = format!("{}/3", server.url());
    let ended = import(&sandbox, &url, &lines(1, "a")).await;
    let failed = ended.failed(1).concat();
    assert!(failed.contains(cause), "{failed}");
    assert_eq!((server.stored("i:0"), server.stored_in(3, "i:0")), (None, None));

    server.heal();
    import(&sandbox, &url, &lines(1, "a")).await.succeeded();
    assert_eq!((server.stored("i:0"), server.stored_in(3, "i:0").unwrap()), (None, br#"["a"]"#.to_vec()));
}

/// Scripts run all the time, and each import goes into the database that it was meant for, or fails.
#[tokio::test]
async fn row_46_bulk_operations_beside_scripts_keep_their_database() {
    let redis = RedisServer::with(&["--lua-time-limit", "20"]).await;
    let script = "local t = redis.call('TIME'); local e = t[1] * 1000000 + t[2] + 60000; \
                  repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] >= e";
    let url = format!("{}/3", redis.url());
    let sandbox = Sandbox::new();
    let done = Cell::new(false);
    let busy = async {
        while !done.get() {
            redis.command::<Option<String>>(&["EVAL", script, "0"]).await;
        }
    };
    let run = async {
        for client in 0..24 {
            let input = format!("{}\n", json!({ "id": client, "interests": ["books"] }));
            let ended = import(&sandbox, &url, &input).await;
            assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
            let [set, store] = at(&url);
            let ended = sandbox.run(&["interests", "get", &client.to_string(), &set, &store]).await;
            assert!(matches!(ended.code, Some(0 | 1)), "{ended:?}");
        }
        done.set(true);
    };
    tokio::join!(busy, run);
    let keyspace: String = redis.command(&["INFO", "keyspace"]).await;
    assert!(!keyspace.contains("db0:"), "{keyspace}");
}

#[tokio::test]
async fn a_password_file_is_read_for_an_import() {
    let (sandbox, redis) = (Sandbox::new(), RedisServer::with(&["--requirepass", "hunter2"]).await);
    sandbox.write("password", "hunter2\n");
    let [set, store] = at(&redis.url());
    let arguments = ["interests", "import", "-", &set, &store, "--set", "store.password_file=password"];
    sandbox.feed(&lines(1, "a"), &arguments).await.succeeded();
    sandbox.write("password", "hunter3\n");
    let ended = sandbox.feed(&lines(1, "a"), &arguments).await;
    assert!(ended.failed(1).concat().contains("AUTH: access refused (WRONGPASS)"), "{ended:?}");
}
