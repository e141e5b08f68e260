//! The health of the actors, for readiness, metrics and status pages. It belongs to no metrics library.
//!
//! An actor can be stuck in two ways, and each is detected differently:
//!
//! - It reads no messages. Its supervisor detects that and reports it.
//! - It blocks its thread, and with it its supervisor, which then cannot report anything. So the reader of the health
//!   judges by the time since the supervisor last ran.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{
    awake::AwakeClock,
    instance::Instance,
    report::{ActorReport, ActorTotals, RestartReason},
};

/// The health of all actors, by name. Clones share it. It can be read on any thread.
#[derive(Debug, Clone, Default)]
pub struct ActorsHealth {
    // A std lock: it is only taken when actors start and when health is requested.
    actors: Arc<Mutex<Vec<Arc<ActorHealth>>>>,
    threads: Arc<Threads>,
    clock: Arc<AwakeClock>,
}

/// The health of the actors of one name, over all threads.
pub struct ActorHealth {
    name: &'static str,
    panics: AtomicU64,
    stops: AtomicU64,
    times_stuck: AtomicU64,
    threads: Arc<Threads>,
    clock: Arc<AwakeClock>,
    /// Locked when an actor starts or ends and when health is requested.
    actors: Mutex<Actors>,
}

#[derive(Default)]
struct Actors {
    running: Vec<Arc<Instance>>,
    /// The work of those that have ended.
    ended: ActorTotals,
}

/// Numbers the threads that have actors: each place has a thread and the number of its actors.
#[derive(Debug, Default)]
struct Threads(Mutex<Vec<Option<(ThreadId, usize)>>>);

// ===== impl ActorsHealth =====

impl ActorsHealth {
    /// The health of the actors `names`, which have not been started yet: it reports them from the beginning.
    pub fn of_names(names: &[&'static str]) -> Self {
        let health = Self::default();
        for name in names {
            health.of(name);
        }
        health
    }

    /// The health of the actors called `name`.
    pub fn of(&self, name: &'static str) -> Arc<ActorHealth> {
        let mut actors = lock(&self.actors);
        if let Some(known) = actors.iter().find(|health| health.name == name) {
            return known.clone();
        }
        let health = Arc::new(ActorHealth::new(name, self.threads.clone(), self.clock.clone()));
        actors.push(health.clone());
        health
    }

    /// The health of all names, in the order in which they became known.
    pub fn all(&self) -> Vec<Arc<ActorHealth>> {
        lock(&self.actors).clone()
    }

    /// The longest time for which an actor's thread has been blocked. It is below half a second unless one is, and within a
    /// second and a half after a pause of the whole process. Ask at least once a second: while all threads are blocked, no other
    /// clock runs.
    pub fn longest_block(&self) -> Duration {
        self.all().iter().map(|health| health.longest_block()).max().unwrap_or_default()
    }

    /// A report about each running actor.
    pub fn report(&self) -> Vec<ActorReport> {
        self.all().iter().flat_map(|health| health.report()).collect()
    }
}

// ===== impl ActorHealth =====

impl ActorHealth {
    fn new(name: &'static str, threads: Arc<Threads>, clock: Arc<AwakeClock>) -> Self {
        Self {
            name,
            panics: AtomicU64::new(0),
            stops: AtomicU64::new(0),
            times_stuck: AtomicU64::new(0),
            threads,
            clock,
            actors: Mutex::default(),
        }
    }

    /// The actors' name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number of restarts of actors of this name.
    pub fn restarts(&self) -> u64 {
        RestartReason::ALL.map(|reason| self.restarts_by(reason)).iter().sum()
    }

    /// The number of restarts for that reason.
    pub fn restarts_by(&self, reason: RestartReason) -> u64 {
        self.counter(reason).load(Relaxed)
    }

    /// The number of messages that wait for running actors of this name.
    pub fn mailbox_depth(&self) -> usize {
        lock(&self.actors).running.iter().map(|actor| actor.mailbox_depth()).sum()
    }

    /// Whether any actor of this name restarts too often.
    pub fn is_failing(&self) -> bool {
        self.failing() > 0
    }

    /// Whether any actor of this name reads no messages, or blocks its thread. Can be called on any thread.
    pub fn is_stuck(&self) -> bool {
        self.stuck() > 0
    }

    /// The number of actors that restart too often.
    pub fn failing(&self) -> usize {
        lock(&self.actors).running.iter().filter(|actor| actor.is_failing()).count()
    }

    /// The number of stuck actors.
    pub fn stuck(&self) -> usize {
        lock(&self.actors).running.iter().filter(|actor| actor.is_stuck()).count()
    }

    /// As [`ActorsHealth::longest_block`].
    pub fn longest_block(&self) -> Duration {
        lock(&self.actors).running.iter().map(|actor| actor.silent_for()).max().unwrap_or_default()
    }

    /// The work of all actors of this name so far.
    pub fn totals(&self) -> ActorTotals {
        let actors = lock(&self.actors);
        let mut totals = actors.ended;
        actors.running.iter().for_each(|actor| totals.add(actor.totals()));
        totals
    }

    /// A report about each running actor of this name, in the order of their starts.
    pub fn report(&self) -> Vec<ActorReport> {
        lock(&self.actors).running.iter().map(|actor| actor.report()).collect()
    }

    /// An actor starts on this thread. It counts until it [`ended`](Self::ended).
    pub(crate) fn started(&self) -> Arc<Instance> {
        let actor = Arc::new(Instance::new(self.name, self.threads.enter(), self.clock.clone()));
        lock(&self.actors).running.push(actor.clone());
        actor
    }

    pub(crate) fn ended(&self, actor: &Arc<Instance>) {
        let mut actors = lock(&self.actors);
        actors.running.retain(|running| !Arc::ptr_eq(running, actor));
        actors.ended.add(actor.totals());
        self.threads.leave(actor.worker());
    }

    /// One of its actors failed, and is restarted after `delay`.
    pub(crate) fn failed(
        &self,
        actor: &Instance,
        reason: RestartReason,
        panic: Option<&(dyn Any + Send)>,
        delay: Duration,
    ) {
        self.counter(reason).fetch_add(1, Relaxed);
        actor.failed(reason, panic, delay);
    }

    fn counter(&self, reason: RestartReason) -> &AtomicU64 {
        match reason {
            RestartReason::Panic => &self.panics,
            RestartReason::Stop => &self.stops,
            RestartReason::Stuck => &self.times_stuck,
        }
    }
}

impl fmt::Debug for ActorHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorHealth")
            .field("name", &self.name)
            .field("restarts", &self.restarts())
            .field("failing", &self.is_failing())
            .field("stuck", &self.is_stuck())
            .finish_non_exhaustive()
    }
}

// ===== impl Threads =====

impl Threads {
    /// The number of this thread, which starts an actor.
    fn enter(&self) -> usize {
        let (this, mut threads) = (thread::current().id(), lock(&self.0));
        let known = threads.iter().position(|place| place.is_some_and(|(thread, _)| thread == this));
        let free = || threads.iter().position(Option::is_none);
        let number = known.or_else(free).unwrap_or(threads.len());
        if number == threads.len() {
            threads.push(None);
        }
        if let Some(place) = threads.get_mut(number) {
            *place = Some((this, place.map_or(1, |(_, actors)| actors + 1)));
        }
        number
    }

    /// An actor of this thread has ended.
    fn leave(&self, number: usize) {
        if let Some(place) = lock(&self.0).get_mut(number) {
            *place = place.filter(|(_, actors)| *actors > 1).map(|(thread, actors)| (thread, actors - 1));
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
