//! The door of an endpoint: it decides which connections are accepted, and the fate of existing ones.
//!
//! The RESP server and the proxy handle a connection differently, but lose it in the same ways. So the faults of
//! connecting and of whole connections live here, once. Every change has taken effect when its call returns, with one
//! exception: a connection only counts as existing once it has been accepted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::full_backlog::FullBacklog;
use super::port::ReservedPort;

const BACKLOG: i32 = 1024;

type Serve = dyn for<'a> Fn(usize, &'a mut TcpStream) -> BoxFuture<'a, ()> + Send + Sync;

/// A port of the loopback interface, and the connections that came through it.
///
/// Dropping it ends every task and closes every connection.
pub struct Door {
    inner: Arc<Inner>,
}

struct Inner {
    port: ReservedPort,
    serve: Box<Serve>,
    accepted: AtomicUsize,
    held: AtomicUsize,
    decrees: watch::Sender<Decrees>,
    state: Mutex<State>,
    tasks: Mutex<JoinSet<()>>,
}

struct State {
    way: Way,
    /// Counts the callers' orders, so that a flapping door stops as soon as another order comes.
    orders: usize,
}

enum Way {
    Shut,
    Open(#[expect(dead_code, reason = "held for its Drop")] Listening),
    Clogged(#[expect(dead_code, reason = "held for its Drop")] FullBacklog),
}

/// Connects are refused as soon as this is dropped, even before its task is dropped.
struct Listening {
    listener: Arc<TcpListener>,
    accepting: AbortHandle,
}

/// Each decree applies to all connections with a number below it.
#[derive(Clone, Copy, Default)]
struct Decrees {
    frozen: usize,
    closed: usize,
    reset: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Live,
    Frozen,
    Closed,
    Reset,
}

// ===== impl Door =====

impl Door {
    /// Opens a door on a free port. `serve` gets the number of a connection, counted from 0, and the connection.
    pub fn new<S>(serve: S) -> Self
    where
        S: for<'a> Fn(usize, &'a mut TcpStream) -> BoxFuture<'a, ()> + Send + Sync + 'static,
    {
        let inner = Inner {
            port: ReservedPort::new(),
            serve: Box::new(serve),
            accepted: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            decrees: watch::Sender::new(Decrees::default()),
            state: Mutex::new(State { way: Way::Shut, orders: 0 }),
            tasks: Mutex::default(),
        };
        let door = Self { inner: Arc::new(inner) };
        door.open();
        door
    }

    /// The address to connect to. It stays the same for the life of the door.
    pub fn addr(&self) -> SocketAddr {
        self.inner.port.addr()
    }

    /// The number of connections accepted so far, including those that were turned away.
    pub fn accepted(&self) -> usize {
        self.inner.accepted.load(Ordering::SeqCst)
    }

    /// The number of connections that are served or frozen now.
    pub fn held(&self) -> usize {
        self.inner.held.load(Ordering::SeqCst)
    }

    /// Admits connections. This undoes every change of the door, but not the changes of old connections.
    pub fn open(&self) {
        let listen = || Way::Open(self.inner.listen(None));
        self.inner.order(listen);
    }

    /// Refuses new connections: the port has no listener. Existing ones stay.
    pub fn shut(&self) {
        self.inner.order(|| Way::Shut);
    }

    /// Leaves new connects without an answer, as a firewall that drops packets does. Existing connections stay.
    pub fn clog(&self) {
        self.inner.order(|| Way::Clogged(FullBacklog::on(&self.inner.port)));
    }

    /// Accepts new connections only to close them at once, after sending `last_words` unless empty.
    pub fn turn_away(&self, last_words: &'static str) {
        self.inner.order(|| Way::Open(self.inner.listen(Some(last_words))));
    }

    /// Shuts for `period` and closes all connections, then opens for `period`, and so on until another call.
    pub fn flap(&self, period: Duration) {
        let order = self.inner.order(|| Way::Shut);
        self.inner.spawn(Arc::clone(&self.inner).flap(order, period));
    }

    /// Closes all existing connections.
    pub fn drop_existing(&self) {
        self.inner.decree(|decrees, accepted| decrees.closed = accepted);
    }

    /// Resets all existing connections: the peer gets an RST.
    pub fn reset_existing(&self) {
        self.inner.decree(|decrees, accepted| decrees.reset = accepted);
    }

    /// Leaves all existing connections open but silent for ever: half-open, as after a peer's power cut.
    pub fn freeze_existing(&self) {
        self.inner.decree(|decrees, accepted| decrees.frozen = accepted);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut();
        drop(std::mem::take(&mut *self.inner.tasks.lock().unwrap()));
    }
}

// ===== impl Inner =====

impl Inner {
    /// Changes how connections are accepted, and returns the number of this order.
    fn order(&self, way: impl FnOnce() -> Way) -> usize {
        let mut state = self.state.lock().unwrap();
        state.orders += 1;
        // The port takes one listener at a time, so the old one goes first.
        state.way = Way::Shut;
        state.way = way();
        state.orders
    }

