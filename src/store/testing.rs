//! A scripted store, for tests of everything above the backends.

mod cluster;

use std::{
    collections::HashMap,
    io::ErrorKind::{ConnectionAborted, ConnectionRefused},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all, pending},
};
use prometheus::Registry;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep},
};

pub(crate) use self::cluster::ScriptedCluster;
use super::{
    BackendError, Connection, Connector, FailedAttempt, Found, Link, LinkHealth, LinkPolicy, Redirect,
    ReplyFuture, Role, Size, Step, StoreHealth, StoreMetrics,
};
use crate::testing::settle;

/// The store's reaction to a command.
#[derive(Debug, Clone, Default)]
pub(crate) enum Act {
    #[default]
    Answer,
    Fail(BackendError),
    FailAfter(Duration, BackendError),
    /// Nothing comes back, not a byte.
    Hang,
    /// Answers after this time, or when healed; until then without a byte.
    Slow(Duration),
    /// As `Slow`, but bytes keep coming.
    Trickle(Duration),
    Panic,
}

/// Connects to the scripted store, and is the script. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
    healed: watch::Sender<()>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) connect: Act,
    pub(crate) get: Act,
    pub(crate) get_many: Act,
    pub(crate) set: Act,
    /// Connections end as soon as they are created.
    pub(crate) short_lived: bool,
    /// Only commands on this connection are affected; 0 is all.
    pub(crate) only_connection: usize,
    pub(crate) values: HashMap<String, Vec<u8>>,
    /// Whether it is a node of a cluster.
    pub(crate) is_shard: bool,
    /// The keys that another node of the cluster has.
    pub(crate) redirects: HashMap<String, Redirect>,
    /// The keys that were asked for with `asking`.
    pub(crate) asked: Vec<String>,
    pub(crate) connects: Vec<Instant>,
    pub(crate) gets: usize,
    /// Whether look-ups are asked for together.
    pub(crate) gathers: bool,
    /// The number of keys of each question for some keys of the cache.
    pub(crate) together: Vec<usize>,
    /// The number of keys of each write of some keys.
    pub(crate) written_together: Vec<usize>,
    pub(crate) sets: usize,
    /// The connection of the last write, from 1.
    pub(crate) last_set: usize,
    /// Whether roles use more than one connection to the store.
    pub(crate) is_one_stream: bool,
    /// The connection of each `get_many`, from 1.
    pub(crate) get_manys: Vec<usize>,
    /// The sizes of values that the store reports; unknown for other keys.
    pub(crate) sizes: HashMap<String, Size>,
    /// The time of the last `get_many`.
    pub(crate) last_sent: Option<Instant>,
    pub(crate) probes: Vec<Instant>,
    open: Vec<watch::Sender<bool>>,
}

/// One connection to the scripted store.
#[derive(Debug)]
struct Wire {
    script: Script,
    number: usize,
    closed: watch::Sender<bool>,
    owed_since: Arc<Mutex<Option<Instant>>>,
}

// ===== impl Script =====

impl Script {
    /// Reads or changes the script.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.clone())
    }

    /// From now on every command is answered, also one that was only slow.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.connect = Act::Answer;
        state.get = Act::Answer;
        state.get_many = Act::Answer;
        state.set = Act::Answer;
        drop(state);
        self.healed.send_replace(());
    }

    /// Every command fails this way; new connections are created all the same.
    pub(crate) fn commands(&self, act: &Act) {
        let mut state = self.state();
        state.get = act.clone();
        state.get_many = act.clone();
        state.set = act.clone();
    }

    /// The server is gone: connections end, and new ones are rejected.
    pub(crate) fn refuse_connects(&self) {
        self.state().connect = Act::Fail(BackendError::Disconnected(ConnectionRefused));
        self.cut();
    }

    /// Ends all connections.
    pub(crate) fn cut(&self) {
        for connection in self.state().open.drain(..) {
            connection.send_replace(true);
        }
    }

    /// The number of connections that were created, or tried.
    pub(crate) fn connects(&self) -> usize {
        self.state().connects.len()
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.state().open.iter().filter(|closed| !*closed.borrow()).count()
    }

    /// Performs `act`, then `answer`.
    fn play<T: Send + 'static>(
        &self,
        act: Act,
        answer: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> ReplyFuture<T> {
        let (script, mut healed) = (self.clone(), self.healed.subscribe());
        async move {
            match act {
                Act::Answer => {}
                Act::Fail(error) => return Err(error),
                Act::FailAfter(delay, error) => {
                    sleep(delay).await;
                    return Err(error);
                }
                Act::Hang => pending().await,
                Act::Slow(delay) | Act::Trickle(delay) => select! {
                    () = sleep(delay) => {}
                    _ = healed.changed() => {}
                },
                Act::Panic => panic!("as the script says"),
            }
            Ok(answer(&mut script.state()))
        }
        .boxed()
    }
}

