//! Interests into Redis and out of it; what Redis cannot be made to do, a double does.

use std::time::Duration;

use rustix::process::Signal;
use scoring_api::{
    resolver::Resolver,
    store::{Purpose, PutError, Watch, open_bulk},
};
use serde_json::json;

use super::process::Sandbox;
use crate::tools::{Fault, RedisServer, RespServer, eventually};

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
async fn keys_of_others_are_left_out_and_values_of_another_kind_are_named() {
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
async fn a_server_without_room_for_all_of_it_takes_none_of_it() {
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

fn in_transactions() -> RespServer {
    let server = RespServer::start();
    server.set(Fault::Raw(b"+OK\r\n").on(&["MULTI"]));
    server.also(Fault::Raw(b"+QUEUED\r\n").on(&["MSET"]));
    server
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_told_as_a_doubt() {
    let (sandbox, server) = (Sandbox::new(), in_transactions());
    server.also(Fault::CutMidReply(0).on(&["EXEC"]));
    let ended = import(&sandbox, &server.url(), &lines(1, "a")).await;
    let lines = ended.failed(1);
    assert!(lines[0].contains("whether it was written is unknown"), "{lines:?}");
    assert!(lines[0].contains("running this again is safe"), "{lines:?}");
}

#[tokio::test]
async fn a_commit_that_is_refused_is_told_as_nothing_written() {
    let (sandbox, server) = (Sandbox::new(), in_transactions());
    server.also(Fault::Error("EXECABORT Transaction discarded because of previous errors.").on(&["EXEC"]));
    let ended = import(&sandbox, &server.url(), &lines(1, "a")).await;
    let lines = ended.failed(1);
    assert!(lines[0].contains("nothing was written: "), "{lines:?}");
}

#[tokio::test]
async fn a_signal_before_the_commit_calls_it_off() {
    let (sandbox, server) = (Sandbox::new(), in_transactions());
    server.set(Fault::Raw(b"+OK\r\n").on(&["MULTI"]));
    server.also(Fault::Stall.on(&["MSET"]));
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
async fn a_signal_in_the_commit_waits_for_its_outcome_and_a_second_one_does_not() {
    let (sandbox, server) = (Sandbox::new(), in_transactions());
    server.also(Fault::Stall.on(&["EXEC"]));
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
async fn what_is_called_off_at_the_last_moment_leaves_the_old_data() {
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
