//! The last changes, found by comparing one moment with the next: no other part has to report them.
//!
//! A change that came and went between two moments leaves a trace in a time or a counter, and is told as well.

use std::collections::VecDeque;

use super::{
    collect::Moment,
    model::{
        ActorState, ActorStatus, Change, LastReload, LastRestart, ReloadOutcome, Severity, ShardStatus,
        StoreState, StoreStatus, Time, WritesState,
    },
    view::shortened,
    words::{why, why_of},
};
use crate::http::lifecycle::Phase;

/// The number of changes that are kept.
const KEPT: usize = 100;

/// The last changes.
#[derive(Debug)]
pub(super) struct Changes {
    newest_first: VecDeque<Change>,
    last: Option<Moment>,
}

/// The changes between two moments.
struct Comparison {
    at: Time,
    found: Vec<Change>,
}

// ===== impl Changes =====

impl Changes {
    /// The first change is the start.
    pub(super) fn new(started: Time) -> Self {
        let text = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), " started").to_owned();
        let first = Change { at: started, level: Severity::Info, text };
        Self { newest_first: VecDeque::from([first]), last: None }
    }

    /// Adds the changes from the last moment to this one. Before the first one no store was known, so that one that is
    /// down by then is told.
    pub(super) fn add(&mut self, moment: Moment) {
        let last = self.last.take().unwrap_or_else(|| before_connections(&moment));
        self.compare(&last, &moment);
        self.last = Some(moment);
    }

    fn compare(&mut self, before: &Moment, after: &Moment) {
        let mut comparison = Comparison { at: after.at, found: Vec::new() };
        comparison.of_moments(before, after);
        for change in comparison.found {
            self.newest_first.push_front(change);
        }
        self.newest_first.truncate(KEPT);
    }

    /// Newest first.
    pub(super) fn newest_first(&self) -> Vec<Change> {
        self.newest_first.iter().cloned().collect()
    }
}

// ===== impl Comparison =====

impl Comparison {
    fn of_moments(&mut self, before: &Moment, after: &Moment) {
        if before.phase != after.phase {
            self.info(match after.phase {
                Phase::Starting => "the service starts",
                Phase::Serving => "the service serves",
                Phase::Draining => "the service was asked to stop; it still accepts calls",
                Phase::Closing => "the service refuses new connections, and finishes the calls in progress",
            });
        }
        for (before, after) in before.stores.iter().zip(&after.stores) {
            self.of_store(before, after);
        }
        for after in &after.actors {
            let before = before.actors.iter().find(|before| before.worker == after.worker);
            let before = before.map(|before| before.actors.as_slice()).unwrap_or_default();
            for (before, actor) in pairs(before, &after.actors) {
                self.of_actor(after.worker, before, actor);
            }
        }
        if let Some(reload) = after.last_reload.as_ref().filter(|_| before.last_reload != after.last_reload) {
            self.of_reload(reload);
        }
        if before.card != after.card {
            self.info(format!(
                "card {} ({}) is in effect",
                after.card.version,
                shortened(&after.card.digest)
            ));
        }
    }

