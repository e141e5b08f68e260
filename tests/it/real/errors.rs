//! The error replies of a real server, and their classification.
//!
//! Not to be provoked here: protected mode, which loopback clients never meet. `cluster` has the redirections. `make test-servers`
//! runs all on Redis 6.2 and Valkey as well.

use std::{sync::Arc, time::Duration};

use rstest::rstest;
use scoring_api::{
    resolver::Resolver,
    store::{
        BackendError, Connection, Connector, RedisConnector,
        Remedy::{self, *},
        url::StoreUrl,
    },
};
use testkit::{RedisServer, ReservedPort, eventually};

const SECOND: Duration = Duration::from_secs(1);
const PROVOKED_WITHIN: Duration = Duration::from_secs(20);

/// How a server comes to answer with an error.
enum Ill {
    Always(&'static [&'static str]),
    After(&'static [&'static [&'static str]]),
}

/// The question that is then asked.
#[derive(Clone, Copy)]
enum Ask {
    Connect,
    Get,
    GetTwo,
    Set,
}

async fn connect(url: &str) -> Result<Arc<dyn Connection>, BackendError> {
    let StoreUrl::Redis(target) = url.parse().unwrap() else { panic!("{url}") };
    RedisConnector::new(target, 5 * SECOND, Resolver::system()).connect().await
}

async fn ask(url: &str, what: Ask) -> Result<(), BackendError> {
    ask_over(&*connect(url).await?, what).await
}

async fn ask_over(connection: &dyn Connection, what: Ask) -> Result<(), BackendError> {
    match what {
        Ask::Connect => Ok(()),
        Ask::Get => connection.get("uid:1".to_owned()).await.map(drop),
        Ask::GetTwo => connection.get_many(Arc::from(["i:1", "i:2"].map(str::to_owned))).await.map(drop),
        Ask::Set => connection.set("uid:2".to_owned(), b"1".to_vec(), SECOND).await,
    }
}

/// The error and its remedy, once it has come.
async fn sorted(url: &str, what: Ask) -> (String, Remedy) {
    let mut found = None;
    eventually(PROVOKED_WITHIN, "an error is provoked", async || {
        found = ask(url, what).await.err();
        found.is_some()
    })
    .await;
    let error = found.unwrap();
    let text = error.to_string();
    // Of one that could not be made, the text begins with the address.
    let at = url.rsplit(['@', '/']).find(|part| part.contains(':')).unwrap();
    (text.strip_prefix(&format!("{at}: ")).unwrap_or(&text).to_owned(), error.remedy())
}

/// The same over a connection that was made before.
async fn sorted_over(connection: &dyn Connection, what: Ask) -> (String, Remedy) {
    let mut found = None;
    eventually(PROVOKED_WITHIN, "an error is provoked", async || {
        found = ask_over(connection, what).await.err();
        found.is_some()
    })
    .await;
    let error = found.unwrap();
    (error.to_string(), error.remedy())
}

#[rstest]
#[case::noauth(
    Ill::Always(&["--requirepass", "secret"]), "", Ask::Connect, "PING: access refused (NOAUTH)", Wait
)]
#[case::wrongpass(
    Ill::Always(&["--requirepass", "secret"]), ":wrong@", Ask::Connect, "AUTH: access refused (WRONGPASS)", Wait
)]
#[case::noperm(
    Ill::After(&[&["ACL", "SETUSER", "reader", "on", ">pass", "~i:*", "+ping", "+mget", "+exists"]]),
    "reader:pass@", Ask::Get, "access refused (NOPERM)", Wait
)]
#[case::password_where_none_is_set(
    Ill::Always(&[]), ":pass@", Ask::Connect, "AUTH: the server answered with an error (ERR)", Configuration
)]
#[case::a_database_that_is_not_there(
    Ill::After(&[&["SET", "uid:1", "1"]]), "99", Ask::Connect, "SELECT: the server answered with an error (ERR)", Configuration
)]
#[case::unknown_command(
    Ill::Always(&["--rename-command", "MGET", ""]),
    "", Ask::GetTwo, "the server answered with an error (ERR)", Configuration
)]
#[case::wrong_type(
    Ill::After(&[&["LPUSH", "uid:1", "1"]]), "", Ask::Get, "the key holds another kind of value", BadValue
)]
#[case::oom(
    Ill::Always(&["--maxmemory", "1"]), "", Ask::Set, "writes are refused (OOM)", DropWrite
)]
#[case::noreplicas(
    Ill::Always(&["--min-replicas-to-write", "1"]), "", Ask::Set, "writes are refused (NOREPLICAS)", DropWrite
)]
#[case::clusterdown(
    Ill::Always(&["--cluster-enabled", "yes"]),
    "", Ask::Get, "not serving at the moment (CLUSTERDOWN)", Retry
)]
#[tokio::test]
async fn an_error_of_a_real_server_is_sorted(
    #[case] ill: Ill,
    #[case] suffix: &str,
    #[case] what: Ask,
    #[case] text: &str,
    #[case] remedy: Remedy,
) {
    let redis = match ill {
        Ill::Always(options) => RedisServer::with(options).await,
        Ill::After(commands) => {
            let redis = RedisServer::start().await;
            for command in commands {
                redis.command::<redis::Value>(command).await;
            }
            redis
        }
    };
    let url = match suffix {
        "99" => format!("{}/99", redis.url()),
        login => format!("redis://{login}{}", redis.addr()),
    };
    assert_eq!(sorted(&url, what).await, (text.to_owned(), remedy));
}

