//! Imports into Tarantool and exports from it.

use std::{cell::Cell, collections::BTreeSet, sync::Arc, time::Duration};

use scoring_api::{
    resolver::Resolver,
    store::{
        Bulk, Connection, Connector, Purpose, PutError, TarantoolConnector, Watch, open_bulk, url::StoreUrl,
    },
};
use serde_json::json;
use testkit::{TarantoolServer, eventually};
use tokio::task::{JoinHandle, spawn_blocking};

use super::process::{Ended, Sandbox};

const WITHIN: Duration = Duration::from_secs(20);

fn lines(clients: usize, interest: &str) -> String {
    (0..clients).map(|id| format!("{}\n", json!({ "id": id, "interests": [interest] }))).collect()
}

fn entries(clients: usize, value: &str) -> Vec<(String, Vec<u8>)> {
    (0..clients).map(|id| (format!("i:{id}"), value.as_bytes().to_vec())).collect()
}

async fn import(sandbox: &Sandbox, url: &str, input: &str) -> Ended {
    sandbox.feed(input, &["interests", "import", "-", "--set", &format!("store.url={url}")]).await
}

fn open(url: &str) -> Box<dyn Bulk> {
    let url: StoreUrl = url.parse().unwrap();
    open_bulk(&url, WITHIN, &Resolver::system(), Purpose::Write).unwrap_or_else(|error| panic!("{error}"))
}

/// Imports on a thread of its own.
fn put(server: &TarantoolServer, entries: Vec<(String, Vec<u8>)>) -> JoinHandle<Result<(), PutError>> {
    let url = server.import_url();
    spawn_blocking(move || open(&url).put_all(&entries, &|| {}))
}

async fn reader(server: &TarantoolServer) -> Arc<dyn Connection> {
    let StoreUrl::Tarantool(target) = server.url().parse().unwrap() else { unreachable!() };
    TarantoolConnector::new(target, WITHIN, Resolver::system()).connect().await.unwrap()
}

async fn is_moved(server: &TarantoolServer) -> bool {
    server.lua("return box.space.scoring_live:len() + box.space.scoring_staged:len()").await.contains("- 0")
}

#[tokio::test]
async fn thousands_of_clients_go_in_and_come_out_once_each() {
    let (sandbox, server) = (Sandbox::new(), TarantoolServer::start().await);
    let input = lines(3_500, "books");
    let ended = import(&sandbox, &server.import_url(), &input).await;
    assert_eq!((ended.succeeded(), ended.err.as_str()), ("", "imported 3500 clients\n"));
    let set = format!("store.url={}", server.import_url());
    let mut expected: Vec<_> = input.lines().collect();
    expected.sort_unstable();
    // While the entries are moved, and after that.
    for _ in 0..2 {
        let mut exported = sandbox.exported(&["--set", &set]).await;
        exported.sort_unstable();
        assert_eq!(exported, expected);
        eventually(WITHIN, "all is moved", async || is_moved(&server).await).await;
    }
    let ended = sandbox.run(&["interests", "get", "7", "9999", "--set", &set]).await;
    assert_eq!(ended.succeeded(), "{\"id\":7,\"interests\":[\"books\"]}\n{\"id\":9999,\"interests\":[]}\n");
}

#[tokio::test]
async fn an_import_is_seen_at_once_or_not_at_all() {
    const CLIENTS: usize = 20_000;
    let server = TarantoolServer::start().await;
    put(&server, entries(CLIENTS, "old")).await.unwrap().unwrap();
    let connection = reader(&server).await;
    let keys: Arc<[String]> = (0..100).map(|part| format!("i:{}", part * CLIENTS / 100)).collect();
    let importing = put(&server, entries(CLIENTS, "new"));
    let mut seen = BTreeSet::new();
    let mut reads = 0;
    loop {
        let is_over = importing.is_finished() && is_moved(&server).await;
        let values: BTreeSet<_> = connection.get_many(keys.clone()).await.unwrap().into_iter().collect();
        assert_eq!(values.len(), 1, "half of an import: {values:?}");
        assert!(!(seen.len() == 2 && values.contains(&Some(b"old".to_vec()))), "the old values again");
        seen.extend(values);
        reads += 1;
        if is_over {
            break;
        }
    }
    importing.await.unwrap().unwrap();
    assert_eq!(seen, [b"new", b"old"].map(|value| Some(value.to_vec())).into());
    assert!(reads > 3, "{reads} reads");
}

