//! The composition root: creates the parts, connects them, and runs them until told to stop.

mod reload;
mod stores;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::dev::Server;
use arc_swap::ArcSwap;
use prometheus::{Registry, core::Collector};
use tokio::{
    select,
    task::{JoinHandle, spawn_local},
    time::{Instant, interval, sleep, timeout},
};

use crate::{
    actors::{
        Tree, TreeHealth, TreePlan, cache_lookups::CacheLookups, cache_store::CacheStorePlan,
        dispatcher::DispatcherPlan, links::RolePlan, near_cache::NearCache,
        persistent_store::PersistentStorePlan, runtime::restarts::RestartPolicy,
    },
    admission::{Admission, AdmissionLimits},
    config::{Settings, limits::ShutdownSettings},
    domain::{Authenticator, InvalidAuthPolicy},
    http::{
        self, AdminPlan, CallPlan, Dispatchers, HttpMetrics, Lifecycle, PublicPlan,
        tls::{Tls, TlsError},
    },
    store::{LinkPolicy, Role, StoreHealth, StoreMetrics},
    telemetry, wall_clock,
};

pub use self::{reload::Reloader, stores::Stores};

/// The fraction of a promised time that may be spent waiting. The rest is for sending the answer.
const WAITING: (u32, u32) = (4, 5);

/// After the request to stop, this time without a call in flight or a handshake means that all are finished.
const QUIET: Duration = Duration::from_millis(100);

/// A service that listens and does not serve yet.
pub struct Application {
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    /// The public listener's socket, to be closed before its server is stopped.
    listener: TcpListener,
    public: Server,
    admin: Option<Server>,
    lifecycle: Lifecycle,
    metrics: HttpMetrics,
    registry: Registry,
    health: TreeHealth,
    reloader: Reloader,
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
        let store_metrics = StoreMetrics::register(&registry)?;
        let cache_status = StoreHealth::new(Role::Cache, store_metrics.clone());
        let persistent_status = StoreHealth::new(Role::Persistent, store_metrics);
        let metrics = HttpMetrics::register(&registry)?;
        let health = TreeHealth::register(&registry)?;
        let lifecycle = Lifecycle::default();

        let limits = &settings.limits;
        let limits = AdmissionLimits {
            max_in_flight: limits.max_in_flight,
            body_memory: limits.body_memory,
            account_rate: limits.account_rate,
            address_rate: limits.address_rate,
        };
        let admission = Admission::new(limits, &registry)?;
        let authenticator = Authenticator::new(settings.auth.policy())?;
        let authenticator = Arc::new(ArcSwap::from_pointee(authenticator));
        let tls = Tls::from_settings(&settings.http.tls)?;

        let lookups = CacheLookups::register(&registry)?;
        let near_capacity = u64::try_from(settings.cache.near_capacity).unwrap_or(u64::MAX);
        let cache_timeout = waiting(settings.cache.timeout);
        let role =
            |connector, timeout, status| RolePlan { connector, policy: LinkPolicy::new(timeout), status };
        let tree = TreePlan {
            dispatcher: DispatcherPlan {
                authenticator: authenticator.clone(),
                admission: admission.clone(),
                deadline: settings.store.deadline * 19 / 20,
                max_client_ids: settings.limits.client_ids,
                clock: wall_clock::now,
            },
            near: NearCache::new(near_capacity, settings.cache.ttl, lookups.clone()),
            cache: CacheStorePlan {
                role: role(stores.cache, cache_timeout, cache_status.clone()),
                ttl: settings.cache.ttl,
                lookups,
            },
            persistent: PersistentStorePlan {
                role: role(stores.persistent, settings.store.timeout, persistent_status.clone()),
                attempts: settings.store.attempts,
            },
            cache_timeout,
            restarts: RestartPolicy::default(),
            health: health.clone(),
        };
        let call = CallPlan {
            body_limit: settings.http.body_limit,
            body_timeout: settings.http.body_timeout,
            deadline: settings.store.deadline,
            admission,
            metrics: metrics.clone(),
        };

