//! The parts, each as work that can be repeated.

use std::{hint::black_box, path::Path, sync::Arc, time::Duration};

use actix::prelude::*;
use arc_swap::ArcSwap;
use prometheus::Registry;
use scoring_api::{
    actors::{
        Tree, TreePlan,
        active_card::ActiveCard,
        cache_lookups::CacheLookups,
        cache_store::CacheStorePlan,
        card_metrics::CardMetrics,
        dispatcher::{CallMethod, DispatcherPlan},
        links::RolePlan,
        metrics,
        near_cache::NearCache,
        persistent_store::PersistentStorePlan,
        runtime::{ActorRuntime, RestartPolicy},
    },
    admission::{Admission, settings::LimitSettings},
    domain::{Authenticator, Card, ClientsInterests, MethodRequest, OnlineScore},
    resolver::Resolver,
    store::{
        Connection, Connector, EmbeddedConnector, EmbeddedFile, LinkPolicy, RedisConnector, Role,
        StoreHealth, StoreMetrics, url::StoreUrl,
    },
    wall_clock,
};
use testkit::RedisServer;
use tokio::runtime::{Builder, Runtime};

use crate::fixtures::{
    authenticator, beside_partners, body, card_of_20, memory, person, registered, request, rules, stored,
};

const HOUR: Duration = Duration::from_secs(3600);
const SCORE_KEY: &str = "uid:0123456789abcdef0123456789abcdef";