#[tokio::test]
async fn a_server_killed_while_it_moves_an_import_goes_on_after_that() {
    const CLIENTS: usize = 30_000;
    let server = TarantoolServer::start().await;
    put(&server, entries(CLIENTS, "old")).await.unwrap().unwrap();
    put(&server, entries(CLIENTS, "new")).await.unwrap().unwrap();
    assert!(!is_moved(&server).await, "nothing is left to move");
    server.kill9();
    server.restart().await;
    let keys: Vec<_> = entries(CLIENTS, "").into_iter().map(|(key, _)| key).collect();
    let url = server.import_url();
    let found = spawn_blocking(move || open(&url).get_many(&keys).unwrap()).await.unwrap();
    assert!(found.iter().all(|stored| *stored == scoring_api::store::Stored::Value(b"new".to_vec())));
    eventually(WITHIN, "all is moved", async || is_moved(&server).await).await;
    let ends = server.lua("return unpack(scoring.get_many({'i:0', 'i:29999'}))").await;
    assert_eq!(ends.trim(), "---\n- new\n- new\n...");
}

#[tokio::test]
async fn the_newest_of_two_imports_counts_while_both_are_moved() {
    let server = TarantoolServer::start().await;
    put(&server, entries(10_000, "first")).await.unwrap().unwrap();
    put(&server, entries(5_000, "second")).await.unwrap().unwrap();
    let connection = reader(&server).await;
    let keys: Arc<[String]> = Arc::new(["i:1".to_owned(), "i:4999".to_owned(), "i:5000".to_owned()]);
    let expected = ["second", "second", "first"].map(|value| Some(value.as_bytes().to_vec()));
    loop {
        let is_over = is_moved(&server).await;
        assert_eq!(connection.get_many(keys.clone()).await.unwrap(), expected);
        if is_over {
            break;
        }
    }
}

#[tokio::test]
async fn a_cancelled_import_changes_nothing_and_is_forgotten() {
    struct No(Cell<usize>);
    impl Watch for No {
        fn written(&self, entries: usize) {
            self.0.set(self.0.get() + entries);
        }
        fn may_commit(&self) -> bool {
            false
        }
    }
    let server = TarantoolServer::start().await;
    put(&server, entries(300, "old")).await.unwrap().unwrap();
    let url = server.import_url();
    let put = spawn_blocking(move || {
        let watch = No(Cell::default());
        (open(&url).put_all(&entries(1_000, "new"), &watch).unwrap_err(), watch.0.get())
    });
    let (error, written) = put.await.unwrap();
    assert!(matches!(error, PutError::CalledOff), "{error}");
    assert_eq!(written, 1_000);
    assert!(server.lua("return scoring.get_many({'i:1'})").await.contains("old"));
    eventually(WITHIN, "it is forgotten", async || is_moved(&server).await).await;
}

/// The client died before the commit, and the server was started again.
#[tokio::test]
async fn an_import_without_its_client_is_forgotten() {
    let server = TarantoolServer::start().await;
    server.lua("scoring.import_stage('of-a-dead-client', {{'i:1', 'new'}, {'i:2', 'new'}})").await;
    assert!(server.lua("return #scoring.page('i:', '', 10)").await.contains("- 0"));
    server.restart().await;
    eventually(WITHIN, "it is forgotten", async || is_moved(&server).await).await;
    let commit = server.lua("return pcall(scoring.import_commit, 'of-a-dead-client', 2)").await;
    assert!(commit.contains("- false"), "{commit}");
}

#[tokio::test]
async fn an_import_of_which_a_row_is_missing_is_not_committed() {
    let server = TarantoolServer::start().await;
    server.lua("scoring.import_stage('one', {{'i:1', 'new'}, {'i:2', 'new'}})").await;
    server.lua("box.space.scoring_staged:delete({'one', 'i:2'})").await;
    let commit = server.lua("return pcall(scoring.import_commit, 'one', 2)").await;
    assert!(commit.contains("- false"), "{commit}");
    assert!(server.lua("return scoring.get_many({'i:1'})[1]").await.contains("null"));
}

