//! The effect on callers now, in one sentence, with the section of the runbook that helps.
//!
//! A pure function: the first row of its table that holds decides, so an outage is told before its consequences.

use super::model::{ActorState, LastError, Level, StoreState, StoreStatus, Text, Verdict, WritesState};
use crate::{domain::FailureReason, http::lifecycle::Phase};

/// The facts that the sentence is about.
#[derive(Debug, Clone)]
pub(super) struct Facts<'a> {
    /// The phase of the service's life.
    pub(super) phase: Phase,
    /// The stores of both roles.
    pub(super) cache: &'a StoreStatus,
    /// See [`cache`](Self::cache).
    pub(super) persistent: &'a StoreStatus,
    /// The actors that are not well, the worst first.
    pub(super) unwell: Vec<Unwell>,
    /// Answers of the last ten seconds.
    pub(super) calls: u64,
    /// Those of them that are 500 or above.
    pub(super) errors: u64,
    /// The most frequent reason of these.
    pub(super) reason: Option<FailureReason>,
    /// Those that are from 400 to 499.
    pub(super) refused: Option<Refused>,
    /// A method that was slower than promised in the last ten seconds.
    pub(super) slow: Option<Slow>,
}

/// The actors of one name that are not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwell {
    /// Their name.
    pub(super) actor: Text,
    /// Their state: failing or stuck.
    pub(super) state: ActorState,
    /// The workers on which they are so.
    pub(super) workers: usize,
    /// All workers.
    pub(super) of: usize,
}

/// Calls that were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    /// Their number.
    pub(super) calls: u64,
    /// Their most frequent reason.
    pub(super) reason: Option<FailureReason>,
}

/// A method that is slower than promised.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slow {
    /// Its name.
    pub(super) method: Text,
    /// The time in which 99 % of its calls were answered.
    pub(super) p99_ms: f64,
    /// The promised time.
    pub(super) promise_ms: u64,
}

/// The sentence about these facts.
pub(super) fn verdict(facts: &Facts<'_>) -> Verdict {
    let rows = [
        of_phase,
        of_actors,
        of_persistent_store,
        of_errors,
        of_refusals,
        of_cache,
        of_writes,
        of_latency,
        of_notes,
    ];
    rows.iter().find_map(|row| row(facts)).unwrap_or_else(|| all_is_well(facts))
}

/// A reason in words, for readers without the code.
pub(super) fn of_reason(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::BadRequest => "malformed head, encoding or JSON",
        FailureReason::Forbidden => "the caller may not call",
        FailureReason::NotFound => "unknown path",
        FailureReason::WrongVerb => "wrong verb",
        FailureReason::TooSlow => "the request came too slowly",
        FailureReason::TooLarge => "the body is too large",
        FailureReason::Invalid => "fields are at fault",
        FailureReason::Rate => "the account or address calls too often",
        FailureReason::HeadTooLarge => "the head is too large",
        FailureReason::MalformedValue => "a stored value is malformed",
        FailureReason::Panic => "a panic outside the actors",
        FailureReason::Actor => "an actor panicked, restarted or was stuck",
        FailureReason::StoreDown => "the persistent store could not be asked",
        FailureReason::Deadline => "no answer within the deadline",
        FailureReason::Overload => "too many calls in flight",
        FailureReason::BodyMemory => "other bodies used all of their memory",
    }
}

/// Why a store is down, in words.
pub(super) fn why(store: &StoreStatus) -> &str {
    why_of(store.last_error.as_ref())
}

/// The same for any error.
pub(super) fn why_of(error: Option<&LastError>) -> &str {
    error.map_or("no connection yet", |error| &error.cause)
}

