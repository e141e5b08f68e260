//! A store in this process behind a switch: it serves, is gone, hangs, refuses writes, or makes the actor that asks it panic.
//!
//! Only the demo creates one, and hands it to the service in place of the store of the settings. So the service of `serve`
//! contains no fault that a setting, a variable or a feature could turn on.

use std::{
    io,
    panic::panic_any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, ready},
};
use tokio::{
    select,
    sync::watch,
    time::{Instant, timeout},
};

use crate::store::{BackendError, Connection, Connector, Memory, ReplyFuture};

/// The message of an injected panic.
pub(super) const INJECTED: &str = "a panic that the demo injects";

/// Maximum time to connect, as for the other stores.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

/// The key of the links' own probes of the cache.
const PROBE: &str = "uid:probe";

/// The behaviour of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It answers.
    Serving,
    /// Its connections break, and it refuses new ones.
    Killed,
    /// It accepts commands, and answers them when it no longer hangs.
    Hanging,
    /// It answers reads, and refuses writes as a Redis without memory does.
    RefusingWrites,
    /// The cache's actor panics in each tenth look-up.
    PanickingOnTenth,
    /// The cache's actor panics in every look-up.
    Panicking,
}

/// Clones share the store and its switch.
#[derive(Debug, Clone)]
pub(super) struct SwitchedStore(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    memory: Memory,
    switch: watch::Sender<Switch>,
    look_ups: AtomicU64,
    written: AtomicU64,
}

/// The position of the switch.
#[derive(Debug, Clone, Copy)]
struct Switch {
    mode: Mode,
    since: Instant,
}

/// A connection, until it is closed or the store is killed.
struct SwitchedConnection {
    store: Arc<Shared>,
    since: Instant,
    is_open: watch::Sender<bool>,
}

// ===== impl SwitchedStore =====

impl SwitchedStore {
    /// A store that serves the contents of `memory`.
    pub(super) fn new(memory: Memory) -> Self {
        let (switch, _) = watch::channel(Switch { mode: Mode::Serving, since: Instant::now() });
        Self(Arc::new(Shared { memory, switch, look_ups: AtomicU64::new(0), written: AtomicU64::new(0) }))
    }

    /// Behaves like this from now on.
    pub(super) fn switch_to(&self, mode: Mode) {
        self.0.switch.send_replace(Switch { mode, since: Instant::now() });
    }

    /// The number of accepted writes.
    pub(super) fn written(&self) -> u64 {
        self.0.written.load(Relaxed)
    }
}

impl Connector for SwitchedStore {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let store = self.0.clone();
        async move {
            let mut switch = store.switch.subscribe();
            match timeout(CONNECT_TIMEOUT, not_hanging(&mut switch)).await {
                Err(_) => Err(BackendError::TimedOut),
                Ok(Mode::Killed) => Err(BackendError::Disconnected(io::ErrorKind::ConnectionRefused)),
                Ok(_) => {
                    let (is_open, _) = watch::channel(true);
                    let connection = SwitchedConnection { store, since: Instant::now(), is_open };
                    let connection: Arc<dyn Connection> = Arc::new(connection);
                    Ok(connection)
                }
            }
        }
        .boxed()
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn address(&self) -> String {
        "the demo's store".to_owned()
    }
}

// ===== impl Shared =====

impl Shared {
    fn mode(&self) -> Mode {
        self.switch.borrow().mode
    }

    /// Panics if the switch says so. The cache's actor calls this while it handles a message, so it is the actor's panic.
    #[expect(clippy::panic, reason = "it is the fault that the demo injects")]
    fn panic_if_told(&self, key: &str) {
        let panics = match self.mode() {
            Mode::Serving | Mode::Killed | Mode::Hanging | Mode::RefusingWrites => false,
            Mode::PanickingOnTenth => key != PROBE && self.look_ups.fetch_add(1, Relaxed) % 10 == 9,
            Mode::Panicking => true,
        };
        if panics {
            panic_any(INJECTED);
        }
    }

    fn write(&self, mode: Mode, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        if mode == Mode::RefusingWrites {
            return ready(Err(BackendError::WritesRefused { code: "OOM".to_owned() })).boxed();
        }
        self.written.fetch_add(1, Relaxed);
        self.memory.set(key, value, ttl)
    }
}

// ===== impl SwitchedConnection =====

impl SwitchedConnection {
    /// The store's reply, once it no longer hangs.
    fn reply<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Shared, Mode) -> ReplyFuture<T> + Send + 'static,
    ) -> ReplyFuture<T> {
        let (store, mut is_open) = (self.store.clone(), self.is_open.subscribe());
        async move {
            let mut switch = store.switch.subscribe();
            let mode = select! {
                biased;
                () = closed(&mut is_open) => return Err(lost()),
                mode = not_hanging(&mut switch) => mode,
            };
            if mode == Mode::Killed {
                return Err(lost());
            }
            ask(&store, mode).await
        }
        .boxed()
    }
}

impl Connection for SwitchedConnection {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        self.store.panic_if_told(&key);
        self.reply(move |store, _| store.memory.get(key))
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        self.reply(move |store, _| store.memory.get_many(keys))
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        self.reply(move |store, mode| store.write(mode, key, value, ttl))
    }

    /// The links send probes all the time, so a store that hangs owes an answer.
    fn silent_for(&self) -> Duration {
        let Switch { mode, since } = *self.store.switch.borrow();
        if mode == Mode::Hanging { since.max(self.since).elapsed() } else { Duration::ZERO }
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        let (mut switch, mut is_open) = (self.store.switch.subscribe(), self.is_open.subscribe());
        async move {
            select! {
                () = closed(&mut is_open) => {}
                () = killed(&mut switch) => {}
            }
            lost()
        }
        .boxed()
    }

    fn close(&self) {
        self.is_open.send_replace(false);
    }
}

/// Resolves when the connection is closed or dropped.
async fn closed(is_open: &mut watch::Receiver<bool>) {
    _ = is_open.wait_for(|is_open| !is_open).await;
}

/// Resolves when the store is killed.
async fn killed(switch: &mut watch::Receiver<Switch>) {
    _ = switch.wait_for(|switch| switch.mode == Mode::Killed).await;
}

/// The mode, as soon as the store does not hang. A store that is gone counts as killed.
async fn not_hanging(switch: &mut watch::Receiver<Switch>) -> Mode {
    match switch.wait_for(|switch| switch.mode != Mode::Hanging).await {
        Ok(switch) => switch.mode,
        Err(_) => Mode::Killed,
    }
}

fn lost() -> BackendError {
    BackendError::Disconnected(io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests;
