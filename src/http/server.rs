//! The two listeners.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener},
};

use actix_web::{App, HttpServer, dev::Server, middleware::from_fn, web};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{AdminPlan, CallPlan, Lifecycle, routes, settings::HttpSettings};
use crate::actors::{Tree, TreePlan};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

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
    drain: std::time::Duration,
) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        let tree = Tree::start(&tree);
        on_tree(&tree);
        App::new()
            .app_data(web::Data::new(plan.clone()))
            .app_data(web::Data::new(lifecycle.clone()))
            .app_data(web::Data::new(tree.dispatcher))
            .configure(routes::public)
            .wrap(from_fn(routes::every_answer))
    })
    .workers(settings.workers)
    .client_request_timeout(settings.head_timeout)
    .keep_alive(settings.keep_alive)
    .tcp_nodelay(true)
    .shutdown_timeout(drain.as_secs())
    .disable_signals()
    .listen(listener)?
    .run();
    Ok(server)
}

/// Serves the operators' listener.
///
/// # Errors
///
/// If the socket cannot be used.
pub fn serve_admin(listener: TcpListener, plan: AdminPlan) -> io::Result<Server> {
    let server =
        HttpServer::new(move || App::new().app_data(web::Data::new(plan.clone())).configure(routes::admin))
            .workers(1)
            .shutdown_timeout(1)
            .disable_signals()
            .listen(listener)?
            .run();
    Ok(server)
}
