//! Real memcached and Tarantool servers: the rows of the fault table that Redis has, where they apply.

mod memcached;
mod tarantool;

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use rstest::rstest;
use scoring_api::{
    app::Stores,
    domain::{Card, Json, OnlineScore, Rules},
    resolver::Resolver,
    store::{Connection, Connector, MemcachedConnector, Memory, TarantoolConnector, url::StoreUrl},
    wall_clock,
};
use testkit::{
    ALL_IS_OK_WITHIN, Load, MemcachedServer, Person, Proxy, SCORE_BOUND, ServerProcess, Stopwatch,
    TarantoolServer, TestApp, eventually, in_time, settings,
};
use tokio::task::{JoinSet, yield_now};

use crate::functional::official::{IDS, all_cases_hold};

/// A store, and whether it has both roles.
enum Real {
    /// The cache only; interests are in memory.
    Memcached(MemcachedServer),
    /// Both roles.
    Tarantool(TarantoolServer),
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Memcached,
    Tarantool,
}

impl Real {
    async fn start(kind: Kind) -> Self {
        match kind {
            Kind::Memcached => Self::Memcached(MemcachedServer::start().await),
            Kind::Tarantool => {
                let server = TarantoolServer::start().await;
                for (key, value) in TestApp::seeds() {
                    server.put(key, value).await;
                }
                Self::Tarantool(server)
            }
        }
    }

    fn process(&self) -> &ServerProcess {
        match self {
            Self::Memcached(server) => server,
            Self::Tarantool(server) => server,
        }
    }

    fn addr(&self) -> SocketAddr {
        match self {
            Self::Memcached(server) => server.addr(),
            Self::Tarantool(server) => server.addr(),
        }
    }

    async fn restart(&self) {
        match self {
            Self::Memcached(server) => server.restart().await,
            Self::Tarantool(server) => server.restart().await,
        }
    }

    /// A service that reaches the server at `addr`.
    async fn app_at(&self, addr: SocketAddr) -> Arc<TestApp> {
        Arc::new(match self {
            Self::Memcached(_) => TestApp::with_cache(&format!("memcached://{addr}")).await,
            Self::Tarantool(server) => TestApp::on(&server.url_at(addr)).await,
        })
    }

    async fn app(&self) -> Arc<TestApp> {
        let app = self.app_at(self.addr()).await;
        app.recovers().await;
        app
    }

    /// "D" of this store: a lost cache loses nothing.
    async fn is_down(&self, app: &TestApp) {
        match self {
            Self::Memcached(_) => {
                eventually(ALL_IS_OK_WITHIN * 2, "degraded", async || app.readiness().await == "degraded")
                    .await;
                app.scores_right().await;
                app.interests_right().await;
            }
            Self::Tarantool(_) => app.is_degraded().await,
        }
    }
}

