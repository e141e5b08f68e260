//! Reports for tests.

use std::{collections::BTreeMap, time::Duration};

use super::model::*;
use crate::wall_clock;

/// A store that serves.
pub(super) fn store(role: &'static str) -> StoreStatus {
    let since = wall_clock::now().into();
    StoreStatus {
        role: role.into(),
        kind: "redis".into(),
        address: "127.0.0.1:6379".to_owned(),
        status: StoreState::Up,
        since,
        breaker: BreakerState::Closed,
        next_try_ms: None,
        links: LinksStatus { serving: 2, connecting: 0, refusing: 0 },
        last_error: None,
        writes: WritesStatus { status: WritesState::Accepted, since, cause: None },
        shards: Vec::new(),
        lookups: (role == "cache").then_some(Lookups { near_hit: 0.0, hit: 1.0, miss: 0.2, degraded: 0.0 }),
        note: None,
    }
}

/// The same store, down for a second.
pub(super) fn down(store: StoreStatus, cause: &str) -> StoreStatus {
    let at = Time(wall_clock::now() - Duration::from_secs(1));
    StoreStatus {
        status: StoreState::Down,
        since: at,
        breaker: BreakerState::Open,
        next_try_ms: Some(120),
        links: LinksStatus { serving: 0, connecting: 0, refusing: 2 },
        last_error: Some(LastError { kind: "disconnected".into(), cause: cause.to_owned(), at }),
        ..store
    }
}

/// A primary of a cluster.
pub(super) fn shard(name: &str, status: StoreState) -> ShardStatus {
    let (since, links) = (wall_clock::now().into(), LinksStatus::default());
    ShardStatus { shard: name.to_owned(), status, since, links, last_error: None }
}

/// The actors of a worker, all of them well.
pub(super) fn worker(worker: usize) -> WorkerStatus {
    let actors = ["dispatcher", "scoring"].map(|actor| ActorStatus {
        actor: actor.into(),
        status: ActorState::Running,
        mailbox: 0,
        waited_ms: 0.01,
        handled_per_second: 12.0,
        restarts: 0,
        last_restart: None,
    });
    WorkerStatus { worker, actors: actors.into() }
}

/// The report of a service that is well.
pub(super) fn report() -> StatusReport {
    let now = wall_clock::now();
    let method = MethodStatus {
        method: "online_score".into(),
        per_second: 12.3,
        p50_ms: Some(1.2),
        p99_ms: Some(3.4),
        promise_ms: Some(100),
        codes: BTreeMap::from([("200".into(), 12.3)]),
    };
    StatusReport {
        service: ServiceStatus {
            name: "scoring-api".into(),
            version: "0.1.0".into(),
            revision: None,
            started: Time(now - Duration::from_secs(3_600)),
            now: now.into(),
            phase: "serving".into(),
        },
        verdict: Verdict { level: Level::Ok, sentence: "Callers notice nothing.".to_owned(), link: None },
        calls: CallsStatus { methods: vec![method], reasons: Vec::new(), history: CallHistory::default() },
        stores: vec![store("cache"), store("persistent")],
        actors: vec![worker(0)],
        resources: Resources { connections: 3, connections_limit: 10_000, ..Resources::default() },
        card: CardStatus { version: "1".to_owned(), digest: "abc".to_owned(), shadow: None },
        partners: PartnersStatus::default(),
        last_reload: None,
        changes: Vec::new(),
    }
}