impl Connector for Script {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let act = {
            let mut state = self.state();
            state.connects.push(Instant::now());
            state.connect.clone()
        };
        let script = self.clone();
        self.play(act, move |state| {
            let closed = watch::Sender::new(state.short_lived);
            state.open.push(closed.clone());
            let connection: Arc<dyn Connection> =
                Arc::new(Wire { number: state.connects.len(), script, closed, owed_since: Arc::default() });
            connection
        })
    }

    fn is_one_stream(&self) -> bool {
        self.state().is_one_stream
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn address(&self) -> String {
        "scripted:1".to_owned()
    }
}

// ===== impl Wire =====

impl Wire {
    fn act(&self, state: &State, act: &Act) -> Act {
        if state.only_connection == 0 || state.only_connection == self.number {
            act.clone()
        } else {
            Act::Answer
        }
    }

    fn command<T: Send + 'static>(
        &self,
        act: Act,
        answer: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> ReplyFuture<T> {
        if matches!(act, Act::Hang | Act::Slow(_)) {
            lock(&self.owed_since).get_or_insert_with(Instant::now);
        }
        let (owed_since, mut closed) = (self.owed_since.clone(), self.closed.subscribe());
        let reply = self.script.play(act, answer);
        async move {
            let cut = async { closed.wait_for(|closed| *closed).await.map(drop) };
            select! {
                biased;
                _ = cut => Err(BackendError::Disconnected(ConnectionAborted)),
                reply = reply => {
                    *lock(&owed_since) = None;
                    reply
                }
            }
        }
        .boxed()
    }
}