    fn decree(&self, change: impl FnOnce(&mut Decrees, usize)) {
        self.decrees.send_modify(|decrees| change(decrees, self.accepted.load(Ordering::SeqCst)));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().unwrap();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task)
    }

    fn listen(self: &Arc<Self>, last_words: Option<&'static str>) -> Listening {
        let listener = Arc::new(TcpListener::from_std(self.port.listen(BACKLOG)).unwrap());
        let accepting = self.spawn(Arc::clone(self).accept(Arc::clone(&listener), last_words));
        Listening { listener, accepting }
    }

    async fn accept(self: Arc<Self>, listener: Arc<TcpListener>, last_words: Option<&'static str>) {
        loop {
            // Only one connection fails here, or the listener just before this task is aborted.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            stream.set_nodelay(true).unwrap();
            let number = self.accepted.fetch_add(1, Ordering::SeqCst);
            match last_words {
                None => self.spawn(Arc::clone(&self).hold(number, stream)),
                Some(words) => self.spawn(say_and_close(stream, words)),
            };
        }
    }

    async fn hold(self: Arc<Self>, number: usize, mut stream: TcpStream) {
        let _held = Held::count(&self.held);
        let mut decrees = self.decrees.subscribe();
        let mut serving = (self.serve)(number, &mut stream);
        let fate = loop {
            let fate = decrees.borrow_and_update().on(number);
            match fate {
                Fate::Live => tokio::select! {
                    () = &mut serving => break Fate::Closed,
                    _ = decrees.changed() => {}
                },
                // A connection that is not polled neither reads nor writes, and keeps its socket.
                Fate::Frozen => _ = decrees.changed().await,
                Fate::Closed | Fate::Reset => break fate,
            }
        };
        drop(serving);
        if fate == Fate::Reset {
            stream.set_zero_linger().unwrap();
        }
    }

    async fn flap(self: Arc<Self>, order: usize, period: Duration) {
        let mut ticks = tokio::time::interval(period);
        for open in [false, true].into_iter().cycle() {
            ticks.tick().await;
            let mut state = self.state.lock().unwrap();
            if state.orders != order {
                return;
            }
            state.way = Way::Shut;
            if open {
                state.way = Way::Open(self.listen(None));
            } else {
                self.decree(|decrees, accepted| decrees.closed = accepted);
            }
        }
    }
}

/// Waits for the peer to close first: closing with the peer's bytes unread would send an RST that may overtake the
/// words.
async fn say_and_close(mut stream: TcpStream, words: &str) {
    if !words.is_empty()
        && stream.write_all(words.as_bytes()).await.is_ok()
        && stream.shutdown().await.is_ok()
    {
        _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

// ===== impl Listening, Decrees, Held =====

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
        // The task may hold the listener a little longer. On Linux this still ends the listening.
        _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
    }
}

impl Decrees {
    fn on(self, connection: usize) -> Fate {
        match self {
            Self { reset, .. } if connection < reset => Fate::Reset,
            Self { closed, .. } if connection < closed => Fate::Closed,
            Self { frozen, .. } if connection < frozen => Fate::Frozen,
            Self { .. } => Fate::Live,
        }
    }
}

/// Counts a connection while it lives, even if its task is aborted.
struct Held<'a>(&'a AtomicUsize);

impl<'a> Held<'a> {
    fn count(held: &'a AtomicUsize) -> Self {
        held.fetch_add(1, Ordering::SeqCst);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