/// Its primary is dead: it refuses writes, and reads as well if it may not serve stale data.
#[tokio::test]
async fn readonly_and_masterdown_of_a_replica_without_a_primary() {
    let redis = RedisServer::start().await;
    let nobody = ReservedPort::new();
    redis.command::<()>(&["REPLICAOF", "127.0.0.1", &nobody.addr().port().to_string()]).await;
    let sorted_set = sorted(&redis.url(), Ask::Set).await;
    assert_eq!(sorted_set, ("the server is read-only".to_owned(), Reresolve));
    assert!(ask(&redis.url(), Ask::Get).await.is_ok());

    let connection = connect(&redis.url()).await.unwrap();
    redis.config_set("replica-serve-stale-data", "no").await;
    let sorted_get = sorted_over(&*connection, Ask::Get).await;
    assert_eq!(sorted_get, ("not serving at the moment (MASTERDOWN)".to_owned(), Retry));
    // Older servers answer `PING` all the same, and refuse the reads.
    if RedisServer::is_before_7() {
        assert!(connect(&redis.url()).await.is_ok());
        return;
    }
    let sorted_connect = sorted(&redis.url(), Ask::Connect).await;
    assert_eq!(sorted_connect, ("PING: not serving at the moment (MASTERDOWN)".to_owned(), Reconnect));
}

/// A directory where the snapshot should be makes saving fail. Such a server refuses even a `PING`, and serves reads.
#[tokio::test]
async fn misconf_of_a_server_that_cannot_save() {
    let redis = RedisServer::start().await;
    let dir: Vec<String> = redis.command(&["CONFIG", "GET", "dir"]).await;
    std::fs::create_dir(format!("{}/dump.rdb", dir[1])).unwrap();
    redis.config_set("save", "3600 1").await;
    redis.command::<redis::Value>(&["BGSAVE"]).await;
    let misconf = sorted(&redis.url(), Ask::Set).await;
    assert_eq!(misconf, ("writes are refused (MISCONF)".to_owned(), DropWrite));
    assert!(ask(&redis.url(), Ask::GetTwo).await.is_ok());
}

#[tokio::test]
async fn busy_of_a_server_that_runs_a_script() {
    let redis = RedisServer::with(&["--lua-time-limit", "10"]).await;
    let script = "local t = redis.call('TIME'); local e = t[1] + 3; repeat t = redis.call('TIME') until tonumber(t[1]) >= e";
    let eval = ["EVAL", script, "0"];
    let connection = connect(&redis.url()).await.unwrap();
    let (_, busy) = tokio::join!(redis.command::<Option<String>>(&eval), sorted_over(&*connection, Ask::Get));
    assert_eq!(busy, ("not serving at the moment (BUSY)".to_owned(), Retry));
}

#[tokio::test]
async fn loading_of_a_server_that_reads_its_data() {
    // Older servers cannot be told to answer while they load little data.
    if RedisServer::is_before_7() {
        return;
    }
    let redis = RedisServer::with(&["--enable-debug-command", "yes"]).await;
    redis.command::<()>(&["DEBUG", "POPULATE", "1000"]).await;
    for (key, value) in [("key-load-delay", "1000"), ("loading-process-events-interval-bytes", "1024")] {
        redis.config_set(key, value).await;
    }
    let reload = ["DEBUG", "RELOAD"];
    let connection = connect(&redis.url()).await.unwrap();
    let (_, loading) =
        tokio::join!(redis.command::<redis::Value>(&reload), sorted_over(&*connection, Ask::Get));
    assert_eq!(loading, ("not serving at the moment (LOADING)".to_owned(), Retry));
}

/// The server reports it and disconnects before it reads anything, so the client may see either first.
#[tokio::test]
async fn a_server_that_has_too_many_clients() {
    let redis = RedisServer::start().await;
    redis.config_set("maxclients", "1").await;
    // The connection that sent the command may still count.
    let mut held = None;
    eventually(PROVOKED_WITHIN, "the only client is connected", async || {
        held = connect(&redis.url()).await.ok();
        held.is_some()
    })
    .await;
    let (_, remedy) = sorted(&redis.url(), Ask::Connect).await;
    assert_eq!(remedy, Reconnect);
    drop(held);
}

/// A cluster that is asked for as if it were one server.
#[tokio::test]
async fn crossslot_of_a_cluster() {
    let redis = RedisServer::with(&["--cluster-enabled", "yes"]).await;
    redis.owns_all_slots().await;
    let crossslot = sorted(&redis.url(), Ask::GetTwo).await;
    assert_eq!(
        crossslot,
        ("the keys belong to several slots of a cluster; use redis+cluster://".to_owned(), BadValue)
    );
}

/// Then its look-ups are sent one by one again, as they were before they were gathered.
#[tokio::test]
async fn crossslot_ends_the_gathering_of_lookups() {
    let redis = RedisServer::with(&["--cluster-enabled", "yes"]).await;
    redis.owns_all_slots().await;
    let connection = connect(&redis.url()).await.unwrap();
    assert!(connection.gathers());
    let keys = ["uid:1", "uid:2"].map(str::to_owned);
    assert!(matches!(connection.get_together(keys.to_vec()).await, Err(BackendError::CrossSlot)));
    assert!(!connection.gathers());
    for key in keys {
        assert_eq!(connection.get(key).await.unwrap(), None);
    }
}