    fn of_store(&mut self, before: &StoreStatus, after: &StoreStatus) {
        let role = &after.role;
        // The primaries of a cluster are told one by one.
        if before.shards.is_empty() || after.shards.is_empty() {
            let name = format!("{role}: {}", after.address);
            let severity = severity_of(role);
            let [was, is] = [before, after].map(|store| (store.status, store.since));
            self.of_state(&name, severity, was, is, why(after));
        } else {
            self.of_shards(role, before, after);
        }
        match (before.writes.status, after.writes.status) {
            (WritesState::Accepted | WritesState::Unknown, WritesState::Refused) => {
                let cause = after.writes.cause.as_deref().unwrap_or("the log has the cause");
                self.add(Severity::Warn, format!("{role}: {} refuses writes: {cause}", after.address));
            }
            (WritesState::Refused, WritesState::Accepted | WritesState::Unknown) => {
                self.info(format!("{role}: {} accepts writes again", after.address));
            }
            (WritesState::Accepted | WritesState::Unknown, WritesState::Accepted | WritesState::Unknown)
            | (WritesState::Refused, WritesState::Refused) => {}
        }
        match (&before.note, &after.note) {
            (None, Some(note)) => self.add(Severity::Warn, format!("{role}: {note}")),
            (Some(note), None) => self.info(format!("{role}: no longer: {note}")),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn of_shards(&mut self, role: &str, before: &StoreStatus, after: &StoreStatus) {
        let known = |shards: &[ShardStatus], name: &str| shards.iter().any(|shard| shard.shard == name);
        for shard in &before.shards {
            if !known(&after.shards, &shard.shard) {
                self.info(format!("{role}: {} is no primary any more", shard.shard));
            }
        }
        for shard in &after.shards {
            let name = format!("{role}: {}", shard.shard);
            match before.shards.iter().find(|before| before.shard == shard.shard) {
                None => self.info(format!("{name} is a primary")),
                Some(before) => {
                    let [was, is] = [before, shard].map(|shard| (shard.status, shard.since));
                    self.of_state(&name, severity_of(role), was, is, why_of(shard.last_error.as_ref()));
                }
            }
        }
    }

    fn of_state(
        &mut self,
        name: &str,
        severity: Severity,
        (was, since): (StoreState, Time),
        (is, until): (StoreState, Time),
        cause: &str,
    ) {
        match (was, is) {
            (StoreState::Up | StoreState::Starting, StoreState::Down) => {
                self.add(severity, format!("{name} is down: {cause}"));
            }
            (StoreState::Starting, StoreState::Up) => self.info(format!("{name} is up")),
            (StoreState::Down, StoreState::Up) => {
                self.info(format!("{name} is up again after {} s", until.seconds_since(since)));
            }
            (StoreState::Up, StoreState::Up) if since != until => {
                self.add(severity, format!("{name} was down for a moment: {cause}"));
            }
            (StoreState::Down, StoreState::Down) if since != until => {
                self.info(format!("{name} was up for a moment"));
            }
            (StoreState::Up | StoreState::Down | StoreState::Starting, _) => {}
        }
    }

    fn of_actor(&mut self, worker: usize, before: &ActorStatus, after: &ActorStatus) {
        let name = format!("worker {worker}: {}", after.actor);
        let count = after.restarts.saturating_sub(before.restarts);
        if count > 0 {
            let times = if count > 1 { format!(" {count} times") } else { String::new() };
            let (severity, cause) =
                after.last_restart.as_ref().map_or((Severity::Warn, String::new()), of_restart);
            self.add(severity, format!("{name} was restarted{times}{cause}"));
        }
        match (before.status, after.status) {
            (was, is) if was == is => {}
            (_, ActorState::Failing) => self.add(Severity::Error, format!("{name} fails again and again")),
            (_, ActorState::Stuck) => self.add(Severity::Error, format!("{name} reads no messages")),
            (ActorState::Failing | ActorState::Stuck, ActorState::Running) => {
                self.info(format!("{name} is well again"));
            }
            (_, ActorState::Running | ActorState::Restarting) => {}
        }
    }

    fn of_reload(&mut self, reload: &LastReload) {
        match reload.outcome {
            ReloadOutcome::Succeeded if reload.changed.is_empty() => {
                self.info("settings reloaded without a difference");
            }
            ReloadOutcome::Succeeded => self.info(format!("settings reloaded: {}", reload.changed.join(" "))),
            ReloadOutcome::Failed => {
                self.add(Severity::Warn, "settings not reloaded, because the new ones are at fault");
            }
        }
    }

    fn info(&mut self, text: impl Into<String>) {
        self.add(Severity::Info, text);
    }

    fn add(&mut self, level: Severity, text: impl Into<String>) {
        self.found.push(Change { at: self.at, level, text: text.into() });
    }
}

/// Actors that are there before and after.
fn pairs<'a>(
    before: &'a [ActorStatus],
    after: &'a [ActorStatus],
) -> impl Iterator<Item = (&'a ActorStatus, &'a ActorStatus)> {
    after.iter().filter_map(|after| Some((before.iter().find(|before| before.actor == after.actor)?, after)))
}

/// Callers notice an outage of persistent data, and not one of the cache.
fn severity_of(role: &str) -> Severity {
    if role == "cache" { Severity::Warn } else { Severity::Error }
}

/// The same moment with stores to which nothing has connected yet.
fn before_connections(moment: &Moment) -> Moment {
    let mut before = moment.clone();
    for store in &mut before.stores {
        store.status = StoreState::Starting;
        store.writes.status = WritesState::Unknown;
        store.note = None;
        for shard in &mut store.shards {
            shard.status = StoreState::Starting;
        }
    }
    before
}

fn of_restart(restart: &LastRestart) -> (Severity, String) {
    let LastRestart { reason, place, message, .. } = restart;
    let severity = if reason == "panic" { Severity::Error } else { Severity::Warn };
    let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
    let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    (severity, format!(" ({reason}{place}{message})"))
}

#[cfg(test)]
mod tests;
