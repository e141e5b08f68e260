//! The times at which a failure is excused, and those at which health must report an outage: the table of faults, as rules.

use std::time::Duration;

use scoring_api::store::LinkPolicy;

use super::{ActorName, Fault, Happening, Script, StoreKind, WorldPlan};
use crate::world::{FAILOVER, LogIn};

/// The service is well this long after most faults have ended.
const R1: Duration = Duration::from_secs(1);

/// The same, if an operator had to help.
const R5: Duration = Duration::from_secs(5);

/// The same after an actor's panic.
const RESTART: Duration = Duration::from_millis(100);

/// The same after an actor got stuck: the watchdog notices within two seconds, and waiting calls fail by their deadline.
const STUCK: Duration = Duration::from_millis(2_600);

/// An outage shows in health after this.
const NOTICED: Duration = Duration::from_secs(2);

/// A delay that the store's time limits allow for, there and back.
const TOLERABLE: Duration = Duration::from_millis(50);

/// Times from the start of the run.
type Window = (Duration, Duration);

/// The excuses of a script.
#[derive(Debug, Default)]
pub struct Excuses {
    interests: Vec<Window>,
    scores: Vec<Window>,
    /// When anything was wrong with the store, or with the cache.
    store_wrong: Vec<Window>,
    cache_wrong: Vec<Window>,
    /// When the store, or the cache, must be reported as down.
    store_down: Vec<Window>,
    cache_down: Vec<Window>,
}

// ===== impl Excuses =====

impl Excuses {
    /// The excuses of a script.
    pub fn of(script: &Script) -> Self {
        let mut excuses = Self::default();
        for happening in &script.happenings {
            excuses.add(happening, script);
        }
        excuses
    }

    /// Whether a call of `clients_interests` in this time may fail.
    pub fn interests(&self, from: Duration, to: Duration) -> bool {
        overlap(&self.interests, from, to)
    }

    /// Whether a call of `online_score` in this time may fail.
    pub fn scores(&self, from: Duration, to: Duration) -> bool {
        overlap(&self.scores, from, to)
    }

    /// Whether the store's, or the cache's, health may be anything at this time.
    pub fn wrong(&self, of_cache: bool, at: Duration) -> bool {
        overlap(if of_cache { &self.cache_wrong } else { &self.store_wrong }, at, at)
    }

    /// Whether the store, or the cache, must be down in health at this time.
    pub fn down(&self, of_cache: bool, at: Duration) -> bool {
        overlap(if of_cache { &self.cache_down } else { &self.store_down }, at, at)
    }

    /// The end of the last excuse.
    pub fn last_end(&self) -> Duration {
        let all = [&self.interests, &self.scores, &self.store_wrong, &self.cache_wrong];
        all.into_iter().flatten().map(|window| window.1).max().unwrap_or_default()
    }

    fn add(&mut self, happening: &Happening, script: &Script) {
        match happening.fault {
            Fault::Panic(actor) => self.add_of_actor(actor, RESTART, happening, script),
            Fault::Stuck(actor) => self.add_of_actor(actor, STUCK, happening, script),
            _ => {
                if let Some(server) = happening.fault.server() {
                    self.add_of_server(server, happening, script);
                }
            }
        }
    }

    fn add_of_actor(&mut self, actor: ActorName, grace: Duration, happening: &Happening, script: &Script) {
        // Restarts in a row take longer each.
        let over = happening.end() + grace + R1 * restarts_before(script, happening);
        let window = (happening.at, over);
        if matches!(actor, ActorName::Dispatcher | ActorName::Scoring) {
            self.scores.push(window);
        }
        if !matches!(actor, ActorName::Scoring | ActorName::CacheStore) {
            self.interests.push(window);
        }
        self.store_wrong.push((happening.at, over + R1));
        self.cache_wrong.push((happening.at, over + R1));
    }

    fn add_of_server(&mut self, server: usize, happening: &Happening, script: &Script) {
        let (at, end) = (happening.at, happening.end());
        let (fault, plan) = (&happening.fault, &script.plan);
        let is_of_cache =
            |other: &Happening| other.fault.server().is_some_and(|server| !plan.is_of_store(server));
        let is_alone = !is_among(script, happening, |other| !is_of_cache(other));
        let whole = (at, end + fault.grace());
        // Without calls only the probes notice, and another fault may keep one of them waiting.
        let must_be_down =
            fault.is_an_outage(plan) && at + NOTICED < end && !is_among(script, happening, |_| true);
        let down = must_be_down.then_some((at + NOTICED, end));
        if plan.is_of_store(server) {
            self.store_wrong.push(whole);
            self.store_down.extend(down);
            if !is_alone {
                self.interests.push(whole);
            } else if fault.is_replaced(plan) && at + FAILOVER < end {
                // A replica takes over. When the old primary comes back, it is not believed.
                self.interests.push((at, at + FAILOVER + R1));
            } else if matches!(fault, Fault::DeadAddress { .. }) {
                self.interests.push((at, whole.1.min(at + R1)));
            } else if !fault.is_mild() {
                self.interests.push(whole);
            }
        }
        if server == plan.kind.nodes() || (!plan.has_own_cache && plan.is_of_store(server)) {
            self.cache_wrong.push(whole);
            self.cache_down.extend(down);
        }
    }
}