fn of_phase(facts: &Facts<'_>) -> Option<Verdict> {
    let (sentence, link) = match facts.phase {
        Phase::Serving => return None,
        Phase::Starting => ("The service starts. It answers no calls yet.", None),
        Phase::Draining => (
            "The service is stopping. It still accepts calls, and is not ready, so that load balancers send no more.",
            Some("/runbook#roll-drain-and-stop"),
        ),
        Phase::Closing => (
            "The service is stopping. It refuses new connections, and finishes the calls in progress.",
            Some("/runbook#roll-drain-and-stop"),
        ),
    };
    let link = link.map(Text::from);
    // A service that starts has no connections yet.
    let outage = of_persistent_store(facts).filter(|_| facts.phase != Phase::Starting);
    Some(match outage {
        Some(Verdict { level, sentence: outage, .. }) => {
            Verdict { level, sentence: format!("{sentence} {outage}"), link }
        }
        None => Verdict { level: Level::Warn, sentence: sentence.to_owned(), link },
    })
}

fn of_actors(facts: &Facts<'_>) -> Option<Verdict> {
    let Unwell { actor, state, workers, of } = facts.unwell.first()?;
    let (level, effect) = match &**actor {
        "scoring" => (Level::Bad, "online_score is not answered with a score"),
        "interests" | "persistent_store" => (Level::Bad, "clients_interests is not answered with interests"),
        "cache_store" if workers < of => (Level::Warn, "Scores are right, and a part of them is computed"),
        "cache_store" => (Level::Warn, "Scores are right, and each is computed"),
        _ => (Level::Bad, "Calls are answered 500 or 503"),
    };
    let state = match state {
        ActorState::Stuck => "reads no messages",
        ActorState::Running | ActorState::Restarting | ActorState::Failing => "fails again and again",
    };
    let place = if *of > 1 { format!(" on {workers} of {of} workers") } else { String::new() };
    verdict_of(level, format!("{effect}: the actor {actor} {state}{place}."), "/runbook#scoringactorfails")
}

fn of_persistent_store(facts: &Facts<'_>) -> Option<Verdict> {
    const LINK: &str = "/runbook#scoringpersistentstoredown";
    let store = facts.persistent;
    let scores = match facts.cache.status {
        StoreState::Down => "Scores are right, and each is computed: the cache is down, too.",
        StoreState::Up | StoreState::Starting => "Scores are right.",
    };
    let down: Vec<_> = store.shards.iter().filter(|shard| shard.status == StoreState::Down).collect();
    match store.status {
        StoreState::Up => None,
        StoreState::Starting => verdict_of(
            Level::Warn,
            format!(
                "clients_interests is answered 503 until the first connection to the persistent store {}. {scores}",
                store.address
            ),
            LINK,
        ),
        StoreState::Down if !down.is_empty() && down.len() < store.shards.len() => {
            let names: Vec<_> = down.iter().map(|shard| &*shard.shard).collect();
            let sentence = format!(
                "clients_interests is answered 503 for the clients of {} of {} servers of the persistent store ({}): {}. {scores}",
                down.len(),
                store.shards.len(),
                names.join(", "),
                why(store)
            );
            verdict_of(Level::Bad, sentence, LINK)
        }
        StoreState::Down => {
            let sentence = format!(
                "clients_interests is answered 503: the persistent store {} is down: {}. {scores}",
                store.address,
                why(store)
            );
            verdict_of(Level::Bad, sentence, LINK)
        }
    }
}

fn of_errors(facts: &Facts<'_>) -> Option<Verdict> {
    let Facts { calls, errors, .. } = *facts;
    if errors == 0 {
        return None;
    }
    let (why, link) = match facts.reason {
        Some(reason @ (FailureReason::Overload | FailureReason::Deadline | FailureReason::BodyMemory)) => {
            (of_reason(reason), "/runbook#scoringsheds")
        }
        Some(reason @ FailureReason::StoreDown) => (of_reason(reason), "/runbook#scoringpersistentstoredown"),
        Some(reason @ FailureReason::Actor) => (of_reason(reason), "/runbook#scoringactorrestarts"),
        Some(reason) => (of_reason(reason), "/runbook#scoringinternalerrors"),
        None => ("see the log", "/runbook#scoringinternalerrors"),
    };
    // A hundredth of all calls.
    let level = if errors.saturating_mul(100) >= calls { Level::Bad } else { Level::Warn };
    verdict_of(
        level,
        format!("{errors} of {calls} calls in the last 10 s were answered 500 or 503: {why}."),
        link,
    )
}