/// One part.
pub struct Part {
    pub name: &'static str,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    Parse(&'static str),
    Digest,
    /// The call of a registered partner, or one of its refusals.
    Partner(&'static str),
    Score,
    /// A score by a card of 20 characteristics with 120 bins, without or with its reasons.
    Card {
        explain: bool,
    },
    Key,
    Hop,
    Call(&'static str),
    /// A near hit.
    NearCall,
    /// A hit by a card of 20 characteristics, beside 1,000 registered partners.
    CallByCard,
    Get(Kind),
    GetMany(Kind),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    Embedded,
    Redis,
}

/// All parts, in the order in which a call passes them.
pub const PARTS: &[Part] = &[
    part("parse and check a score", Work::Parse("online_score")),
    part("parse and check 100 ids", Work::Parse("clients_interests")),
    part("digest", Work::Digest),
    part("token of a partner", Work::Partner("well")),
    part("refused: unknown", Work::Partner("unknown")),
    part("refused: token", Work::Partner("token")),
    part("refused: disabled", Work::Partner("disabled")),
    part("refused: expired", Work::Partner("expired")),
    part("refused: method", Work::Partner("method")),
    part("score", Work::Score),
    part("score by a card of 20", Work::Card { explain: false }),
    part("score with reasons by a card of 20", Work::Card { explain: true }),
    part("key", Work::Key),
    part("actor hop", Work::Hop),
    part("get, memory", Work::Get(Kind::Memory)),
    part("get, redis", Work::Get(Kind::Redis)),
    part("get 100, memory", Work::GetMany(Kind::Memory)),
    part("get 100, embedded", Work::GetMany(Kind::Embedded)),
    part("get 100, redis", Work::GetMany(Kind::Redis)),
    part("a whole score through the actors, memory", Work::Call("online_score")),
    part("a whole score through the actors, near", Work::NearCall),
    part("a whole score by a card of 20, beside 1,000 partners, memory", Work::CallByCard),
    part("whole interests of 100 through the actors, memory", Work::Call("clients_interests")),
];

const fn part(name: &'static str, work: Work) -> Part {
    Part { name, work }
}

// ===== impl Part =====

impl Part {
    pub fn needs_redis(&self) -> bool {
        matches!(self.work, Work::Get(Kind::Redis) | Work::GetMany(Kind::Redis))
    }

    /// Whether its instruction count is reliable: a part that waits for threads or sockets also counts their polling.
    pub fn is_countable(&self) -> bool {
        !matches!(self.work, Work::Get(Kind::Redis) | Work::GetMany(Kind::Redis | Kind::Embedded))
    }
}

/// A Redis with values in it.
pub struct Redis(RedisServer);

impl Redis {
    /// `None`, with a message, if `redis-server` is not installed.
    pub fn start_if_installed() -> Option<Self> {
        let is_installed = std::process::Command::new("redis-server").arg("--version").output().is_ok();
        if !is_installed {
            println!("redis-server is not installed: its parts are left out");
            return None;
        }
        let redis = runtime().block_on(async {
            let redis = RedisServer::start().await;
            for (key, value) in stored() {
                redis.command::<()>(&["SET", &key, &value]).await;
            }
            redis.command::<()>(&["SET", SCORE_KEY, "5"]).await;
            redis
        });
        Some(Self(redis))
    }
}

/// Measures a part's work after its preparation.
type Around<'a> = Box<dyn FnOnce(&mut dyn FnMut()) + 'a>;

/// Prepares a part, and passes `times` repetitions of its work to `around`.
pub fn run(name: &str, times: u64, redis: Option<&Redis>, around: impl FnOnce(&mut dyn FnMut())) {
    let part = PARTS.iter().find(|part| part.name == name).expect("there is such a part");
    let repeat = |around: Around<'_>, work: &mut dyn FnMut()| {
        around(&mut || (0..times).for_each(|_| work()));
    };
    let around: Around<'_> = Box::new(around);
    match part.work {
        Work::Parse(method) => {
            let (body, rules) = (body(method), rules());
            repeat(around, &mut || {
                let request = request(black_box(&body));
                match method {
                    "online_score" => drop(black_box(OnlineScore::parse(request.arguments, &rules).unwrap())),
                    _ => drop(black_box(ClientsInterests::parse(request.arguments, &rules).unwrap())),
                }
            });
        }
        Work::Digest => {
            let (authenticator, request, now) =
                (authenticator(), request(&body("online_score")), wall_clock::now());
            repeat(around, &mut || _ = black_box(authenticator.check(black_box(&request), now).unwrap()));
        }
        Work::Partner(case) => {
            let (authenticator, request) = registered(case);
            let now = wall_clock::now();
            repeat(around, &mut || {
                let checked = black_box(authenticator.check(black_box(&request), now));
                assert_eq!(checked.is_ok(), case == "well");
            });
        }
        Work::Score => {
            let (card, person, today) = (Card::built_in(), person(), rules().today);
            repeat(around, &mut || _ = black_box(card.score(black_box(&person), today)));
        }
        Work::Card { explain } => {
            let (card, person, today) = (card_of_20(), person(), rules().today);
            if explain {
                repeat(around, &mut || drop(black_box(card.explain(black_box(&person), today))));
            } else {
                repeat(around, &mut || _ = black_box(card.score(black_box(&person), today)));
            }
        }
        Work::Key => {
            let (card, person, today) = (Card::built_in(), person(), rules().today);
            repeat(around, &mut || drop(black_box(card.cache_key(black_box(&person), today))));
        }
        Work::Hop => within_actix(
            around,
            times,
            async || Echo.start(),
            async |echo| {
                echo.send(Nothing).await.unwrap();
            },
        ),
        Work::Call(method) => {
            let request = request(&body(method));
            within_actix(around, times, || tree(0), async |tree| ask(tree, &request).await);
        }
        Work::CallByCard => {
            let request = request(&body("online_score"));
            let tree = || tree_of(0, Arc::new(card_of_20()), beside_partners());
            within_actix(around, times, tree, async |tree| ask(tree, &request).await);
        }
        Work::NearCall => {
            let request = request(&body("online_score"));
            within_actix(
                around,
                times,
                async || {
                    let tree = tree(1_000).await;
                    ask(&tree, &request).await;
                    tree
                },
                async |tree| ask(tree, &request).await,
            );
        }
        Work::Get(kind) => {
            let folder = tempfile::tempdir().unwrap();
            within_actix(
                around,
                times,
                async || connection(kind, folder.path(), redis).await,
                async |store| {
                    assert!(store.get(SCORE_KEY.to_owned()).await.unwrap().is_some());
                },
            );
        }
        Work::GetMany(kind) => {
            let folder = tempfile::tempdir().unwrap();
            let keys: Arc<[String]> = stored().map(|(key, _)| key).collect();
            within_actix(
                around,
                times,
                async || connection(kind, folder.path(), redis).await,
                async |store| {
                    assert_eq!(store.get_many(keys.clone()).await.unwrap().len(), keys.len());
                },
            );
        }
    }
}