#[tokio::test]
async fn every_official_case_holds_on_memcached() {
    let server = MemcachedServer::start().await;
    let memory = Memory::new(100);
    IDS.iter().for_each(|id| memory.insert(format!("i:{id}"), br#"["books"]"#.to_vec()));
    let settings = settings(&[&format!("cache.url={}", server.url())]);
    let stores = Stores { persistent: Arc::new(memory), ..Stores::from_settings(&settings) };
    let app = TestApp::start(settings, stores).await;
    all_cases_hold(&app).await;
}

#[tokio::test]
async fn every_official_case_holds_on_tarantool() {
    let server = TarantoolServer::start().await;
    for id in IDS {
        server.put(&format!("i:{id}"), r#"["books"]"#).await;
    }
    all_cases_hold(&TestApp::on(&server.url()).await).await;
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_01_store_down_when_the_service_starts(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    store.process().kill9();
    let app = store.app_at(store.addr()).await;
    store.is_down(&app).await;
    store.restart().await;
    app.recovers().await;
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_02_store_killed_in_the_middle_of_requests(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let app = store.app().await;
    let load = Load::start(&app, 8);
    store.process().kill9();
    store.is_down(&app).await;
    store.restart().await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
    app.recovers().await;
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_03_store_stopped(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let app = store.app().await;
    let load = Load::start(&app, 8);
    store.process().sigstop();
    store.is_down(&app).await;
    store.process().sigcont();
    app.recovers().await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_20_a_cached_value_that_is_not_a_score_is_overwritten(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let app = store.app().await;
    let person = Person::full();
    let ok = r#"scoring_store_operations_total{op="set",outcome="ok",role="cache"}"#;
    let before = app.metric(ok).await;
    let key = key_of(&person);
    app.online_score(&person).await.score();
    eventually(ALL_IS_OK_WITHIN, "the score is cached", async || app.metric(ok).await > before).await;
    for nonsense in ["NaN", "-1", "five", ""] {
        match &store {
            Real::Memcached(server) => server.put(&key, nonsense).await,
            Real::Tarantool(server) => {
                let put = format!("scoring.cache_put('{key}', '{nonsense}', 3600000)");
                _ = server.lua(&put).await;
            }
        }
        assert_eq!(app.online_score(&person).await.score(), 5.0);
        eventually(ALL_IS_OK_WITHIN, "it is overwritten", async || match &store {
            Real::Memcached(server) => {
                server.stored(&key).await.is_some_and(|stored| stored.starts_with('5'))
            }
            Real::Tarantool(server) => {
                server.lua(&format!("return scoring.cache_get('{key}')")).await.contains("- '5")
            }
        })
        .await;
    }
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_21_connections_cut_all_the_time(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let proxy = Proxy::to(store.addr());
    let app = store.app_at(proxy.addr()).await;
    app.recovers().await;
    let load = Load::start(&app, 4);
    let lasts = Stopwatch::start();
    let mut pace = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..20 {
        pace.tick().await;
        proxy.door.drop_existing();
    }
    let tally = load.end().await;
    assert!(tally.refused_interests * 100 <= tally.interests || lasts.is_starved(), "{tally:?}");
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_22_connection_dropped_while_idle(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let proxy = Proxy::to(store.addr());
    let app = store.app_at(proxy.addr()).await;
    app.recovers().await;
    for _ in 0..5 {
        proxy.door.drop_existing();
        app.interests_right().await;
        app.scores_right().await;
    }
}

/// The key under which a person's score is cached.
fn key_of(person: &Person) -> String {
    let today = wall_clock::now().date_naive();
    let rules = Rules { today, max_client_ids: 1, explain: false };
    let arguments = person.arguments().to_string();
    let Ok(Json::Object(arguments)) = Json::parse(arguments.as_bytes()) else { panic!("{arguments}") };
    let person = OnlineScore::parse(arguments, &rules).unwrap_or_else(|faults| panic!("{faults}"));
    Card::built_in().cache_key(&person, today)
}

/// 10,000 reads over one connection. A quarter of the callers leave, at once or soon.
#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn row_27_no_answer_ever_belongs_to_another_request(#[case] kind: Kind) {
    const KEYS: usize = 500;
    const READS: usize = 10_000;
    let store = Real::start(kind).await;
    let connection = connect(&store).await;
    let key = |number: usize| format!("uid:{:032}", number % KEYS);
    for number in 0..KEYS {
        let ttl = Duration::from_secs(60);
        connection.set(key(number), format!("of {number}").into_bytes(), ttl).await.unwrap();
    }
    let connections = store.connections().await;
    let mut reads = JoinSet::new();
    let (mut answered, mut abandoned) = (0, 0);
    for number in 0..READS {
        let read = connection.get(key(number));
        let patience = (number % 4 == 0).then(|| fastrand::usize(0..4));
        reads.spawn(async move {
            let impatience = async {
                for _ in 0..patience.unwrap_or_default() {
                    yield_now().await;
                }
                if patience.is_none() {
                    pending::<()>().await;
                }
            };
            let value = tokio::select! {
                biased;
                value = read => value.unwrap(),
                () = impatience => return None,
            };
            assert_eq!(value, Some(format!("of {}", number % KEYS).into_bytes()));
            Some(())
        });
        if reads.len() >= 200 {
            let read = reads.join_next().await.unwrap();
            let is_answered = read.expect("an answer belonged to another question").is_some();
            if is_answered { answered += 1 } else { abandoned += 1 }
        }
    }
    while let Some(read) = reads.join_next().await {
        let is_answered = read.expect("an answer belonged to another question").is_some();
        if is_answered { answered += 1 } else { abandoned += 1 }
    }
    assert!(answered >= READS / 2 && abandoned >= READS / 50, "{answered} answered, {abandoned} abandoned");
    assert_eq!(store.connections().await, connections, "another connection was made");
    let again = in_time(ALL_IS_OK_WITHIN, connection.get(key(7))).await.unwrap().unwrap();
    assert_eq!(again, Some(b"of 7".to_vec()));
}

/// A connection as the service has it.
async fn connect(store: &Real) -> Arc<dyn Connection> {
    let limit = ALL_IS_OK_WITHIN;
    let connector: Arc<dyn Connector> = match store {
        Real::Memcached(server) => {
            let StoreUrl::Memcached(servers) = server.url().parse().unwrap() else { unreachable!() };
            Arc::new(MemcachedConnector::new(&servers, limit, Resolver::system()))
        }
        Real::Tarantool(server) => {
            let StoreUrl::Tarantool(target) = server.url().parse().unwrap() else { unreachable!() };
            Arc::new(TarantoolConnector::new(target, limit, Resolver::system()))
        }
    };
    connector.connect().await.unwrap_or_else(|error| panic!("{error}"))
}

impl Real {
    /// The number of connections that clients have made, without that of the tools.
    async fn connections(&self) -> u64 {
        match self {
            // The tools' own connections count too.
            Self::Memcached(server) => server.connections().await,
            Self::Tarantool(server) => {
                let said = server.lua("return box.stat.net().CONNECTIONS.total").await;
                said.trim_start_matches("---\n- ").lines().next().unwrap().parse().unwrap()
            }
        }
    }
}

#[rstest]
#[case::memcached(Kind::Memcached)]
#[case::tarantool(Kind::Tarantool)]
#[tokio::test]
async fn a_cached_value_expires(#[case] kind: Kind) {
    let store = Real::start(kind).await;
    let connection = connect(&store).await;
    // memcached counts whole seconds, and takes over 30 days for a date.
    connection.set("uid:short".to_owned(), b"1".to_vec(), Duration::from_secs(1)).await.unwrap();
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    connection.set("uid:long".to_owned(), b"2".to_vec(), month).await.unwrap();
    eventually(ALL_IS_OK_WITHIN, "it has expired", async || {
        connection.get("uid:short".to_owned()).await.unwrap().is_none()
    })
    .await;
    assert_eq!(connection.get("uid:long".to_owned()).await.unwrap(), Some(b"2".to_vec()));
    connection.set("uid:longer".to_owned(), b"3".to_vec(), month * 2).await.unwrap();
    assert_eq!(connection.get("uid:longer".to_owned()).await.unwrap(), Some(b"3".to_vec()));
}
