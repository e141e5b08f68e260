//! `interests delete`, and `interests import --replace`, on every store that lasts.

use std::{fs, sync::Arc, time::Duration};

use rstest::rstest;
use serde_json::{Value, json};
use testkit::{ClusterGroup, RedisServer, TarantoolServer, TestApp, eventually};
use tokio::task::yield_now;

use super::process::{Ended, Sandbox};

/// A text that would be found in a file.
const ERASED: &str = "an interest that must not be found any more";

/// A store, and its URLs: for imports, and for the service.
struct Store {
    _servers: Box<dyn std::any::Any>,
    import_url: String,
    url: String,
    is_cluster: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Embedded,
    Redis,
    Cluster,
    Tarantool,
}

impl Store {
    async fn start(kind: Kind, sandbox: &Sandbox) -> Self {
        let one = |servers: Box<dyn std::any::Any>, url: String| Self {
            _servers: servers,
            import_url: url.clone(),
            url,
            is_cluster: false,
        };
        match kind {
            Kind::Embedded => one(Box::new(()), format!("embedded:{}", sandbox.path("s.redb").display())),
            Kind::Redis => {
                let redis = RedisServer::start().await;
                let url = redis.url();
                one(Box::new(redis), url)
            }
            Kind::Cluster => {
                let group = ClusterGroup::with(3, &[]).await;
                let url = group.url();
                Self { is_cluster: true, ..one(Box::new(group), url) }
            }
            Kind::Tarantool => {
                let server = TarantoolServer::start().await;
                let (url, import_url) = (server.url(), server.import_url());
                Self { import_url, ..one(Box::new(server), url) }
            }
        }
    }

    async fn interests(&self, sandbox: &Sandbox, input: &str, words: &[&str]) -> Ended {
        let set = format!("store.url={}", self.import_url);
        let piecewise: &[&str] = if self.is_cluster && words[0] != "export" { &["--piecewise"] } else { &[] };
        let words = [&["interests"], words, piecewise, &["--set", &set]].concat();
        sandbox.feed(input, &words).await
    }

    async fn import(&self, sandbox: &Sandbox, clients: &[(i64, &str)], words: &[&str]) -> Ended {
        let line =
            |(id, interest): &(i64, &str)| format!("{}\n", json!({ "id": id, "interests": [interest] }));
        let lines: String = clients.iter().map(line).collect();
        self.interests(sandbox, &lines, &[&["import", "-"], words].concat()).await
    }

    /// The stored clients, with the first interest of each.
    async fn stored(&self, sandbox: &Sandbox) -> Vec<(i64, String)> {
        let exported = self.interests(sandbox, "", &["export"]).await;
        let client = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            (line["id"].as_i64().unwrap(), line["interests"][0].as_str().unwrap().to_owned())
        };
        let mut clients: Vec<_> = exported.succeeded().lines().map(client).collect();
        clients.sort();
        clients
    }
}

fn owned(clients: &[(i64, &str)]) -> Vec<(i64, String)> {
    clients.iter().map(|(id, interest)| (*id, (*interest).to_owned())).collect()
}

#[rstest]
#[tokio::test]
async fn deleted_clients_are_gone_and_the_others_stay(
    #[values(Kind::Embedded, Kind::Redis, Kind::Cluster, Kind::Tarantool)] kind: Kind,
) {
    let sandbox = Sandbox::new();
    let store = Store::start(kind, &sandbox).await;
    store.import(&sandbox, &[(1, "a"), (-2, ERASED), (3, "c"), (4, "d")], &[]).await.succeeded();
    let ended = store.interests(&sandbox, "", &["delete", "-2", "3", "3", "99"]).await;
    assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "deleted 2 clients, 1 were not stored\n"));
    assert_eq!(ended.acts.len(), 1, "{ended:?}");
    assert_eq!(
        (&ended.acts[0]["message"], &ended.acts[0]["deleted"]),
        (&"interests deleted".into(), &2.into())
    );
    assert!(ended.acts.iter().all(|act| !act.to_string().contains(ERASED)), "{ended:?}");
    assert_eq!(store.stored(&sandbox).await, owned(&[(1, "a"), (4, "d")]));
    let ended = store.interests(&sandbox, "4\n\n-2\n", &["delete", "--file", "-"]).await;
    assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "deleted 1 client, 1 were not stored\n"));
    assert_eq!(store.stored(&sandbox).await, owned(&[(1, "a")]));
    // It can be stored again.
    store.import(&sandbox, &[(3, "again")], &[]).await.succeeded();
    assert_eq!(store.stored(&sandbox).await, owned(&[(1, "a"), (3, "again")]));
}

