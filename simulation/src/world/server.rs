//! A simulated server of a store: its data, its users, and everything that can be wrong with it.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use protocols::{iproto, meta, resp};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split},
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    group::View,
    wire::{Direction, Wire},
};
use crate::script::Protocol;

/// The databases of a server.
pub const DATABASES: usize = 4;

/// Bytes that a socket's buffer holds.
const SOCKET_BUFFER: usize = 64 << 10;

/// A step of the log-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogIn {
    /// The password.
    Auth,
    /// The choice of the database.
    Select,
    /// The proof that it answers.
    Ping,
}

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Text(Vec<u8>),
    /// Any other kind.
    OtherKind,
}

/// A script that runs: the server answers nothing at first, and then that it is busy.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunningScript {
    pub(super) busy_from: Instant,
}

/// A server. Clones are the same one.
#[derive(Clone)]
pub struct Server(Arc<Shared>);

struct Shared {
    name: String,
    protocol: Protocol,
    state: Mutex<State>,
    changed: Notify,
}

/// The state of a server, to be changed by the faults.
#[derive(Default)]
pub(super) struct State {
    /// Connections are refused.
    pub(super) is_down: bool,
    /// Packets to and from it get lost, and so does every connection that there is.
    pub(super) is_unreachable: bool,
    /// It answers nothing; the kernel still accepts.
    pub(super) is_frozen: bool,
    pub(super) script: Option<RunningScript>,
    pub(super) is_loading: bool,
    /// The error that a write gets.
    pub(super) refuses_writes: Option<&'static str>,
    /// The step of new log-ins that is answered with this error.
    pub(super) refuses_step: Option<(LogIn, &'static str)>,
    pub(super) is_full: bool,
    /// The user and password that it demands.
    pub(super) log_in: Option<(&'static str, String)>,
    pub(super) latency: Duration,
    /// The time between two bytes that it sends.
    pub(super) gap: Duration,
    /// Its part in a group.
    pub(super) member: Option<Member>,
    pub(super) databases: [BTreeMap<String, Entry>; DATABASES],
    wires: Vec<Weak<Wire>>,
}

/// A node of a group, or a sentinel.
pub(super) struct Member {
    /// The number of the node; `None` for a sentinel.
    pub(super) me: Option<usize>,
    /// Its knowledge.
    pub(super) view: View,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) expires: Option<Instant>,
}

pub(super) struct Session {
    pub(super) database: usize,
    pub(super) has_logged_in: bool,
    /// The last command was `ASKING`.
    pub(super) is_asking: bool,
}

// ===== impl Server =====

impl Server {
    pub(super) fn new(
        name: String,
        protocol: Protocol,
        log_in: Option<(&'static str, String)>,
        latency: Duration,
    ) -> Self {
        let state = State { log_in, latency, ..State::default() };
        Self(Arc::new(Shared { name, protocol, state: Mutex::new(state), changed: Notify::new() }))
    }

    /// Its name in sentences.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Changes its state.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.notify_waiters();
    }

    /// Stores a value that never expires, or removes it.
    pub(crate) fn put(&self, database: usize, key: String, value: Option<Value>) {
        let entries = &mut self.lock().databases[database];
        match value {
            Some(value) => _ = entries.insert(key, Entry { value, expires: None }),
            None => _ = entries.remove(&key),
        }
    }

    /// Whether nothing reaches it, or comes from it.
    pub(super) fn is_away(&self) -> bool {
        let state = self.lock();
        state.is_down || state.is_unreachable || state.is_frozen
    }

    /// Gives a value in database 0 away.
    pub(super) fn hand_over(&self, key: &str, to: &Self) {
        let entry = self.lock().databases[0].remove(key);
        if let Some(entry) = entry {
            to.lock().databases[0].insert(key.to_owned(), entry);
        }
    }

    /// Takes over another server's data.
    pub(super) fn copy_of(&self, other: &Self) {
        let databases = other.lock().databases.clone();
        self.lock().databases = databases;
    }

    /// Removes the keys for which `lost` says so.
    pub(super) fn lose(&self, database: usize, lost: impl Fn(&str) -> bool) {
        self.lock().databases[database].retain(|key, _| !lost(key));
    }

    /// Does something to each connection.
    pub(super) fn each_wire(&self, act: impl Fn(&Wire)) {
        let wires = self.wires();
        wires.iter().for_each(|wire| act(wire));
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.wires().len()
    }

