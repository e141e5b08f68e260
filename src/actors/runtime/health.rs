//! The health of the actors, as readiness, metrics and the log report it.
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
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

use super::health_gauge::HealthGauge;
use crate::units::millis;

/// A supervisor that has not run for this long is on a blocked thread. It should run every quarter of a second.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);

/// Why an actor was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It panicked.
    Panic,
    /// It stopped.
    Stop,
    /// It no longer read messages.
    Stuck,
}

/// The health of the actors of one name, over all workers.
pub struct ActorHealth {
    name: &'static str,
    restarts: AtomicU64,
    failing: AtomicUsize,
    counter: IntCounterVec,
    mailbox_depth: IntGauge,
    /// One of each running actor. Locked when an actor starts and when readiness is requested.
    heartbeats: Mutex<Vec<Weak<Heartbeat>>>,
}

/// The health of all actors, by name. Clones share it.
#[derive(Debug, Clone)]
pub struct ActorsHealth {
    restarts: IntCounterVec,
    mailbox_depth: IntGaugeVec,
    // A std lock: it is only taken when actors start and when health is requested.
    actors: Arc<Mutex<Vec<Arc<ActorHealth>>>>,
}

/// One actor's signs of life, written on its own thread and read on any other.
pub(super) struct Heartbeat {
    began: Instant,
    /// When its supervisor last ran, in milliseconds since it `began`.
    seen_ms: AtomicU64,
    stuck: AtomicBool,
}

// ===== impl Reason =====

impl Reason {
    const ALL: [Self; 3] = [Self::Panic, Self::Stop, Self::Stuck];

    /// The reason's name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
            Self::Stuck => "stuck",
        }
    }
}

// ===== impl ActorsHealth =====

impl ActorsHealth {
    /// The health of the actors `names`, which have not been started yet. Registers their metrics.
    ///
    /// # Errors
    ///
    /// If one of the metrics is already registered.
    pub fn register(registry: &Registry, names: &[&'static str]) -> prometheus::Result<Self> {
        let restarts = IntCounterVec::new(
            Opts::new("scoring_actor_restarts_total", "Restarts of actors, by the reason."),
            &["actor", "reason"],
        )?;
        let mailbox_depth = IntGaugeVec::new(
            Opts::new(
                "scoring_actor_mailbox_depth",
                "Messages that were sent to an actor and not taken by it yet.",
            ),
            &["actor"],
        )?;
        registry.register(Box::new(restarts.clone()))?;
        registry.register(Box::new(mailbox_depth.clone()))?;
        let health = Self { restarts, mailbox_depth, actors: Arc::default() };
        for name in names {
            health.of(name);
        }
        registry.register(Box::new(HealthGauge::new(health.clone())?))?;
        Ok(health)
    }

    /// The health of the actors called `name`.
    pub fn of(&self, name: &'static str) -> Arc<ActorHealth> {
        let mut actors = self.actors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = actors.iter().find(|health| health.name == name) {
            return known.clone();
        }
        for reason in Reason::ALL {
            self.restarts.with_label_values(&[name, reason.as_str()]);
        }
        let health = Arc::new(ActorHealth {
            name,
            restarts: AtomicU64::new(0),
            failing: AtomicUsize::new(0),
            counter: self.restarts.clone(),
            mailbox_depth: self.mailbox_depth.with_label_values(&[name]),
            heartbeats: Mutex::default(),
        });
        actors.push(health.clone());
        health
    }

    /// The longest time for which an actor's thread has been blocked. It is below half a second unless one is.
    pub fn longest_block(&self) -> Duration {
        self.all().iter().map(|health| health.longest_block()).max().unwrap_or_default()
    }

    /// The health of all actors.
    pub fn all(&self) -> Vec<Arc<ActorHealth>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

// ===== impl ActorHealth =====

impl ActorHealth {
    /// The actors' name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The number of restarts of actors of this name.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// The number of restarts for that reason.
    #[cfg(test)]
    pub(super) fn restarts_by(&self, reason: Reason) -> u64 {
        self.counter.with_label_values(&[self.name, reason.as_str()]).get()
    }

    /// The number of messages that wait for actors of this name.
    pub fn mailbox_depth(&self) -> &IntGauge {
        &self.mailbox_depth
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
    pub(super) fn failing(&self) -> usize {
        self.failing.load(Relaxed)
    }

    /// The number of stuck actors.
    pub(super) fn stuck(&self) -> usize {
        self.heartbeats().iter().filter(|heartbeat| heartbeat.is_stuck()).count()
    }

    fn longest_block(&self) -> Duration {
        self.heartbeats().iter().map(|heartbeat| heartbeat.silent_for()).max().unwrap_or_default()
    }

    /// Those of the running actors.
    fn heartbeats(&self) -> Vec<Arc<Heartbeat>> {
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = Vec::new();
        heartbeats.retain(|heartbeat| {
            let alive = heartbeat.upgrade();
            let is_alive = alive.is_some();
            running.extend(alive);
            is_alive
        });
        running
    }

    /// The heartbeat of an actor that starts. It is checked until it is dropped.
    pub(super) fn new_heartbeat(&self) -> Arc<Heartbeat> {
        let heartbeat = Arc::new(Heartbeat {
            began: Instant::now(),
            seen_ms: AtomicU64::new(0),
            stuck: AtomicBool::new(false),
        });
        self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&heartbeat));
        heartbeat
    }

    pub(super) fn restarted(&self, reason: Reason, panic: Option<&(dyn Any + Send)>, delay: Duration) {
        self.restarts.fetch_add(1, Relaxed);
        self.counter.with_label_values(&[self.name, reason.as_str()]).inc();
        // Only a message that is a literal in the source is logged: one made at run time could hold personal data.
        let panic = panic.and_then(|panic| panic.downcast_ref::<&'static str>()).copied();
        tracing::error!(
            actor = self.name,
            reason = reason.as_str(),
            panic,
            delay_ms = millis(delay),
            "actor restarts"
        );
    }

    pub(super) fn set_failing(&self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => {
                self.failing.fetch_add(1, Relaxed);
                tracing::error!(actor = self.name, "actor is failing");
            }
            (true, false) => {
                self.failing.fetch_sub(1, Relaxed);
                tracing::info!(actor = self.name, "actor is well again");
            }
            (true, true) | (false, false) => {}
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

// ===== impl Heartbeat =====

impl Heartbeat {
    /// Notes that the supervisor runs.
    pub(super) fn seen(&self) {
        self.seen_ms.store(millis(self.began.elapsed()), Relaxed);
    }

    /// Notes whether the actor reads its messages, as far as its supervisor knows.
    pub(super) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Relaxed);
    }

    fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed) || self.silent_for() > BLOCKED_AFTER
    }

    /// The time since its supervisor ran.
    fn silent_for(&self) -> Duration {
        let seen = Duration::from_millis(self.seen_ms.load(Relaxed));
        self.began.elapsed().saturating_sub(seen)
    }
}
