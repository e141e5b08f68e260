//! One running actor: its numbers, and the signs of life that its supervisor writes.
//!
//! Any thread may read them, and any thread may send a message. The rest is written on the actor's own thread, so no
//! number needs an atomic addition but the depth of the mailbox.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    awake::AwakeClock,
    panics::take_place,
    report::{ActorReport, ActorState, ActorTotals, LastRestart, RestartReason},
};

/// A supervisor that has not run for this long is on a blocked thread. It should run every quarter of a second.
const BLOCKED_AFTER: Duration = Duration::from_secs(2);

/// See the [module](self).
pub(crate) struct Instance {
    name: &'static str,
    worker: usize,
    began: Instant,
    clock: Arc<AwakeClock>,
    /// When its supervisor last ran, in milliseconds of the `clock`.
    seen_ms: AtomicU64,
    stuck: AtomicBool,
    failing: AtomicBool,
    restarting: AtomicBool,
    restarts: AtomicU64,
    /// Locked when the actor fails, and when a report is asked for.
    last_restart: Mutex<Option<LastRestart>>,
    mailbox: AtomicUsize,
    handled: AtomicU64,
    waited_ns: AtomicU64,
    busy_ns: AtomicU64,
    /// When the first message of this turn was taken, in nanoseconds since it `began`, plus one; zero before that.
    turn_ns: AtomicU64,
}

/// A message that waits for an actor. It counts until it is taken or dropped.
#[derive(Debug)]
pub(crate) struct Queued {
    actor: Arc<Instance>,
    since: Instant,
}

// ===== impl Instance =====

impl Instance {
    /// An actor that starts now.
    pub(crate) fn new(name: &'static str, worker: usize, clock: Arc<AwakeClock>) -> Self {
        Self {
            name,
            worker,
            began: Instant::now(),
            seen_ms: AtomicU64::new(millis(clock.now())),
            clock,
            stuck: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            restarting: AtomicBool::new(false),
            restarts: AtomicU64::new(0),
            last_restart: Mutex::default(),
            mailbox: AtomicUsize::new(0),
            handled: AtomicU64::new(0),
            waited_ns: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            turn_ns: AtomicU64::new(0),
        }
    }

    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    // ===== the numbers of its messages =====

    /// The number of messages that wait for it.
    pub(crate) fn mailbox_depth(&self) -> usize {
        self.mailbox.load(Relaxed)
    }

    fn took(&self, since: Instant) {
        let now = Instant::now();
        add(&self.handled, 1);
        add(&self.waited_ns, nanos(now.saturating_duration_since(since)));
        if self.turn_ns.load(Relaxed) == 0 {
            self.turn_ns.store(nanos(now.saturating_duration_since(self.began)) + 1, Relaxed);
        }
    }

    /// The actor was polled, and may have taken messages. Reads the clock only if it has.
    pub(crate) fn end_turn(&self) {
        let began = self.turn_ns.load(Relaxed);
        if began > 0 {
            add(&self.busy_ns, nanos(self.began.elapsed()).saturating_sub(began - 1));
            self.turn_ns.store(0, Relaxed);
        }
    }

    pub(crate) fn totals(&self) -> ActorTotals {
        ActorTotals {
            handled: self.handled.load(Relaxed),
            waited: Duration::from_nanos(self.waited_ns.load(Relaxed)),
            busy: Duration::from_nanos(self.busy_ns.load(Relaxed)),
        }
    }

    // ===== its health =====

    /// Notes that the supervisor runs.
    pub(crate) fn seen(&self) {
        self.seen_ms.store(millis(self.clock.now()), Relaxed);
    }

    /// Notes whether the actor reads its messages, as far as its supervisor knows.
    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Relaxed);
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Relaxed) || self.silent_for() > BLOCKED_AFTER
    }

    /// The time since its supervisor ran, without pauses of the whole process.
    pub(crate) fn silent_for(&self) -> Duration {
        let seen = Duration::from_millis(self.seen_ms.load(Relaxed));
        self.clock.now().saturating_sub(seen)
    }

    pub(crate) fn is_failing(&self) -> bool {
        self.failing.load(Relaxed)
    }

    /// Notes whether the actor restarts too often, and logs a change.
    pub(crate) fn set_failing(&self, failing: bool) {
        match (self.failing.swap(failing, Relaxed), failing) {
            (false, true) => tracing::error!(actor = self.name, "actor is failing"),
            (true, false) => tracing::info!(actor = self.name, "actor is well again"),
            (true, true) | (false, false) => {}
        }
    }

    /// The actor failed, and is restarted after `delay`.
    pub(crate) fn failed(&self, reason: RestartReason, panic: Option<&(dyn Any + Send)>, delay: Duration) {
        let place = panic.and_then(|_| take_place());
        // Only a message that is a literal in the source is kept: one made at run time could hold personal data.
        let message = panic.and_then(|panic| panic.downcast_ref::<&'static str>()).copied();
        tracing::error!(
            actor = self.name,
            reason = reason.as_str(),
            panic = message,
            place,
            delay_ms = millis(delay),
            "actor restarts"
        );
        add(&self.restarts, 1);
        self.restarting.store(true, Relaxed);
        let restart = LastRestart { reason, at: wall_clock(), place, message };
        *self.last_restart.lock().unwrap_or_else(PoisonError::into_inner) = Some(restart);
    }

    /// The actor runs again.
    pub(crate) fn restarted(&self) {
        self.restarting.store(false, Relaxed);
    }

    fn state(&self) -> ActorState {
        match (self.is_stuck(), self.is_failing(), self.restarting.load(Relaxed)) {
            (true, _, _) => ActorState::Stuck,
            (false, true, _) => ActorState::Failing,
            (false, false, true) => ActorState::Restarting,
            (false, false, false) => ActorState::Running,
        }
    }

    pub(crate) fn report(&self) -> ActorReport {
        let ActorTotals { handled, waited, busy } = self.totals();
        ActorReport {
            name: self.name,
            worker: self.worker,
            state: self.state(),
            restarts: self.restarts.load(Relaxed),
            mailbox: self.mailbox_depth(),
            handled,
            waited,
            busy,
            last_restart: self.last_restart.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

// ===== impl Queued =====

impl Queued {
    /// A message that is sent to `actor` now.
    pub(crate) fn new(actor: &Arc<Instance>) -> Self {
        actor.mailbox.fetch_add(1, Relaxed);
        Self { actor: actor.clone(), since: Instant::now() }
    }

    /// Its actor takes it.
    pub(crate) fn taken(self) {
        self.actor.took(self.since);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.actor.mailbox.fetch_sub(1, Relaxed);
    }
}

/// Adds to a number that one thread writes.
fn add(number: &AtomicU64, by: u64) {
    number.store(number.load(Relaxed).wrapping_add(by), Relaxed);
}

/// 64 bits hold the nanoseconds of 584 years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// For people who read a report: no timer goes by it.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
