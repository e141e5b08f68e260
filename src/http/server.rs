//! The two listeners.

use std::{
    future::ready,
    io,
    net::{Shutdown, SocketAddr, TcpListener},
    time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App, HttpServer,
    dev::{AppConfig, Server},
    middleware::from_fn,
    rt::net::TcpStream,
    web,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{AdminPlan, CallPlan, Lifecycle, connection::Connection, routes, settings::HttpSettings};
use crate::actors::{Tree, TreePlan};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long a connection may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Binds `address`. Nothing is accepted yet.
///
/// # Errors
///
/// If the address is taken or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A service that is started again at once must not wait for its old connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Refuses new connections from now on, through whichever handle to the socket. Those that were accepted are not touched.
///
/// # Errors
///
/// If the socket is no listener any more.
pub fn refuse_new(listener: &TcpListener) -> io::Result<()> {
    SockRef::from(listener).shutdown(Shutdown::Read)
}

/// Serves the public listener: on each worker a tree of actors of its own, told to `on_tree`.
///
/// # Errors
///
/// If the socket cannot be used.
pub fn serve_public(
    listener: TcpListener,
    settings: &HttpSettings,
    plan: CallPlan,
    lifecycle: Lifecycle,
    tree: TreePlan,
    on_tree: impl Fn(&Tree) + Clone + Send + 'static,
    drain: Duration,
) -> io::Result<Server> {
    let (patience, keep_alive) = (settings.head_timeout, settings.keep_alive);
    // actix counts in whole seconds. It is only a last resort: the caller keeps to `drain` itself.
    let builder = ServerBuilder::new()
        .workers(settings.workers)
        .shutdown_timeout(drain.as_secs() + 1)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    // actix's own `HttpServer` would not let us in between it and the socket, which `Connection` has to be.
    let serve = move || {
        let tree = Tree::start(&tree);
        on_tree(&tree);
        let app = App::new()
            .app_data(web::Data::new(plan.metrics.clone()))
            .app_data(web::Data::new(plan.clone()))
            .app_data(web::Data::new(lifecycle.clone()))
            .app_data(web::Data::new(tree.dispatcher))
            .configure(routes::public)
            .wrap(from_fn(routes::every_answer))
            .into_factory()
            .map_err(|error| error.error_response());
        let stopping = stopping.clone();
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(keep_alive)
            // The connection sees to that.
            .client_request_timeout(Duration::ZERO)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .on_connect_ext(|connection: &Connection, data| {
                data.insert(connection.turn());
            })
            .h1(map_config(app, |()| AppConfig::default()));
        fn_service(move |io: TcpStream| {
            let client = io.peer_addr().ok();
            // Answers go out whole: to wait for more of them would only be a delay. If it cannot be set, it is just slower.
            _ = io.set_nodelay(true);
            ready(Ok::<_, DispatchError>((Connection::new(io, patience), client)))
        })
        .and_then(http)
    };
    Ok(builder.listen("public", listener, serve)?.run())
}

/// Serves the operators' listener.
///
/// # Errors
///
/// If the socket cannot be used.
pub fn serve_admin(listener: TcpListener, plan: AdminPlan) -> io::Result<Server> {
    let app = move || {
        App::new()
            .app_data(web::Data::new(plan.call.metrics.clone()))
            .app_data(web::Data::new(plan.lifecycle.clone()))
            .app_data(web::Data::new(plan.clone()))
            .configure(routes::admin)
    };
    let server =
        HttpServer::new(app).workers(1).shutdown_timeout(1).disable_signals().listen(listener)?.run();
    Ok(server)
}