/// A fiber forgets the rows of imports that it does not know; here it always has some.
#[tokio::test]
async fn an_import_loses_no_row_while_others_are_forgotten() {
    let server = TarantoolServer::start_synced().await;
    let race = "local fiber, over, damaged, count = require('fiber'), false, 0, 0; \
        local function rows(n, key) local t = {} for i = 1, n do t[i] = {key .. i, 'v'} end return t end; \
        fiber.create(function() local i = 0; while not over do i = i + 1; local id = 'junk' .. i; \
            pcall(scoring.import_stage, id, rows(200, 'x')); scoring.import_cancel(id); fiber.sleep(0) end end); \
        local begun = fiber.time(); \
        while fiber.time() - begun < 1.5 do count = count + 1; local id = 'a' .. count; \
            scoring.import_stage(id, rows(250, 'i:')); \
            if not pcall(scoring.import_commit, id, 250) then damaged = damaged + 1 end end; \
        over = true; return damaged, count > 0";
    assert_eq!(server.lua(race).await.trim(), "---\n- 0\n- true\n...");
}

/// A chunk whose answer the client has given up, and which it has cancelled meanwhile, while the log is slow.
#[tokio::test]
async fn a_cancelled_chunk_does_not_come_back() {
    let server = TarantoolServer::start().await;
    let race = "local f = require('fiber').new(function() pcall(scoring.import_stage, 'one', {{'i:1', 'new'}}) end); \
                f:set_joinable(true); require('fiber').yield(); scoring.import_cancel('one'); f:join(); \
                return pcall(scoring.import_commit, 'one', 1)";
    assert!(server.lua(race).await.contains("- false"));
    eventually(WITHIN, "it is forgotten", async || is_moved(&server).await).await;
}

#[tokio::test]
async fn the_service_itself_may_not_import_and_no_password_is_shown() {
    let (sandbox, server) = (Sandbox::new(), TarantoolServer::start().await);
    let ended = import(&sandbox, &server.url(), &lines(1, "a")).await;
    assert!(ended.failed(1)[0].ends_with("nothing was written: access refused (42)"), "{ended:?}");
    let wrong = format!("tarantool://scoring_import:hunter2@{}", server.addr());
    let ended = import(&sandbox, &wrong, &lines(1, "a")).await;
    assert!(ended.failed(1)[0].contains("AUTH: access refused (47)"), "{ended:?}");
    assert!(!ended.err.contains("hunter"), "{ended:?}");
    // Neither may do anything else.
    let rights = "local c = require('net.box').connect(box.cfg.listen, {user = 'scoring', password = 'of-the-service'}) \
                  return pcall(c.eval, c, 'return 1'), pcall(c.call, c, 'scoring.page', {'', '', 1}), \
                  (pcall(function() return c.space.scoring_interests:select() end))";
    assert_eq!(server.lua(rights).await.matches("false").count(), 3);
}

#[tokio::test]
async fn a_server_without_enough_memory_takes_no_entry_and_forgets_those_that_it_has() {
    let server = TarantoolServer::start().await;
    put(&server, entries(10, "old")).await.unwrap().unwrap();
    // 256 MiB are 320 values of 0.8 MB.
    let large = "x".repeat(800_000);
    let url = server.import_url();
    let put = spawn_blocking(move || open(&url).put_all(&entries(400, &large), &|| {}));
    let error = put.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "nothing was written: writes are refused (2)");
    assert!(server.lua("return unpack(scoring.get_many({'i:1', 'i:11'}))").await.contains("- old\n- null"));
    eventually(WITHIN, "it is forgotten", async || is_moved(&server).await).await;
}

#[tokio::test]
async fn a_read_only_server_takes_no_import() {
    let (sandbox, server) = (Sandbox::new(), TarantoolServer::start().await);
    server.lua("box.cfg{read_only = true}").await;
    let ended = import(&sandbox, &server.import_url(), &lines(1, "a")).await;
    assert!(ended.failed(1)[0].ends_with("nothing was written: the server is read-only"), "{ended:?}");
}

#[tokio::test]
async fn values_that_are_too_large_together_are_read_in_parts() {
    let server = TarantoolServer::start().await;
    server
        .lua("for i = 1, 80 do box.space.scoring_interests:replace{'i:' .. i, string.rep('x', 1000 * 1000)} end")
        .await;
    let url = server.import_url();
    let found = spawn_blocking(move || {
        let keys: Vec<_> = (1..=80).map(|id| format!("i:{id}")).collect();
        let mut exported = 0;
        let store = open(&url);
        store
            .for_each("i:", &mut |_, _| {
                exported += 1;
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        (store.get_many(&keys).unwrap().len(), exported)
    });
    assert_eq!(found.await.unwrap(), (80, 80));
}
