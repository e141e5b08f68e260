//! The types of a report about actors.

use std::time::{Duration, SystemTime};

/// One running actor, as seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActorReport {
    /// Its name.
    pub name: &'static str,
    /// The number of its thread, in the order in which threads started their first actor. Once a thread has no actor
    /// left, the next thread gets its number.
    pub worker: usize,
    /// Its state.
    pub state: ActorState,
    /// Its restarts so far.
    pub restarts: u64,
    /// The messages that wait for it.
    pub mailbox: usize,
    /// The messages that it has taken, also those whose asker had left.
    pub handled: u64,
    /// The time that these messages waited, added up.
    pub waited: Duration,
    /// The time that it kept its thread busy in turns with messages: its handlers, and the futures of its own beside them.
    /// Replies that are futures run elsewhere, and do not count.
    pub busy: Duration,
    /// Its last restart, if there was one.
    pub last_restart: Option<LastRestart>,
}

/// The state of a running actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ActorState {
    /// It handles its messages.
    Running,
    /// It has failed, and is about to be restarted.
    Restarting,
    /// It fails again and again.
    Failing,
    /// It reads no messages, or its thread is blocked.
    Stuck,
}

/// The restart of an actor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRestart {
    /// Why it was restarted.
    pub reason: RestartReason,
    /// When it failed, by the wall clock.
    pub at: SystemTime,
    /// The place of the panic in the source, as `file:line:column`. Known if [`record_panic_places`] was called.
    ///
    /// [`record_panic_places`]: crate::record_panic_places
    pub place: Option<String>,
    /// The message of the panic, if it is a literal of the source. A message that was made at run time could hold
    /// personal data, and is not kept.
    pub message: Option<&'static str>,
}

/// Why an actor was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RestartReason {
    /// It panicked.
    Panic,
    /// It stopped.
    Stop,
    /// It no longer read messages.
    Stuck,
}

/// The work of all actors of one name, also of those that have ended. It never goes back, so it can feed counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ActorTotals {
    /// As [`ActorReport::handled`].
    pub handled: u64,
    /// As [`ActorReport::waited`].
    pub waited: Duration,
    /// As [`ActorReport::busy`].
    pub busy: Duration,
}

// ===== impl ActorState =====

impl ActorState {
    /// The state's name in metrics, logs and readiness.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Failing => "failing",
            Self::Stuck => "stuck",
        }
    }
}

// ===== impl RestartReason =====

impl RestartReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Panic, Self::Stop, Self::Stuck];

    /// The reason's name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
            Self::Stuck => "stuck",
        }
    }
}

// ===== impl ActorTotals =====

impl ActorTotals {
    pub(crate) fn add(&mut self, other: Self) {
        self.handled += other.handled;
        self.waited += other.waited;
        self.busy += other.busy;
    }
}