/// Most calls are refused: the callers are at fault, or the settings are.
fn of_refusals(facts: &Facts<'_>) -> Option<Verdict> {
    let refused = facts.refused.filter(|refused| refused.calls.saturating_mul(2) > facts.calls)?;
    let link = match refused.reason {
        Some(FailureReason::Forbidden | FailureReason::Rate) => "/runbook#scoringrefusalsjump",
        Some(_) | None => "/runbook#read-the-log",
    };
    verdict_of(Level::Warn, of_refused(refused, facts.calls), link)
}

fn of_refused(refused: Refused, calls: u64) -> String {
    let why = refused.reason.map_or("see the log", of_reason);
    format!("{} of {calls} calls of the last 10 s were refused: {why}.", refused.calls)
}

fn of_cache(facts: &Facts<'_>) -> Option<Verdict> {
    let cache = facts.cache;
    let down: Vec<_> = cache.shards.iter().filter(|shard| shard.status == StoreState::Down).collect();
    let sentence = match cache.status {
        StoreState::Up | StoreState::Starting => return None,
        StoreState::Down if !down.is_empty() && down.len() < cache.shards.len() => format!(
            "Scores are right, and a part of them is computed each time: {} of {} servers of the cache are down: {}.",
            down.len(),
            cache.shards.len(),
            why(cache)
        ),
        StoreState::Down => format!(
            "Scores are right, and each is computed: the cache {} is down: {}.",
            cache.address,
            why(cache)
        ),
    };
    verdict_of(Level::Warn, sentence, "/runbook#scoringcachedown")
}

fn of_writes(facts: &Facts<'_>) -> Option<Verdict> {
    let cache = facts.cache;
    if cache.writes.status != WritesState::Refused {
        return None;
    }
    let why = cache.writes.cause.as_deref().unwrap_or("the log has the cause");
    let sentence = format!(
        "Scores are right, and new ones are not kept: the cache {} refuses writes: {why}.",
        cache.address
    );
    verdict_of(Level::Warn, sentence, "/runbook#scoringwritesrefused")
}

fn of_latency(facts: &Facts<'_>) -> Option<Verdict> {
    let Slow { method, p99_ms, promise_ms } = facts.slow.as_ref()?;
    let link =
        if method == "online_score" { "/runbook#scoringscoresslow" } else { "/runbook#scoringinterestsslow" };
    let sentence = format!(
        "{method} is slower than promised: in the last 10 s 99 % of its calls took up to {p99_ms:.0} ms, and {promise_ms} ms are promised."
    );
    verdict_of(Level::Warn, sentence, link)
}

fn of_notes(facts: &Facts<'_>) -> Option<Verdict> {
    let store = [facts.persistent, facts.cache].into_iter().find(|store| store.note.is_some())?;
    let effect = facts
        .refused
        .map_or_else(|| "Callers notice nothing.".to_owned(), |refused| of_refused(refused, facts.calls));
    let sentence = format!("{effect} {}: {}.", store.role, store.note.as_deref()?);
    verdict_of(Level::Warn, sentence, "/runbook#read-readiness")
}

fn all_is_well(facts: &Facts<'_>) -> Verdict {
    if let Some(refused) = facts.refused {
        let sentence = format!("All is well here. {}", of_refused(refused, facts.calls));
        return Verdict { level: Level::Ok, sentence, link: None };
    }
    let sentence = match facts.calls {
        0 => "Callers notice nothing. There were no calls in the last 10 s.".to_owned(),
        1 => "Callers notice nothing. The only call of the last 10 s was answered in time.".to_owned(),
        calls => format!("Callers notice nothing. All {calls} calls of the last 10 s were answered in time."),
    };
    Verdict { level: Level::Ok, sentence, link: None }
}

fn verdict_of(level: Level, sentence: String, link: &'static str) -> Option<Verdict> {
    Some(Verdict { level, sentence, link: Some(link.into()) })
}

#[cfg(test)]
mod tests;
