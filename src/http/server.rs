//! The two listeners.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_http::{HttpService, Request, Response, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, Error,
    body::MessageBody,
    dev::{AppConfig, Server},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use prometheus::IntGauge;
use tokio::time::Instant;

use super::{
    AdminPlan, CallPlan, HttpMetrics, Lifecycle,
    api::{
        self,
        middleware::{AddressRate, every_answer, every_public_answer},
    },
    metrics::InFlight,
    operators,
    settings::HttpSettings,
    transport::{
        capacity::{OPERATORS, connections_each},
        connection::ClientConnection,
        refused_heads::RefusedHeads,
        stream::Stream,
        tls::Tls,
    },
};
use crate::actors::{Tree, TreePlan};

/// Maximum time to close a connection.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum time to receive a head from an operator's tool.
const OPERATORS_HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The keep-alive time of an operator's connection: longer than the interval of most scrapers.
const OPERATORS_KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The parts of the public listener.
pub struct PublicPlan {
    /// The settings `[http]`.
    pub settings: HttpSettings,
    /// The certificate, if the listener uses TLS.
    pub tls: Option<Tls>,
    /// The handler of calls.
    pub call: CallPlan,
    /// The phase of the service's life.
    pub lifecycle: Lifecycle,
    /// The actors of each worker.
    pub tree: TreePlan,
    /// Maximum time to finish requests when it is stopped.
    pub drain: Duration,
}

/// Serves the public listener. Each worker has its own tree of actors, which is passed to `on_tree`.
///
/// # Errors
///
/// If the socket cannot be used.
pub fn serve_public(
    listener: TcpListener,
    plan: PublicPlan,
    on_tree: impl Fn(&Tree) + Clone + Send + 'static,
) -> io::Result<Server> {
    let PublicPlan { settings, tls, call, lifecycle, tree, drain } = plan;
    let listener_config = ListenerConfig {
        name: "public",
        workers: settings.workers,
        connections_each: connections_each(settings.max_connections, settings.workers),
        head_timeout: settings.head_timeout,
        keep_alive: settings.keep_alive,
        drain,
        metrics: call.metrics.clone(),
        tls,
    };
    let rate = AddressRate { admission: call.admission.clone(), trusted_proxies: settings.trusted_proxies };
    let rate = web::Data::new(rate);
    listener_config.serve(listener, move || {
        let tree = Tree::start(&tree);
        on_tree(&tree);
        App::new()
            .app_data(web::Data::new(call.metrics.clone()))
            .app_data(web::Data::new(call.clone()))
            .app_data(web::Data::new(lifecycle.clone()))
            .app_data(rate.clone())
            .app_data(web::Data::new(tree.calls))
            .configure(api::routes::configure)
            .wrap(from_fn(every_public_answer))
            .wrap(from_fn(every_answer))
    })
}

/// Serves the operators' listener.
///
/// # Errors
///
/// If the socket cannot be used.
pub fn serve_admin(listener: TcpListener, plan: AdminPlan) -> io::Result<Server> {
    let listener_config = ListenerConfig {
        name: "operators",
        workers: 1,
        connections_each: OPERATORS,
        head_timeout: OPERATORS_HEAD_TIMEOUT,
        keep_alive: OPERATORS_KEEP_ALIVE,
        drain: Duration::ZERO,
        metrics: plan.call.metrics.clone(),
        tls: None,
    };
    listener_config.serve(listener, move || {
        App::new()
            .app_data(web::Data::new(plan.clone()))
            .configure(operators::routes::configure)
            .wrap(from_fn(every_answer))
    })
}

/// The configuration of a listener.
struct ListenerConfig {
    name: &'static str,
    workers: usize,
    /// Maximum open connections of each worker.
    connections_each: usize,
    /// Maximum time to receive a head, including the TLS handshake.
    head_timeout: Duration,
    keep_alive: Duration,
    drain: Duration,
    /// Counts handshakes and rejected heads.
    metrics: HttpMetrics,
    tls: Option<Tls>,
}

impl ListenerConfig {
    /// Serves the application that `app` creates on each worker.
    ///
    /// actix's own `HttpServer` has no place for [`ClientConnection`], which must be between it and the socket.
    fn serve<I, S, B>(
        self,
        listener: TcpListener,
        app: impl Fn() -> I + Clone + Send + 'static,
    ) -> io::Result<Server>
    where
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<Error>,
        S::InitError: fmt::Debug,
        S::Response: Into<Response<B>>,
        B: MessageBody + 'static,
    {
        let Self { name, workers, connections_each, head_timeout, keep_alive, drain, metrics, tls } = self;
        // actix counts in whole seconds. This is only a last resort: the caller enforces `drain` itself.
        let builder = ServerBuilder::new()
            .workers(workers)
            .max_concurrent_connections(connections_each)
            .shutdown_timeout(drain.as_secs() + 1)
            .disable_signals();
        let stopping = builder.graceful_shutdown_signal();
        let plan = ConnectionPlan {
            head_timeout,
            tls,
            refused_heads: Arc::new(RefusedHeads::new(metrics.clone())),
            open: metrics.connections(name, connections_each * workers),
            metrics,
        };
        let serve = move || {
            let app = app().into_factory().map_err(|error| error.into().error_response());
            let stopping = stopping.clone();
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(keep_alive)
                // [`ClientConnection`] limits this time.
                .client_request_timeout(Duration::ZERO)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .on_connect_ext(|connection: &ClientConnection, data| {
                    data.insert(connection.state());
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let plan = plan.clone();
            fn_service(move |io| accept(io, plan.clone())).and_then(http)
        };
        Ok(builder.listen(name, listener, serve)?.run())
    }
}

/// The parts that turn a socket into a connection.
#[derive(Clone)]
struct ConnectionPlan {
    head_timeout: Duration,
    tls: Option<Tls>,
    refused_heads: Arc<RefusedHeads>,
    /// Open connections.
    open: IntGauge,
    metrics: HttpMetrics,
}

/// Turns an accepted socket into a connection, with a TLS handshake if TLS is on.
async fn accept(
    io: TcpStream,
    plan: ConnectionPlan,
) -> Result<(ClientConnection, Option<SocketAddr>), DispatchError> {
    let ConnectionPlan { head_timeout, tls, refused_heads, open, metrics } = plan;
    let open = InFlight::count(&open);
    let accepted = Instant::now();
    let client = io.peer_addr().ok();
    // Responses are written whole, so waiting for more bytes would only delay them. Without the option they are just
    // slower.
    _ = io.set_nodelay(true);
    let stream = match tls {
        None => Stream::Plain(io),
        Some(tls) => {
            let _handshake = metrics.begin_handshake();
            tls.accept(io, accepted + head_timeout).await.ok_or(DispatchError::DisconnectTimeout)?
        }
    };
    Ok((ClientConnection::new(stream, accepted, head_timeout, refused_heads, open), client))
}