    fn wires(&self) -> Vec<Arc<Wire>> {
        let mut state = self.lock();
        state.wires.retain(|wire| wire.strong_count() > 0);
        state.wires.iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new connection.
    pub(super) async fn accept(self) -> io::Result<DuplexStream> {
        let latency = self.lock().latency;
        tokio::time::sleep(latency).await;
        if self.lock().is_unreachable {
            return std::future::pending().await;
        }
        if self.lock().is_down {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (client, near) = duplex(SOCKET_BUFFER);
        let (far, served) = duplex(SOCKET_BUFFER);
        let wire = Arc::new(Wire::default());
        self.lock().wires.push(Arc::downgrade(&wire));
        tokio::spawn(async move {
            let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
            let delay = || {
                let state = self.lock();
                (state.latency, Duration::ZERO)
            };
            let delay_back = || {
                let state = self.lock();
                (state.latency, state.gap.max(wire.gap()))
            };
            tokio::join!(
                wire.carry(near_read, far_write, Direction::ToServer, delay),
                wire.carry(far_read, near_write, Direction::ToClient, delay_back),
                self.serve(&wire, served),
            );
        });
        Ok(client)
    }

    async fn serve(&self, wire: &Wire, mut stream: DuplexStream) {
        let protocol = self.0.protocol;
        if self.lock().is_full {
            _ = stream.write_all(&protocol.is_full()).await;
            return;
        }
        if protocol == Protocol::Tarantool && stream.write_all(&iproto::greeting()).await.is_err() {
            return;
        }
        let has_logged_in = protocol != Protocol::Tarantool && self.lock().log_in.is_none();
        let mut session = Session { database: 0, has_logged_in, is_asking: false };
        let mut received = Vec::new();
        loop {
            while let Some(request) = Request::take(protocol, &mut received) {
                self.is_free().await;
                if wire.is_cut() {
                    return;
                }
                let reply = self.lock().answer(&mut session, &request);
                if stream.write_all(&wire.tampered(reply, protocol)).await.is_err() {
                    return;
                }
            }
            if stream.read_buf(&mut received).await.is_ok_and(|count| count > 0) {
                continue;
            }
            return;
        }
    }

    /// Waits while the server executes nothing.
    async fn is_free(&self) {
        loop {
            let changed = self.0.changed.notified();
            let busy_from = {
                let state = self.lock();
                match state.script {
                    _ if state.is_frozen => None,
                    // Only Redis says that it is busy.
                    Some(_) if self.0.protocol != Protocol::Redis => None,
                    Some(script) if script.busy_from > Instant::now() => Some(script.busy_from),
                    _ => return,
                }
            };
            match busy_from {
                None => changed.await,
                Some(busy_from) => {
                    tokio::select! {
                        biased;
                        () = changed => {}
                        () = sleep_until(busy_from) => {}
                    }
                }
            }
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

// ===== impl Request =====

/// A request of a client.
enum Request {
    Redis(Vec<String>),
    Memcached(meta::Command),
    Tarantool(iproto::Request),
}

impl Request {
    fn take(protocol: Protocol, received: &mut Vec<u8>) -> Option<Self> {
        match protocol {
            Protocol::Redis => {
                let words = resp::take_command(received)?;
                Some(Self::Redis(
                    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
                ))
            }
            Protocol::Memcached => meta::take_command(received).map(Self::Memcached),
            Protocol::Tarantool => iproto::take_request(received).map(Self::Tarantool),
        }
    }
}

impl Protocol {
    /// The bytes that a client gets in place of a connection.
    fn is_full(self) -> Vec<u8> {
        match self {
            Self::Redis => resp::error("ERR max number of clients reached"),
            Self::Memcached => meta::error("ERROR Too many open connections"),
            Self::Tarantool => Vec::new(),
        }
    }
}

// ===== impl State =====

impl State {
    fn answer(&mut self, session: &mut Session, request: &Request) -> Vec<u8> {
        match request {
            Request::Redis(words) => {
                self.execute_redis(session, &words.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Request::Memcached(command) => self.execute_meta(command),
            Request::Tarantool(request) => self.execute_iproto(&mut session.has_logged_in, request),
        }
    }

    pub(super) fn find(&self, database: usize, key: &str) -> Option<&Value> {
        let entry = self.databases[database].get(key)?;
        entry.expires.is_none_or(|at| at > Instant::now()).then_some(&entry.value)
    }
}