impl Connection for Wire {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        let act = {
            let mut state = self.script.state();
            if key == "uid:probe" {
                state.probes.push(Instant::now());
            } else {
                state.gets += 1;
            }
            self.act(&state, &state.get)
        };
        let reply = self
            .command(act, move |state| (state.redirects.get(&key).cloned(), state.values.get(&key).cloned()));
        async move {
            match reply.await? {
                (Some(redirect), _) => Err(BackendError::Redirected(Box::new(redirect))),
                (None, value) => Ok(value),
            }
        }
        .boxed()
    }

    fn gathers(&self) -> bool {
        self.script.state().gathers
    }

    fn get_together(&self, keys: Vec<String>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let act = {
            let mut state = self.script.state();
            if keys.iter().any(|key| key == "uid:probe") {
                state.probes.push(Instant::now());
            } else {
                state.together.push(keys.len());
            }
            self.act(&state, &state.get)
        };
        self.command(act, move |state| keys.iter().map(|key| state.values.get(key).cloned()).collect())
    }

    fn get_each(&self, keys: Arc<[String]>, asking: bool) -> ReplyFuture<Vec<Found>> {
        let act = {
            let mut state = self.script.state();
            if keys.iter().any(|key| key == "i:probe") {
                state.probes.push(Instant::now());
            } else {
                state.get_manys.push(self.number);
                if asking {
                    state.asked.extend(keys.iter().cloned());
                }
            }
            self.act(&state, &state.get_many)
        };
        self.command(act, move |state| {
            let found = |key: &String| match state.redirects.get(key) {
                Some(redirect) if !asking => Found::Elsewhere(Box::new(redirect.clone())),
                _ => Found::Value(state.values.get(key).cloned()),
            };
            keys.iter().map(found).collect()
        })
    }

    fn is_shard(&self) -> bool {
        self.script.state().is_shard
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        let act = {
            let mut state = self.script.state();
            if keys.iter().any(|key| key == "i:probe") {
                state.probes.push(Instant::now());
            } else {
                state.get_manys.push(self.number);
                state.last_sent = Some(Instant::now());
            }
            self.act(&state, &state.get_many)
        };
        self.command(act, move |state| keys.iter().map(|key| state.values.get(key).cloned()).collect())
    }

    fn sizes(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Size>>> {
        self.command(Act::Answer, move |state| keys.iter().map(|key| state.sizes.get(key).copied()).collect())
    }

    fn set(&self, key: String, value: Vec<u8>, _: Duration) -> ReplyFuture<()> {
        let act = {
            let mut state = self.script.state();
            state.sets += 1;
            state.last_set = self.number;
            self.act(&state, &state.set)
        };
        let reply = self.command(act, move |state| {
            let redirect = state.redirects.get(&key).cloned();
            if redirect.is_none() {
                state.values.insert(key, value);
            }
            redirect
        });
        async move {
            match reply.await? {
                Some(redirect) => Err(BackendError::Redirected(Box::new(redirect))),
                None => Ok(()),
            }
        }
        .boxed()
    }

    fn set_together(
        &self,
        entries: Vec<(String, Vec<u8>, Duration)>,
    ) -> ReplyFuture<Vec<Result<(), BackendError>>> {
        self.script.state().written_together.push(entries.len());
        join_all(entries.into_iter().map(|(key, value, ttl)| self.set(key, value, ttl))).map(Ok).boxed()
    }

    fn silent_for(&self) -> Duration {
        lock(&self.owed_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        let mut closed = self.closed.subscribe();
        async move {
            let _ = closed.wait_for(|closed| *closed).await;
            BackendError::Disconnected(ConnectionAborted)
        }
        .boxed()
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The health of a role, with separate metrics.
pub(crate) fn status(role: Role) -> Arc<StoreHealth> {
    StoreHealth::new(role, "scripted:1".to_owned(), StoreMetrics::register(&Registry::new()).unwrap())
}

pub(crate) fn health(role: Role) -> LinkHealth {
    LinkHealth::new(status(role))
}

/// Every error that a backend can report, once.
pub(crate) fn every_error() -> Vec<BackendError> {
    let code = || "CODE".to_owned();
    let attempt = FailedAttempt {
        server: "127.0.0.1:1".to_owned(),
        step: Step::Select,
        error: BackendError::Refused { code: code() },
    };
    vec![
        BackendError::Disconnected(ConnectionAborted),
        BackendError::Connect(vec![attempt]),
        BackendError::Unresolved { host: "redis".to_owned(), cause: "broken".to_owned() },
        BackendError::NoPassword("password: is empty".to_owned()),
        BackendError::NoTopology("broken".to_owned()),
        BackendError::SlotsMoving,
        BackendError::Protocol,
        BackendError::TimedOut,
        BackendError::NotServing { code: code() },
        BackendError::ReadOnly,
        BackendError::Denied { code: code() },
        BackendError::WritesRefused { code: code() },
        BackendError::TooManyWrites,
        BackendError::WrongType,
        BackendError::CrossSlot,
        BackendError::TooLarge,
        BackendError::Refused { code: code() },
        BackendError::Storage("broken".to_owned()),
        BackendError::Damaged("broken".to_owned()),
    ]
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);
/// The timeout of the links below.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(150);

/// A link to the scripted store.
pub(crate) fn start_link(script: &Script, role: Role) -> Link {
    Link::start(script.connector(), LinkPolicy::new(TIMEOUT), health(role)).0
}

/// Returns once the link's breaker is open.
pub(crate) async fn until_open(link: &Link) {
    let begun = Instant::now();
    while !link.state().is_open() {
        assert!(begun.elapsed() < 5 * SECOND, "the breaker did not open");
        settle().await;
    }
}
