//! The composition root: creates the parts, connects them, and runs them until told to stop.

mod reload;
mod run;
mod stores;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use actix_web::dev::Server;
use arc_swap::ArcSwap;
use prometheus::{Registry, core::Collector};

use crate::{
    actors::{
        Tree, TreePlan,
        active_card::ActiveCard,
        cache_lookups::CacheLookups,
        cache_store::CacheStorePlan,
        card_metrics::CardMetrics,
        dispatcher::DispatcherPlan,
        metrics as actor_metrics,
        near_cache::NearCache,
        persistent_store::PersistentStorePlan,
        runtime::{ActorRuntime, ActorsHealth, RestartPolicy},
    },
    admission::Admission,
    build_info,
    config::{Settings, shutdown::ShutdownSettings},
    domain::InvalidAuthPolicy,
    http::{
        self, AcceptQueue, AdminPlan, CallPlan, Dispatchers, HttpMetrics, Lifecycle, PublicPlan,
        WaitingConnections,
        status::{Reloads, Status, StatusSources},
        tls::{Tls, TlsError},
    },
    store::{Connector, ConnectorMetrics, Role, StoreHealth, StoreMetrics},
};

pub use self::{reload::Reloader, stores::Stores};

/// A service that listens and does not serve yet.
pub struct Application {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    /// The places of the cache and of the persistent store.
    store_addresses: [String; 2],
    /// The public listener's socket, to be closed before its server is stopped.
    listener: TcpListener,
    public: Server,
    admin: Option<Server>,
    lifecycle: Lifecycle,
    metrics: HttpMetrics,
    registry: Registry,
    health: ActorsHealth,
    reloader: Reloader,
    status: Arc<Status>,
    shutdown: ShutdownSettings,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A listener's address cannot be used.
    #[error("{key}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting that names the address.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The token settings contradict each other.
    #[error("auth: {0}")]
    Auth(#[from] InvalidAuthPolicy),
    /// The salts are public, and other hosts may reach this address.
    #[error("auth: public salts cannot serve {0}, which other hosts may reach")]
    PublicSalts(SocketAddr),
    /// A metric was registered twice: a bug.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

// ===== impl Application =====

impl Application {
    /// Builds the service from the settings.
    ///
    /// # Errors
    ///
    /// If the service cannot listen on an address. A store that cannot be reached is not an error.
    pub fn build(settings: &Settings) -> Result<Self, BuildError> {
        Self::assemble(settings, Stores::from_settings(settings), |_| {})
    }

    /// Builds the service on the given stores, and calls `on_tree` with every worker's actors.
    ///
    /// # Errors
    ///
    /// As [`Application::build`].
    pub fn assemble(
        settings: &Settings,
        stores: Stores,
        on_tree: impl Fn(&Tree) + Clone + Send + 'static,
    ) -> Result<Self, BuildError> {
        let registry = Registry::new();
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        build_info::register(&registry)?;
        let store_metrics = StoreMetrics::register(&registry)?;
        let health_of =
            |role, store: &Arc<dyn Connector>| StoreHealth::new(role, store.address(), store_metrics.clone());
        let cache_health = health_of(Role::Cache, &stores.cache);
        let persistent_health = health_of(Role::Persistent, &stores.persistent);
        let metrics = HttpMetrics::register(&registry)?;
        let metrics = if settings.metrics.partners { metrics.with_partners(&registry)? } else { metrics };
        let health = actor_metrics::register(&registry, &Tree::NAMES)?;
        let lifecycle = Lifecycle::default();

        let admission = Admission::new(&settings.limits, &registry)?;
        admission.set_rates(settings.limits.account_rate, &settings.auth.partners.rates);
        let authenticator = Arc::new(ArcSwap::from_pointee(settings.auth.authenticator()?));
        let tls = Tls::from_settings(&settings.http.tls)?;

        let lookups = CacheLookups::register(&registry)?;
        let near = NearCache::from_settings(&settings.cache, lookups.clone());
        let card_metrics = CardMetrics::register(&registry)?;
        let card = ActiveCard::from_settings(&settings.scoring, near, card_metrics).into_switch();
        let Stores { cache, persistent } = stores;
        let stores = [cache.clone(), persistent.clone()];
        let store_addresses = stores.each_ref().map(|store| store.address());
        let by_role = [(Role::Cache, cache.clone()), (Role::Persistent, persistent.clone())];
        ConnectorMetrics::register(&registry, by_role)?;
        let tree = TreePlan {
            dispatcher: DispatcherPlan::from_settings(
                &settings.store,
                &settings.limits,
                authenticator.clone(),
                card.clone(),
                admission.clone(),
            ),
            cache: CacheStorePlan::from_settings(
                &settings.cache,
                cache,
                cache_health.clone(),
                lookups.clone(),
            ),
            persistent: PersistentStorePlan::from_settings(
                &settings.store,
                persistent,
                persistent_health.clone(),
            ),
            runtime: ActorRuntime { restarts: RestartPolicy::default(), health: health.clone() },
        };
        let call =
            CallPlan::from_settings(&settings.http, &settings.store, admission.clone(), metrics.clone());

        // Both addresses are bound before anything is started.
        let public = Bound::to("http.bind", settings.http.bind)?;
        let admin = settings.admin.bind.map(|address| Bound::to("admin.bind", address)).transpose()?;
        let (address, admin_address) = (public.address, admin.as_ref().map(|bound| bound.address));
        let listener = public.listener.try_clone().map_err(|source| public.error(source))?;
        let queue = public.accept_queue("public")?;
        let of_admin = admin.as_ref().map(|bound| bound.accept_queue("operators")).transpose()?;
        let queues = [Some(queue.clone()), of_admin].into_iter().flatten().collect();
        registry.register(Box::new(WaitingConnections::new(queues)?))?;
        let listens = [address].into_iter().chain(admin_address);
        let reloads = Reloads::default();
        let roles = [cache_health, persistent_health];
        let status = Status::new(StatusSources {
            lifecycle: lifecycle.clone(),
            roles: roles.clone(),
            stores: stores.clone(),
            health: health.clone(),
            metrics: metrics.clone(),
            queue,
            admission: admission.clone(),
            limits: settings.limits.clone(),
            lookups,
            card: card.clone(),
            reloads: reloads.clone(),
        });
        let reloader = Reloader::new(authenticator, card, admission, tls.clone(), reloads, listens);
        reloader.note_partners(settings);
        let dispatchers = Dispatchers::default();
        let known = dispatchers.clone();
        let on_tree = move |tree: &Tree| {
            known.add(tree);
            on_tree(tree);
        };
        let admin_call = call.clone();
        let plan = PublicPlan {
            settings: settings.http.clone(),
            tls,
            call,
            lifecycle: lifecycle.clone(),
            tree,
            drain: settings.shutdown.drain,
        };
        let public = public.serve(|listener| http::serve_public(listener, plan, on_tree))?;
        let plan = AdminPlan {
            lifecycle: lifecycle.clone(),
            roles,
            stores,
            health: health.clone(),
            liveness_patience: settings.admin.liveness_patience,
            registry: registry.clone(),
            call: admin_call,
            dispatchers,
            status: status.clone(),
        };
        let admin =
            admin.map(|bound| bound.serve(|listener| http::serve_admin(listener, plan))).transpose()?;
        Ok(Self {
            address,
            admin_address,
            store_addresses,
            listener,
            public,
            admin,
            lifecycle,
            metrics,
            registry,
            health,
            reloader,
            status,
            shutdown: settings.shutdown.clone(),
        })
    }

    /// The service's address; with port 0 in the settings, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the operators' listener, unless it is turned off.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The places of the cache and of the persistent store, without credentials.
    pub fn store_addresses(&self) -> &[String; 2] {
        &self.store_addresses
    }

    /// The phase of the service's life.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.clone()
    }

    /// The health of the actors.
    pub fn health(&self) -> ActorsHealth {
        self.health.clone()
    }

    /// Changes the settings that can be changed while the service runs.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Adds metrics of the process, which are not the service's own, to the operators' listener.
    ///
    /// # Errors
    ///
    /// If they are already registered.
    pub fn publish(&self, metrics: impl Collector + 'static) -> Result<(), BuildError> {
        Ok(self.registry.register(Box::new(metrics))?)
    }
}

/// A listening socket, and the setting that names its address.
struct Bound {
    key: &'static str,
    address: SocketAddr,
    listener: TcpListener,
}

impl Bound {
    fn to(key: &'static str, address: SocketAddr) -> Result<Self, BuildError> {
        let error = |source| BuildError::Listen { key, address, source };
        let listener = http::listen(address).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Self { key, address, listener })
    }

    fn serve(self, serve: impl FnOnce(TcpListener) -> io::Result<Server>) -> Result<Server, BuildError> {
        let Self { key, address, listener } = self;
        serve(listener).map_err(|source| BuildError::Listen { key, address, source })
    }

    fn accept_queue(&self, name: &'static str) -> Result<AcceptQueue, BuildError> {
        AcceptQueue::of(name, &self.listener).map_err(|source| self.error(source))
    }

    fn error(&self, source: io::Error) -> BuildError {
        BuildError::Listen { key: self.key, address: self.address, source }
    }
}
