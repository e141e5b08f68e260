//! The script: the things that happen to the service, one after another, with a goal for each.
//!
//! A phase lasts for its time, and then until its goal is seen. So a slow machine makes the demo longer and not wrong.

use std::time::Duration;

use super::{
    readiness::Readiness,
    store::{Mode, SwitchedStore},
};
use crate::{
    actors::{cache_store::CacheStoreActor, runtime::NamedActor},
    store::Role,
};

/// Maximum time beyond a phase's own until its goal is seen: ten times the time that a recovery may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Right interests in a row that show a recovery. They come from both workers.
const STREAK: u64 = 20;

/// Right scores that show that a service which was told to stop still answers calls.
const LAST_SCORES: u64 = 20;

/// Restarts of the actor that show that it panics.
const RESTARTS: u64 = 3;

/// How long the phases are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// A minute in all, to watch.
    Full,
    /// Some ten seconds in all, as a smoke test.
    Short,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Phase {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The behaviour of the store.
    pub(super) mode: Mode,
    /// It must be seen before the phase ends.
    pub(super) goal: Goal,
    /// Its minimum time in a run to watch.
    pub(super) seconds: u64,
}

/// The things that must be seen in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// The service is ready, and both methods are answered.
    Well,
    /// Interests are refused, and scores are answered.
    StoreAway,
    /// The store refuses writes, and both methods are answered.
    WritesRefused,
    /// The store accepts writes, and both methods are answered.
    WritesAccepted,
    /// The cache's actor is restarted, and both methods are answered.
    ActorRestarts,
    /// The cache's actor counts as failing, and both methods are answered.
    ActorFails,
    /// The service is draining, and still answers calls.
    Draining,
}

/// The facts that a goal is judged by, since the beginning of the phase.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Right scores.
    pub(super) scores: u64,
    /// Interests that were refused while the store was away.
    pub(super) away: u64,
    /// Right interests in a row, up to now.
    pub(super) streak: u64,
    pub(super) readiness: Readiness,
    pub(super) progress: Progress,
}

/// Numbers that only grow, for differences.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    restarts: u64,
    written: u64,
}

/// Everything that happens before the end.
pub(super) const SCRIPT: [Phase; 10] = [
    Phase::new("all is well", Mode::Serving, Goal::Well, 5),
    Phase::new("the store is killed", Mode::Killed, Goal::StoreAway, 6),
    Phase::new("the store is back", Mode::Serving, Goal::Well, 5),
    Phase::new("the store hangs", Mode::Hanging, Goal::StoreAway, 6),
    Phase::new("the store answers again", Mode::Serving, Goal::Well, 5),
    Phase::new("the store refuses writes", Mode::RefusingWrites, Goal::WritesRefused, 5),
    Phase::new("the store accepts writes again", Mode::Serving, Goal::WritesAccepted, 5),
    Phase::new("actor panics on each 10th call", Mode::PanickingOnTenth, Goal::ActorRestarts, 7),
    Phase::new("actor panics on every call", Mode::Panicking, Goal::ActorFails, 6),
    Phase::new("the actor is cured", Mode::Serving, Goal::Well, 5),
];

/// The end: the service is told to stop while calls come in.
pub(super) const STOP: Phase = Phase::new("SIGTERM under load", Mode::Serving, Goal::Draining, 5);

// ===== impl Phase =====

impl Phase {
    const fn new(name: &'static str, mode: Mode, goal: Goal, seconds: u64) -> Self {
        Self { name, mode, goal, seconds }
    }

    /// The minimum time of the phase.
    pub(super) fn least(&self, pace: Pace) -> Duration {
        match (pace, self.goal) {
            (Pace::Full, _) => Duration::from_secs(self.seconds),
            // The load must end before the grace period does.
            (Pace::Short, Goal::Draining) => Duration::from_millis(100),
            (Pace::Short, _) => Duration::from_millis(500),
        }
    }
}

// ===== impl Goal =====

impl Goal {
    /// The goal in words, for the case that it is not seen.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Well => "a ready service with right scores and interests",
            Self::StoreAway => "a degraded service with right scores, and 503 for interests",
            Self::WritesRefused => "a cache that refuses writes, with right scores and interests",
            Self::WritesAccepted => "an accepted write, with right scores and interests",
            Self::ActorRestarts => "three restarts of the actor, with right scores and interests",
            Self::ActorFails => "a failing actor, with right scores and interests",
            Self::Draining => "a draining service that answers calls",
        }
    }

    /// Whether the goal is reached.
    pub(super) fn is_met(self, seen: &Seen) -> bool {
        let Seen { scores, away, streak, readiness, progress } = seen;
        let both = *scores > 0 && *streak >= STREAK;
        let status = readiness.status.as_str();
        match self {
            Self::Well => both && status == "ready",
            Self::StoreAway => *scores > 0 && *away > 0 && status == "degraded",
            Self::WritesRefused => both && readiness.refuses_writes(Role::Cache.as_str()),
            Self::WritesAccepted => both && progress.written > 0,
            Self::ActorRestarts => both && progress.restarts >= RESTARTS,
            Self::ActorFails => both && readiness.is_failing(CacheStoreActor::NAME),
            Self::Draining => *scores >= LAST_SCORES && status == "draining",
        }
    }
}

// ===== impl Progress =====

impl Progress {
    /// The numbers now.
    pub(super) fn now(store: &SwitchedStore, readiness: &Readiness) -> Self {
        Self { restarts: readiness.restarts(CacheStoreActor::NAME), written: store.written() }
    }

    /// The growth since `before`.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            restarts: self.restarts.saturating_sub(before.restarts),
            written: self.written.saturating_sub(before.written),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn seen(status: &str, scores: u64, away: u64, streak: u64) -> Seen {
        let readiness = Readiness { status: status.to_owned(), ..Readiness::default() };
        Seen { scores, away, streak, readiness, ..Seen::default() }
    }

    #[rstest]
    #[case::well(Goal::Well, seen("ready", 1, 0, 20), true)]
    #[case::not_ready(Goal::Well, seen("degraded", 1, 0, 20), false)]
    #[case::no_score(Goal::Well, seen("ready", 0, 0, 20), false)]
    #[case::interests_refused(Goal::Well, seen("ready", 1, 1, 19), false)]
    #[case::away(Goal::StoreAway, seen("degraded", 1, 1, 0), true)]
    #[case::not_away(Goal::StoreAway, seen("degraded", 1, 0, 20), false)]
    #[case::away_and_ready(Goal::StoreAway, seen("ready", 1, 1, 0), false)]
    #[case::no_write_refused(Goal::WritesRefused, seen("ready", 1, 0, 20), false)]
    #[case::no_restart(Goal::ActorRestarts, seen("ready", 1, 0, 20), false)]
    #[case::no_actor_fails(Goal::ActorFails, seen("degraded", 1, 0, 20), false)]
    #[case::draining(Goal::Draining, seen("draining", 20, 0, 0), true)]
    #[case::few_calls_while_draining(Goal::Draining, seen("draining", 19, 0, 0), false)]
    #[case::never_draining(Goal::Draining, seen("ready", 20, 0, 0), false)]
    fn a_goal_is_met_by_what_is_seen(#[case] goal: Goal, #[case] seen: Seen, #[case] met: bool) {
        assert_eq!(goal.is_met(&seen), met);
    }

    #[test]
    fn the_full_script_takes_a_minute() {
        let least: Duration = SCRIPT.iter().chain([&STOP]).map(|phase| phase.least(Pace::Full)).sum();
        assert_eq!(least, Duration::from_secs(60));
    }
}
