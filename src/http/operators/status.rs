//! The state of the service as people watch it: the page at `/`, `/status.json`, and `scoring-api status`.
//!
//! - `model`: the shape of the report
//! - `collect`: reads the parts of the service: their state, and the counters of the metrics
//! - `history`, `changes`: the last five minutes and the last changes, from one reading a second
//! - `words`: the effect on callers now, in one sentence
//! - `view`, `notation`: the report as tables of texts; `html`, `page`: the page; `runbook`: the operations manual as a page
//!
//! Calls pay nothing for it: readings are made on a thread that serves no calls, from counters that exist anyway. All
//! watchers share one page and one `/status.json`, each of which is made at most twice a second.

mod changes;
mod collect;
mod history;
mod html;
mod model;
mod notation;
pub(super) mod page;
mod reloads;
mod runbook;
mod shared;
#[cfg(test)]
mod testing;
mod view;
mod words;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval};

use self::{
    changes::Changes,
    collect::{Moment, Reading},
    history::{Counters, History, RECENT},
    shared::Shared,
    words::{Facts, Refused, Slow, Unwell, verdict},
};
use crate::{domain::FailureReason, wall_clock};

pub(crate) use self::{html::escaped, notation::count};

pub use self::{
    collect::StatusSources,
    history::POINTS,
    model::*,
    reloads::Reloads,
    view::{Chart, Group, Row, Section, Table, sections, service_line, word},
};

/// The time between two readings.
const EVERY: Duration = Duration::from_secs(1);

/// The reasons of answers of 500 and above.
const ERRORS: [FailureReason; 7] = [
    FailureReason::StoreDown,
    FailureReason::Overload,
    FailureReason::Deadline,
    FailureReason::BodyMemory,
    FailureReason::Actor,
    FailureReason::MalformedValue,
    FailureReason::Panic,
];

/// The reasons of answers from 400 to 499.
const REFUSALS: [FailureReason; 9] = [
    FailureReason::Forbidden,
    FailureReason::Invalid,
    FailureReason::BadRequest,
    FailureReason::Rate,
    FailureReason::NotFound,
    FailureReason::WrongVerb,
    FailureReason::TooLarge,
    FailureReason::TooSlow,
    FailureReason::HeadTooLarge,
];

/// The state of the service. See the [module](self).
#[derive(Debug)]
pub struct Status {
    sources: StatusSources,
    started: Time,
    // Std locks: they are held for moments, and never by a call.
    board: Mutex<Board>,
    json: Shared,
    page: Shared,
}

/// The results of all readings.
#[derive(Debug)]
struct Board {
    history: History,
    changes: Changes,
}

// ===== impl Status =====

impl Status {
    /// The state of a service that starts now.
    pub fn new(sources: StatusSources) -> Arc<Self> {
        let started = wall_clock::now().into();
        let board = Board { history: History::default(), changes: Changes::new(started) };
        let (json, page) = (Shared::default(), Shared::default());
        Arc::new(Self { sources, started, board: Mutex::new(board), json, page })
    }

    /// Reads the state once a second, for ever.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.read();
        }
    }

    /// The report as JSON.
    fn json(&self) -> serde_json::Result<Bytes> {
        self.json.get(|| Ok(serde_json::to_vec(&self.report())?.into()))
    }

    /// The report as a page.
    fn page(&self) -> serde_json::Result<Bytes> {
        self.page.get(|| Ok(html::page(&self.report()).into()))
    }

    /// The state now, with the history up to the last reading.
    fn report(&self) -> StatusReport {
        let moment = self.sources.moment();
        let board = self.lock();
        let verdict = verdict(&facts(&moment, &board.history));
        let Moment { at, phase, mut stores, mut actors, resources, card, partners, last_reload } = moment;
        for store in stores.iter_mut().filter(|store| store.role == "cache") {
            store.lookups = Some(board.history.lookups());
        }
        for WorkerStatus { worker, actors } in &mut actors {
            for actor in actors {
                let rate = board.history.actor(*worker, &actor.actor);
                (actor.handled_per_second, actor.waited_ms) = (rate.handled, rate.waited_ms);
            }
        }
        StatusReport {
            service: ServiceStatus {
                name: env!("CARGO_PKG_NAME").into(),
                version: env!("CARGO_PKG_VERSION").into(),
                revision: collect::revision(),
                started: self.started,
                now: at,
                phase: phase.as_str().into(),
            },
            verdict,
            calls: CallsStatus {
                methods: board.history.methods(),
                reasons: board.history.reasons(),
                history: board.history.of_calls(),
            },
            stores: stores.into(),
            actors,
            resources,
            card,
            partners,
            last_reload,
            changes: board.changes.newest_first(),
        }
    }

    fn read(&self) {
        let Reading { moment, counters, actors } = self.sources.reading();
        let mut board = self.lock();
        board.changes.add(moment);
        board.history.push(counters, actors);
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The facts for the sentence.
fn facts<'a>(moment: &'a Moment, history: &History) -> Facts<'a> {
    let [cache, persistent] = &moment.stores;
    let recent = history.over(RECENT);
    let grown = |reason| recent.map_or(0, |recent| recent.growth(|counters| counters.with_reason(reason)));
    // The first of equally frequent ones.
    let most_frequent = |reasons: &[FailureReason]| {
        let most = reasons.iter().copied().rev().max_by_key(|reason| grown(*reason));
        most.filter(|reason| grown(*reason) > 0)
    };
    let refused = recent.map_or(0, |recent| recent.growth(Counters::refused));
    let slow = history.methods().into_iter().find_map(|method| {
        let (p99_ms, promise_ms) = (method.p99_ms?, method.promise_ms?);
        (p99_ms > promise_ms as f64).then_some(Slow { method: method.method, p99_ms, promise_ms })
    });
    Facts {
        phase: moment.phase,
        cache,
        persistent,
        unwell: unwell(&moment.actors),
        calls: recent.map_or(0, |recent| recent.growth(Counters::calls)),
        errors: recent.map_or(0, |recent| recent.growth(Counters::errors)),
        reason: most_frequent(&ERRORS),
        refused: (refused > 0).then(|| Refused { calls: refused, reason: most_frequent(&REFUSALS) }),
        slow,
    }
}

/// The actors that are not well, by name and state: those on most workers first.
fn unwell(workers: &[WorkerStatus]) -> Vec<Unwell> {
    let mut counts = BTreeMap::<_, usize>::new();
    for actor in workers.iter().flat_map(|worker| &worker.actors) {
        if matches!(actor.status, ActorState::Failing | ActorState::Stuck) {
            *counts.entry((actor.actor.clone(), actor.status)).or_default() += 1;
        }
    }
    let of = workers.len();
    let unwell = counts.into_iter().map(|((actor, state), workers)| Unwell { actor, state, workers, of });
    let mut unwell: Vec<_> = unwell.collect();
    // An actor without which the scores remain is told last.
    unwell.sort_by_key(|unwell| (unwell.actor == "cache_store", std::cmp::Reverse(unwell.workers)));
    unwell
}
