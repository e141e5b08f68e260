//! The real tree of actors, on the simulated network.

use std::{
    future::pending,
    sync::{Arc, LazyLock},
    time::Duration,
};

use actix::prelude::*;
use arc_swap::ArcSwap;
use prometheus::{Registry, proto::MetricFamily};
use scoring_api::{
    actors::{
        Tree, TreePlan,
        active_card::ActiveCard,
        cache_lookups::CacheLookups,
        cache_store::{CacheStoreActor, CacheStorePlan},
        card_metrics::CardMetrics,
        dispatcher::{DispatcherActor, DispatcherPlan},
        interests::InterestsActor,
        metrics,
        near_cache::NearCache,
        persistent_store::{PersistentStoreActor, PersistentStorePlan},
        runtime::{ActorRuntime, ActorsHealth, RestartPolicy},
        scoring::ScoringActor,
    },
    admission::Admission,
    config::Settings,
    domain::{AuthPolicy, Authenticator, Card, TimeZoneChoice},
    store::{
        Connector, EmbeddedConnector, MemcachedConnector, RedisConnector, Role, StoreHealth, StoreMetrics,
        TarantoolConnector, url::StoreUrl,
    },
};

use crate::{script::ActorName, script::WorldPlan, world::World, world::wall_clock};

/// The calls that may be in flight.
pub const IN_FLIGHT: usize = 64;

/// The service, without its HTTP.
pub struct Service {
    /// The actors.
    pub tree: Tree,
    /// Makes tokens.
    pub authenticator: Arc<ArcSwap<Authenticator>>,
    /// Admits calls.
    pub admission: Arc<Admission>,
    /// The health of the cache, and of the store.
    pub roles: [Arc<StoreHealth>; 2],
    /// The health of the actors.
    pub actors: ActorsHealth,
    /// The metrics.
    registry: Registry,
}

/// Makes an actor fail.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub enum Fail {
    /// It panics.
    Panic,
    /// It reads no messages any more.
    GetStuck,
}

macro_rules! can_fail {
    ($($actor:ty),+) => {$(
        impl Handler<Fail> for $actor {
            type Result = ();

            fn handle(&mut self, fail: Fail, ctx: &mut Context<Self>) {
                match fail {
                    // Without the report of a panic, which would go to the terminal.
                    Fail::Panic => std::panic::resume_unwind(Box::new("told to panic")),
                    Fail::GetStuck => ctx.wait(pending().into_actor(self)),
                }
            }
        }
    )+};
}

can_fail!(CacheStoreActor, PersistentStoreActor, ScoringActor, InterestsActor, DispatcherActor);

// ===== impl Service =====

impl Service {
    /// Starts the actors on the current thread.
    pub fn start(plan: &WorldPlan, world: &World) -> Self {
        let settings = settings(plan);
        let registry = Registry::new();
        let resolver = world.network.resolver();
        let mut redis: Option<RedisConnector> = None;
        let mut connector = |url: &str, timeout: Duration| -> Arc<dyn Connector> {
            let network = Arc::new(world.network.clone());
            match url.parse() {
                Ok(StoreUrl::Redis(target)) => {
                    let connector = RedisConnector::over(target, timeout, resolver.clone(), network);
                    let connector = redis.iter().fold(connector, RedisConnector::asking_together_with);
                    redis = Some(connector.clone());
                    Arc::new(connector)
                }
                Ok(StoreUrl::Memcached(servers)) => {
                    Arc::new(MemcachedConnector::over(&servers, timeout, resolver.clone(), network))
                }
                Ok(StoreUrl::Tarantool(target)) => {
                    Arc::new(TarantoolConnector::over(target, timeout, resolver.clone(), network))
                }
                Ok(StoreUrl::Embedded(_) | StoreUrl::Memory) | Err(_) => unreachable!("{url}"),
            }
        };
        let [store, cache] = world.urls();
        let server = connector(&store, settings.store.connect_timeout);
        let store: Arc<dyn Connector> = match &world.disk {
            None => server,
            Some(disk) => Arc::new(EmbeddedConnector::new(disk.path(), 1_000).on(Arc::new(disk.clone()))),
        };
        let cache = if plan.is_embedded && !plan.has_own_cache {
            store.clone()
        } else {
            connector(&cache, settings.cache.connect_timeout)
        };
        let metrics = expected(StoreMetrics::register(&registry));
        let roles = [Role::Cache, Role::Persistent]
            .map(|role| StoreHealth::new(role, "simulated".to_owned(), metrics.clone()));
        let lookups = expected(CacheLookups::register(&registry));
        let actors = expected(metrics::register(&registry, &Tree::NAMES));
        let admission = expected(Admission::new(&settings.limits, &registry));
        let authenticator = expected(Authenticator::new(AuthPolicy {
            timezone: TimeZoneChoice::Named(chrono_tz::Tz::UTC),
            ..AuthPolicy::public()
        }));
        let authenticator = Arc::new(ArcSwap::from_pointee(authenticator));
        let near = NearCache::from_settings(&settings.cache, lookups.clone());
        let card = ActiveCard::new(Card::built_in(), near, expected(CardMetrics::register(&registry)));
        let dispatcher = DispatcherPlan::from_settings(
            &settings.store,
            &settings.limits,
            authenticator.clone(),
            card.into_switch(),
            admission.clone(),
        );
        let tree = Tree::start(&TreePlan {
            dispatcher: DispatcherPlan { clock: wall_clock, ..dispatcher },
            cache: CacheStorePlan::from_settings(&settings.cache, cache, roles[0].clone(), lookups),
            persistent: PersistentStorePlan::from_settings(&settings.store, store, roles[1].clone()),
            runtime: ActorRuntime { restarts: RestartPolicy::default(), health: actors.clone() },
        });
        Self { tree, authenticator, admission, roles, actors, registry }
    }

    /// The values of a gauge, one for each of its series.
    pub fn gauge(&self, name: &str) -> Vec<f64> {
        let families = self.registry.gather();
        let series =
            families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
        series.map(|series| series.get_gauge().get_value()).collect()
    }

    /// Makes an actor fail.
    pub fn fail(&self, actor: ActorName, fail: Fail) {
        match actor {
            ActorName::Dispatcher => self.tree.dispatcher.do_send(fail),
            ActorName::Scoring => self.tree.scoring.do_send(fail),
            ActorName::Interests => self.tree.interests.do_send(fail),
            ActorName::CacheStore => self.tree.cache_store.do_send(fail),
            ActorName::PersistentStore => self.tree.persistent_store.do_send(fail),
        }
    }
}

/// The defaults, except the settings that a script chooses. Read once, because reading takes as long as some simulated seconds.
fn settings(plan: &WorldPlan) -> &'static Settings {
    static SETTINGS: LazyLock<[Settings; 2]> = LazyLock::new(|| {
        [0, 1_000].map(|near_capacity| {
            let flags =
                [format!("limits.max_in_flight={IN_FLIGHT}"), format!("cache.near_capacity={near_capacity}")];
            let environment = std::iter::empty::<(std::ffi::OsString, std::ffi::OsString)>();
            expected(Settings::load(None, environment, &flags))
        })
    });
    &SETTINGS[usize::from(plan.has_near_cache)]
}

/// A part that is always right, because the simulation itself has made it.
fn expected<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| unreachable!("{error}"))
}