/// Awaits `work` repeatedly on a thread like those of the service's workers.
#[allow(clippy::needless_pass_by_value, reason = "closures read better in place")]
fn within_actix<T>(around: Around<'_>, times: u64, prepare: impl AsyncFnOnce() -> T, work: impl AsyncFn(&T)) {
    let system = System::new();
    let prepared = system.block_on(prepare());
    around(&mut || {
        system.block_on(async {
            for _ in 0..times {
                work(&prepared).await;
            }
        });
    });
}

struct Echo;

#[derive(Message)]
#[rtype(result = "()")]
struct Nothing;

impl Actor for Echo {
    type Context = Context<Self>;
}

impl Handler<Nothing> for Echo {
    type Result = ();

    fn handle(&mut self, _: Nothing, _: &mut Self::Context) {}
}

async fn connection(kind: Kind, folder: &Path, redis: Option<&Redis>) -> Arc<dyn Connection> {
    let store: Arc<dyn Connector> = match kind {
        Kind::Memory => Arc::new(memory()),
        Kind::Embedded => {
            let path = folder.join("scoring.redb");
            let entries: Vec<_> = stored().map(|(key, value)| (key, value.into_bytes())).collect();
            EmbeddedFile::open(&path).unwrap().put_all(&entries, &|| {}).unwrap();
            Arc::new(EmbeddedConnector::new(path, 1_000))
        }
        Kind::Redis => match redis.expect("there is a Redis").0.url().parse() {
            Ok(StoreUrl::Redis(target)) => Arc::new(RedisConnector::new(target, HOUR, Resolver::system())),
            other => panic!("{other:?}"),
        },
    };
    let connection = store.connect().await.unwrap();
    if kind != Kind::Redis {
        connection.set(SCORE_KEY.to_owned(), b"5".to_vec(), HOUR).await.unwrap();
    }
    connection
}

async fn ask(tree: &Tree, request: &MethodRequest) {
    let call = CallMethod { request: request.clone(), received: tokio::time::Instant::now() };
    black_box(tree.dispatcher.send(call).await.unwrap().outcome.unwrap());
}

/// The actors of one worker, wired as in the service, with a near cache of this capacity.
async fn tree(near_capacity: usize) -> Tree {
    tree_of(near_capacity, Card::built_in(), authenticator()).await
}

/// The same with another card and authenticator.
async fn tree_of(near_capacity: usize, card: Arc<Card>, authenticator: Authenticator) -> Tree {
    let registry = Registry::new();
    let metrics = StoreMetrics::register(&registry).unwrap();
    let memory = Arc::new(memory());
    let role = |role| RolePlan {
        connector: memory.clone(),
        policy: LinkPolicy::new(HOUR),
        health: StoreHealth::new(role, "scripted".to_owned(), metrics.clone()),
    };
    let lookups = CacheLookups::register(&registry).unwrap();
    let limits = LimitSettings {
        max_in_flight: 1024,
        client_ids: 10_000,
        body_memory: 1 << 20,
        account_rate: None,
        address_rate: None,
    };
    let near = NearCache::new(near_capacity, HOUR, lookups.clone());
    let card = ActiveCard::new(card, near, CardMetrics::register(&registry).unwrap());
    let tree = Tree::start(&TreePlan {
        dispatcher: DispatcherPlan {
            authenticator: Arc::new(ArcSwap::from_pointee(authenticator)),
            card: card.into_switch(),
            admission: Admission::new(&limits, &registry).unwrap(),
            deadline: HOUR,
            max_client_ids: 10_000,
            clock: wall_clock::now,
        },
        cache: CacheStorePlan { role: role(Role::Cache), ttl: HOUR, lookups },
        persistent: PersistentStorePlan { role: role(Role::Persistent), attempts: 3 },
        runtime: ActorRuntime {
            restarts: RestartPolicy::default(),
            health: metrics::register(&registry, &Tree::NAMES).unwrap(),
        },
    });
    // The links connect on their own; the first call waits for that.
    ask(&tree, &request(&body("clients_interests"))).await;
    tree
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