        // Both addresses are bound before anything is started.
        let public = Bound::to("http.bind", settings.http.bind)?;
        let admin = settings.admin.bind.map(|address| Bound::to("admin.bind", address)).transpose()?;
        let (address, admin_address) = (public.address, admin.as_ref().map(|bound| bound.address));
        let listener = public.listener.try_clone().map_err(|source| public.error(source))?;
        let reloader = Reloader::new(authenticator, tls.clone(), [address].into_iter().chain(admin_address));
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
            roles: [cache_status, persistent_status],
            health: health.clone(),
            registry: registry.clone(),
            call: admin_call,
            dispatchers,
        };
        let admin =
            admin.map(|bound| bound.serve(|listener| http::serve_admin(listener, plan))).transpose()?;
        Ok(Self {
            address,
            admin_address,
            listener,
            public,
            admin,
            lifecycle,
            metrics,
            registry,
            health,
            reloader,
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

    /// The phase of the service's life.
    pub fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.clone()
    }

    /// The health of the actors.
    pub fn health(&self) -> TreeHealth {
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

    /// Serves until `stop` resolves, then stops gracefully. It becomes unready first, accepts new calls for the grace
    /// period, then finishes the calls in flight.
    ///
    /// # Errors
    ///
    /// If a listener fails.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let (public, admin) = (self.public.handle(), self.admin.as_ref().map(Server::handle));
        let mut serving = spawn_local(self.public);
        if let Some(server) = self.admin {
            spawn_local(async {
                if let Err(error) = server.await {
                    tracing::error!(%error, "the operators' listener ended");
                }
            });
        }
        let _watching = self.reloader.tls().cloned().map(|tls| AbortOnDrop(spawn_local(tls.watch())));
        self.lifecycle.serving();
        tracing::info!(address = %self.address, admin_address = self.admin_address.map(|a| a.to_string()), "listening");

        select! {
            ended = &mut serving => return ended.map_err(io::Error::other)?,
            () = stop => {}
        }
        self.lifecycle.draining();
        tracing::info!(grace_ms = millis(self.shutdown.grace), "stopping");
        sleep(self.shutdown.grace).await;

        // When it stops, actix drops connections that it has accepted and not begun to serve. So the order is: the
        // socket refuses new connections, once its accept queue is empty; the accepted ones are answered; then the
        // workers are stopped.
        self.lifecycle.closing();
        telemetry::expect_no_accepts();
        http::refuse_new(&self.listener).await?;
        public.pause().await;
        let ending = async {
            quiet(&self.metrics).await;
            public.stop(true).await;
        };
        let in_time = timeout(self.shutdown.drain, ending).await.is_ok();
        let in_flight = self.metrics.in_flight();
        if !in_time && in_flight == 0 {
            // A client has connected, and not sent anything yet.
            public.stop(false).await;
        } else if !in_time {
            tracing::warn!(in_flight, "stopping before everything was answered");
            public.stop(false).await;
            let cut_off = format!("{in_flight} requests were not answered within shutdown.drain");
            return Err(io::Error::new(io::ErrorKind::TimedOut, cut_off));
        }
        if let Some(admin) = admin {
            admin.stop(false).await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Resolves when no request has been in flight, and no TLS handshake in progress, for a while.
async fn quiet(metrics: &HttpMetrics) {
    let mut tick = interval(QUIET / 10);
    let mut busy = Instant::now();
    while busy.elapsed() < QUIET {
        tick.tick().await;
        if metrics.is_busy() {
            busy = Instant::now();
        }
    }
}

/// A task that is aborted when its handle is dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn waiting(promised: Duration) -> Duration {
    promised * WAITING.0 / WAITING.1
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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

    fn error(&self, source: io::Error) -> BuildError {
        BuildError::Listen { key: self.key, address: self.address, source }
    }
}
