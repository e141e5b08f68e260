//! memcached and Tarantool behind the service: doubles, real servers, and the network to them.
//!
//! memcached is the cache only, beside a healthy store of interests.

use std::time::{Duration, Instant};

use testkit::{
    Conditions, Loss, MemcachedServer, Proxy, RespServer, ServerProcess, TaggedServer, TarantoolServer,
    bench::client::stored,
};
use tokio::time::sleep;

use crate::{
    row::{Cause, On},
    world::filled_store,
};

/// The time between two cuts of all connections.
const CUT_EVERY: Duration = Duration::from_millis(100);

/// A store of one of these kinds.
pub struct TaggedWorld {
    server: Server,
    /// The network in between, if the fault is there.
    proxy: Option<Proxy>,
    /// The interests, if the server has none.
    interests: Option<RespServer>,
}

enum Server {
    Double(TaggedServer),
    Memcached(MemcachedServer),
    Tarantool(TarantoolServer),
}

// ===== impl TaggedWorld =====

impl TaggedWorld {
    /// The store that `cause` needs, healthy and filled, or in its state before the service starts.
    pub async fn new(cause: Cause, on: On) -> Self {
        let is_real = matches!(cause, Cause::Kill9 | Cause::Stop | Cause::CutAll);
        let server = match (on, is_real) {
            (On::Memcached, true) => Server::Memcached(MemcachedServer::start().await),
            (On::Memcached, false) => Server::Double(TaggedServer::memcached()),
            (On::Tarantool, false) => Server::Double(TaggedServer::tarantool()),
            (On::Tarantool | On::Redis, _) => {
                let server = TarantoolServer::start().await;
                for (key, value) in stored() {
                    server.put(&key, &value).await;
                }
                Server::Tarantool(server)
            }
        };
        if let Server::Double(double) = &server {
            stored().for_each(|(key, value)| double.put(&key, value));
            if matches!(cause, Cause::DownAtStart) {
                double.door.shut();
            }
        }
        let is_far = matches!(cause, Cause::Latency(_) | Cause::Loss(_) | Cause::CutAll);
        let proxy = is_far.then(|| Proxy::seeded(server.addr(), 13));
        Self { server, proxy, interests: (on == On::Memcached).then(filled_store) }
    }

    pub fn settings(&self) -> Vec<String> {
        let addr = self.server.addr().to_string();
        let at = self.proxy.as_ref().map_or(addr.clone(), |proxy| proxy.addr().to_string());
        let url = match &self.server {
            Server::Double(double) => double.url(),
            Server::Memcached(server) => server.url(),
            Server::Tarantool(server) => server.url(),
        };
        let url = url.replace(&addr, &at);
        match &self.interests {
            None => vec![format!("store.url={url}")],
            Some(store) => vec![format!("store.url={}", store.url()), format!("cache.url={url}")],
        }
    }

    /// The fault begins.
    pub fn break_down(&self, cause: Cause) {
        match (cause, &self.server, &self.proxy) {
            (Cause::Answers(wrong), Server::Double(double), _) => double.answer_wrongly(wrong(), usize::MAX),
            (Cause::Freeze, Server::Double(double), _) => double.door.freeze_existing(),
            (Cause::Clog, Server::Double(double), _) => {
                double.door.clog();
                double.door.drop_existing();
            }
            (Cause::Flap, Server::Double(double), _) => double.door.flap(CUT_EVERY / 2),
            (Cause::Latency(latency), _, Some(proxy)) => {
                proxy.set(Conditions { latency: latency / 2, ..Conditions::default() });
            }
            (Cause::Loss(chance), _, Some(proxy)) => {
                let loss = Some(Loss { chance, stall: Duration::from_millis(200) });
                proxy.set(Conditions { loss, ..Conditions::default() });
            }
            (Cause::Kill9, server, _) => server.process().kill9(),
            (Cause::Stop, server, _) => server.process().sigstop(),
            _ => {}
        }
    }

    /// The activity during the fault.
    pub async fn keep_breaking(&self, cause: Cause, until: Instant) {
        while matches!(cause, Cause::CutAll) && Instant::now() < until {
            self.proxy.iter().for_each(|proxy| proxy.door.drop_existing());
            sleep(CUT_EVERY).await;
        }
    }

    /// The fault ends. Returns when it has.
    pub async fn heal(&self, cause: Cause) {
        self.proxy.iter().for_each(Proxy::heal);
        match (&self.server, cause) {
            (Server::Double(double), _) => double.heal(),
            (server, Cause::Stop) => server.process().sigcont(),
            (Server::Memcached(server), Cause::Kill9) => server.restart().await,
            (Server::Tarantool(server), Cause::Kill9) => server.restart().await,
            (Server::Memcached(_) | Server::Tarantool(_), _) => {}
        }
    }

    /// The number of connections that the store has accepted so far.
    pub fn accepted(&self) -> Option<usize> {
        match (&self.server, &self.proxy) {
            (_, Some(proxy)) => Some(proxy.door.accepted()),
            (Server::Double(double), None) => Some(double.door.accepted()),
            (Server::Memcached(_) | Server::Tarantool(_), None) => None,
        }
    }
}

// ===== impl Server =====

impl Server {
    fn addr(&self) -> std::net::SocketAddr {
        match self {
            Self::Double(double) => double.addr(),
            Self::Memcached(server) => server.addr(),
            Self::Tarantool(server) => server.addr(),
        }
    }

    fn process(&self) -> &ServerProcess {
        match self {
            Self::Double(_) => panic!("a double is not a process"),
            Self::Memcached(server) => server,
            Self::Tarantool(server) => server,
        }
    }
}