#[rstest]
#[tokio::test]
async fn a_replaced_store_has_exactly_the_clients_of_the_file(
    #[values(Kind::Embedded, Kind::Redis, Kind::Cluster, Kind::Tarantool)] kind: Kind,
) {
    let sandbox = Sandbox::new();
    let store = Store::start(kind, &sandbox).await;
    store.import(&sandbox, &[(1, "a"), (2, "b"), (3, "c"), (4, "d")], &[]).await.succeeded();
    let ended = store.import(&sandbox, &[(1, "new"), (3, "c"), (5, "e")], &["--replace"]).await;
    assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "imported 3 clients, deleted 2\n"));
    let act = &ended.acts[0];
    assert_eq!(
        [&act["message"], &act["written"], &act["deleted"]],
        [&json!("interests replaced"), &json!(3), &json!(2)]
    );
    let now = owned(&[(1, "new"), (3, "c"), (5, "e")]);
    assert_eq!(store.stored(&sandbox).await, now);

    // A file that was cut off.
    let ended = store.import(&sandbox, &[(1, "cut off")], &["--replace"]).await;
    let refused = "error: this would delete 2 of 3 stored clients, and is refused in case the file is not whole; say --yes if it is right\n";
    assert_eq!((ended.code, ended.err.as_str()), (Some(2), refused));
    assert_eq!(store.stored(&sandbox).await, now);
    let ended = store.import(&sandbox, &[(1, "on purpose")], &["--replace", "--yes"]).await;
    assert_eq!(ended.succeeded(), "");
    assert_eq!(store.stored(&sandbox).await, owned(&[(1, "on purpose")]));
}

/// Pages of deleted keys, while they are not moved yet.
#[tokio::test]
async fn thousands_of_deleted_clients_do_not_end_an_export_early() {
    let sandbox = Sandbox::new();
    let store = Store::start(Kind::Tarantool, &sandbox).await;
    let all: Vec<_> = (0..5_000).map(|id| (id, "a")).collect();
    store.import(&sandbox, &all, &[]).await.succeeded();
    let last = [(4_999, "the last one")];
    store.import(&sandbox, &last, &["--replace", "--yes"]).await.succeeded();
    assert_eq!(store.stored(&sandbox).await, owned(&last));
}

#[tokio::test]
async fn erased_interests_are_not_in_the_raw_file() {
    let sandbox = Sandbox::new();
    let store = Store::start(Kind::Embedded, &sandbox).await;
    let others: Vec<_> = (10..2_000).map(|id| (id, "an interest of somebody else")).collect();
    store.import(&sandbox, &[&[(1, ERASED)][..], &others].concat(), &[]).await.succeeded();
    let has_it = || {
        let raw = fs::read(sandbox.path("s.redb")).unwrap();
        raw.windows(ERASED.len()).any(|part| part == ERASED.as_bytes())
    };
    assert!(has_it());
    store.interests(&sandbox, "", &["delete", "1"]).await.succeeded();
    assert!(!has_it(), "it is still in the file");
    assert_eq!(store.stored(&sandbox).await.len(), others.len());
}

#[tokio::test]
async fn a_bad_line_deletes_nothing() {
    let sandbox = Sandbox::new();
    let store = Store::start(Kind::Embedded, &sandbox).await;
    store.import(&sandbox, &[(1, "a"), (2, "b")], &[]).await.succeeded();
    let ended = store.interests(&sandbox, "1\nx\n", &["delete", "--file", "-"]).await;
    let expected =
        ["line 2: id must be an integer of at most 64 bits", "nothing was deleted, because of 1 bad line"];
    assert_eq!(ended.failed(1), expected);
    assert_eq!(store.stored(&sandbox).await.len(), 2);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_made_by_a_deletion() {
    let sandbox = Sandbox::new();
    let store = Store::start(Kind::Embedded, &sandbox).await;
    let ended = store.interests(&sandbox, "", &["delete", "1"]).await;
    assert!(ended.failed(1)[0].ends_with("there is no such file"), "{ended:?}");
    assert!(!sandbox.path("s.redb").exists());
}

#[tokio::test]
async fn a_cluster_is_changed_only_piecewise() {
    let sandbox = Sandbox::new();
    let words = ["interests", "delete", "1", "--set", "store.url=redis+cluster://127.0.0.1:1"];
    let ended = sandbox.run(&words).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.err.contains("say --piecewise"), "{ended:?}");
}

/// The clients of a service see the old interests of both clients, or the new ones.
#[rstest]
#[tokio::test]
async fn a_reader_sees_all_of_a_replacement_or_none(
    #[values(Kind::Embedded, Kind::Redis, Kind::Tarantool)] kind: Kind,
) {
    let sandbox = Sandbox::new();
    let store = Store::start(kind, &sandbox).await;
    let generation = |name: &'static str| -> Vec<(i64, &str)> { (1..500).map(|id| (id, name)).collect() };
    store.import(&sandbox, &generation("old"), &[]).await.succeeded();
    let app = Arc::new(TestApp::on(&store.url).await);
    eventually(Duration::from_secs(10), "ready", async || app.readiness().await == "ready").await;
    let reader = tokio::spawn({
        let app = app.clone();
        async move {
            let mut seen = Vec::new();
            while seen.last() != Some(&"new".to_owned()) {
                // The last one is deleted.
                let reply = app.interests(&[1, 250, 499]).await;
                if reply.status == 503 {
                    continue;
                }
                let interests = |id: &str| reply.response()[id][0].as_str().unwrap_or("none").to_owned();
                let now = interests("1");
                assert_eq!(interests("250"), now);
                assert_eq!(interests("499"), if now == "new" { "none" } else { "old" });
                seen.push(now);
                yield_now().await;
            }
            seen
        }
    });
    let new: Vec<_> = generation("new").into_iter().filter(|(id, _)| *id < 499).collect();
    store.import(&sandbox, &new, &["--replace"]).await.succeeded();
    let seen = tokio::time::timeout(Duration::from_secs(20), reader)
        .await
        .expect("the new ones are not seen")
        .unwrap();
    assert_eq!(seen.iter().filter(|name| *name == "new").count(), 1);
    assert!(seen.len() > 1, "nothing was seen before");
}