fn overlap(windows: &[Window], from: Duration, to: Duration) -> bool {
    windows.iter().any(|window| window.0 <= to && from <= window.1)
}

/// The number of actors' faults in the minute before this one.
fn restarts_before(script: &Script, happening: &Happening) -> u32 {
    let earlier = script.happenings.iter().filter(|other| {
        matches!(other.fault, Fault::Panic(_) | Fault::Stuck(_))
            && (other.at..=other.at + R1 * 60).contains(&happening.at)
            && *other != happening
    });
    u32::try_from(earlier.count()).unwrap_or(u32::MAX)
}

/// Whether another fault that `counts` is not over when this one begins, or begins before this one is over.
fn is_among(script: &Script, happening: &Happening, counts: impl Fn(&Happening) -> bool) -> bool {
    let over = |happening: &Happening| happening.end() + happening.fault.grace().max(R5);
    script.happenings.iter().any(|other| {
        !std::ptr::eq(other, happening)
            && counts(other)
            && other.at <= over(happening)
            && happening.at <= over(other)
    })
}

// ===== impl Fault =====

impl Fault {
    /// The server that it is a fault of; a file counts as the store's server.
    pub fn server(&self) -> Option<usize> {
        match self {
            Self::Down { server, .. }
            | Self::Unreachable(server)
            | Self::Frozen(server)
            | Self::HalfOpen(server)
            | Self::Cut(server)
            | Self::Withheld { server, .. }
            | Self::Tampered { server, .. }
            | Self::Slow { server, .. }
            | Self::Trickles { server, .. }
            | Self::Dribbles { server, .. }
            | Self::Loading(server)
            | Self::Script { server, .. }
            | Self::WritesRefused { server, .. }
            | Self::StepRefused { server, .. }
            | Self::OtherPassword(server)
            | Self::Full(server)
            | Self::Moved(server)
            | Self::DeadAddress { server, .. }
            | Self::Name { server, .. } => Some(*server),
            Self::DiskFails
            | Self::DiskSlow(_)
            | Self::DiskFull
            | Self::FileAway
            | Self::FileReplaced
            | Self::FileDamaged(_)
            | Self::SlotMoves(_)
            | Self::ClusterDown
            | Self::AllDown
            | Self::SentinelDown(_)
            | Self::SentinelsDown => Some(0),
            Self::Confused(node) => Some(*node),
            Self::Evicted
            | Self::Spoiled
            | Self::OtherKind(_)
            | Self::WallClock(_)
            | Self::Panic(_)
            | Self::Stuck(_) => None,
        }
    }

    /// Whether, alone, it costs no call.
    fn is_mild(&self) -> bool {
        match self {
            Self::Cut(_)
            | Self::Trickles { .. }
            | Self::WritesRefused { .. }
            | Self::SlotMoves(_)
            | Self::SentinelDown(_)
            | Self::SentinelsDown => true,
            Self::Slow { by, .. } => *by <= TOLERABLE,
            _ => false,
        }
    }

    /// Whether another server takes the place of the one that fails.
    pub fn is_replaced(&self, plan: &WorldPlan) -> bool {
        plan.kind != StoreKind::One
            && matches!(self, Self::Down { .. } | Self::Frozen(_) | Self::Unreachable(_))
    }

    /// How long after its end it may still be felt.
    fn grace(&self) -> Duration {
        match self {
            // A connection that brings bytes is not dead, and is given up only when a probe has waited for seconds. The first
            // probe may be answered by bytes that were on their way.
            Self::Dribbles { .. } => LinkPolicy::new(R1).patience * 2 + R1 * 2,
            Self::OtherPassword(_) => R5,
            Self::StepRefused { step: LogIn::Auth, .. } => R5,
            // It begins with the next bytes, which a probe brings.
            Self::Withheld { .. } | Self::Tampered { .. } => R1 * 2,
            _ => R1,
        }
    }

    /// Whether the server serves no client while it lasts.
    fn is_an_outage(&self, plan: &WorldPlan) -> bool {
        match self {
            Self::AllDown | Self::ClusterDown => true,
            // The others of the group serve, and one of them takes its place.
            _ if plan.kind != StoreKind::One
                && self.server().is_some_and(|server| plan.is_of_store(server)) =>
            {
                false
            }
            Self::Down { .. }
            | Self::Unreachable(_)
            | Self::Frozen(_)
            | Self::Loading(_)
            | Self::Script { .. }
            | Self::OtherPassword(_)
            | Self::Full(_)
            | Self::DiskFails
            | Self::FileAway
            | Self::Name { .. } => true,
            Self::DiskFull => plan.starts_without_file,
            Self::StepRefused { step, .. } => match step {
                LogIn::Auth => self.server().is_some_and(|server| plan.demands_log_in(server)),
                LogIn::Select => plan.database != 0 && plan.cache_database != 0,
                LogIn::Ping => true,
            },
            _ => false,
        }
    }
}
