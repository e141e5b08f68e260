//! Reads the parts of the service. The only file of the status page that knows them.

use std::{sync::Arc, time::SystemTime};

use tokio::time::Instant;

use super::{
    history::{ActorCounts, Counters},
    model::{
        ActorState, ActorStatus, BreakerState, CardStatus, LastError, LastReload, LastRestart, LinksStatus,
        PartnersStatus, Resources, ShardStatus, StoreState, StoreStatus, Text, Time, WorkerStatus,
        WritesState, WritesStatus,
    },
    reloads::Reloads,
};
use crate::{
    actors::{
        active_card::CardSwitch,
        cache_lookups::{CacheLookups, Lookup},
        runtime::{self, ActorReport, ActorsHealth},
    },
    admission::{Admission, settings::LimitSettings},
    build_info,
    domain::Card,
    http::{
        AcceptQueue, HttpMetrics,
        lifecycle::{Lifecycle, Phase},
        operators::health::note,
    },
    store::{self, Connector, StoreHealth},
    units::{as_u64, millis},
    wall_clock,
};

/// The parts of the service that the report is about.
#[derive(Debug, Clone)]
pub struct StatusSources {
    /// The phase of the service's life.
    pub lifecycle: Lifecycle,
    /// Both roles of the store: first the cache.
    pub roles: [Arc<StoreHealth>; 2],
    /// Their stores.
    pub stores: [Arc<dyn Connector>; 2],
    /// All actors.
    pub health: ActorsHealth,
    /// The counters of answers.
    pub metrics: HttpMetrics,
    /// The connections of the public listener that wait.
    pub queue: AcceptQueue,
    /// The memory of bodies.
    pub admission: Arc<Admission>,
    /// The limits of calls in flight and of this memory.
    pub limits: LimitSettings,
    /// The counters of look-ups.
    pub lookups: CacheLookups,
    /// The card in effect.
    pub card: CardSwitch,
    /// The last reload, and the partners in effect.
    pub reloads: Reloads,
}

/// Everything that can change, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) at: Time,
    pub(super) phase: Phase,
    /// The cache and the persistent store, without rates.
    pub(super) stores: [StoreStatus; 2],
    /// Without rates.
    pub(super) actors: Vec<WorkerStatus>,
    pub(super) resources: Resources,
    pub(super) card: CardStatus,
    pub(super) partners: PartnersStatus,
    pub(super) last_reload: Option<LastReload>,
}

/// Everything that is read once a second.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) moment: Moment,
    pub(super) counters: Counters,
    pub(super) actors: Vec<ActorCounts>,
}

// ===== impl StatusSources =====

impl StatusSources {
    /// The state and all counters now.
    pub(super) fn reading(&self) -> Reading {
        let report = self.health.report();
        let actors = counts(&report);
        Reading { moment: self.moment_with(report), counters: self.counters(), actors }
    }

    /// The state now.
    pub(super) fn moment(&self) -> Moment {
        self.moment_with(self.health.report())
    }

    fn moment_with(&self, actors: Vec<ActorReport>) -> Moment {
        let [cache, persistent] = &self.roles;
        let [cache_store, persistent_store] = &self.stores;
        let card = self.card.load();
        let (last_reload, partners) = self.reloads.now();
        Moment {
            at: wall_clock::now().into(),
            phase: self.lifecycle.phase(),
            stores: [of_store(cache, cache_store.as_ref()), of_store(persistent, persistent_store.as_ref())],
            actors: by_worker(actors),
            resources: self.resources(),
            card: CardStatus {
                version: card.card().version().to_owned(),
                digest: card.card().digest().to_owned(),
                shadow: card.shadow().map(Card::version).map(str::to_owned),
            },
            partners,
            last_reload,
        }
    }

    fn counters(&self) -> Counters {
        let lookups = [Lookup::NearHit, Lookup::Hit, Lookup::Miss, Lookup::Degraded];
        Counters {
            taken: Instant::now(),
            methods: self.metrics.counts(),
            failures: self.metrics.failures(),
            lookups: lookups.map(|lookup| self.lookups.counted(lookup)),
        }
    }

    fn resources(&self) -> Resources {
        let (connections, connections_limit) = self.metrics.connections_of("public");
        let LimitSettings { max_in_flight, body_memory, .. } = self.limits;
        Resources {
            connections,
            connections_limit,
            connections_waiting: self.queue.waiting().unwrap_or_default(),
            in_flight: self.metrics.in_flight().try_into().unwrap_or_default(),
            in_flight_limit: as_u64(max_in_flight),
            body_memory_bytes: as_u64(body_memory.saturating_sub(self.admission.body_memory_left())),
            body_memory_limit_bytes: as_u64(body_memory),
        }
    }
}

/// The commit that this program was built from, if that is known.
pub(super) fn revision() -> Option<Text> {
    (build_info::REVISION != "unknown").then_some(build_info::REVISION.into())
}

fn of_store(health: &StoreHealth, store: &dyn Connector) -> StoreStatus {
    let report = health.report();
    let address = health.address();
    let note = note(store, &report);
    let failed = report.last_error.as_ref().map(|error| error.at);
    StoreStatus {
        role: health.role().as_str().into(),
        kind: store.kind().into(),
        address: address.to_owned(),
        status: state(report.up, report.links.refusing, report.since, failed),
        since: report.since.into(),
        breaker: if report.breaker_open { BreakerState::Open } else { BreakerState::Closed },
        next_try_ms: report.next_try.filter(|_| report.breaker_open).map(millis),
        links: links(report.links),
        last_error: report.last_error.map(|error| last_error(&error, address)),
        writes: WritesStatus {
            status: match report.writes.status {
                store::WritesStatus::Unknown => WritesState::Unknown,
                store::WritesStatus::Accepted => WritesState::Accepted,
                store::WritesStatus::Refused => WritesState::Refused,
            },
            since: report.writes.since.into(),
            cause: report.writes.cause,
        },
        shards: report.shards.into_iter().map(of_shard).collect(),
        lookups: None,
        note,
    }
}

fn of_shard(shard: store::ShardReport) -> ShardStatus {
    let name = shard.name.to_string();
    let failed = shard.last_error.as_ref().map(|error| error.at);
    ShardStatus {
        status: state(shard.up, shard.links.refusing, shard.since, failed),
        since: shard.since.into(),
        links: links(shard.links),
        last_error: shard.last_error.map(|error| last_error(&error, &name)),
        shard: name,
    }
}

/// A store without an error `since` it is not up is only being connected to, at the start or after an actor's restart.
fn state(up: bool, refusing: usize, since: SystemTime, failed: Option<SystemTime>) -> StoreState {
    if up {
        StoreState::Up
    } else if refusing > 0 || failed.is_some_and(|at| at >= since) {
        StoreState::Down
    } else {
        StoreState::Starting
    }
}

fn links(links: store::LinkReport) -> LinksStatus {
    LinksStatus { serving: links.serving, connecting: links.connecting, refusing: links.refusing }
}

/// The address of the store stands beside its error, so it is left out there.
fn last_error(error: &store::LastError, address: &str) -> LastError {
    let store::LastError { kind, cause, at } = error;
    let rest = cause.strip_prefix(address).and_then(|rest| rest.strip_prefix(": "));
    LastError { kind: (*kind).into(), cause: rest.unwrap_or(cause).to_owned(), at: (*at).into() }
}

fn counts(reports: &[ActorReport]) -> Vec<ActorCounts> {
    let counts = reports.iter().map(|actor| ActorCounts {
        actor: (actor.worker, actor.name.into()),
        handled: actor.handled,
        waited: actor.waited,
    });
    counts.collect()
}

/// The actors of each worker, in the order of their names in the tree.
fn by_worker(reports: Vec<ActorReport>) -> Vec<WorkerStatus> {
    let mut workers: Vec<WorkerStatus> = Vec::new();
    for report in reports {
        let worker = report.worker;
        let actor = of_actor(report);
        match workers.iter_mut().find(|known| known.worker == worker) {
            Some(known) => known.actors.push(actor),
            None => workers.push(WorkerStatus { worker, actors: vec![actor] }),
        }
    }
    workers.sort_by_key(|worker| worker.worker);
    workers
}

fn of_actor(report: ActorReport) -> ActorStatus {
    ActorStatus {
        actor: report.name.into(),
        status: match report.state {
            runtime::ActorState::Running => ActorState::Running,
            runtime::ActorState::Restarting => ActorState::Restarting,
            runtime::ActorState::Failing => ActorState::Failing,
            runtime::ActorState::Stuck => ActorState::Stuck,
        },
        mailbox: report.mailbox,
        waited_ms: 0.0,
        handled_per_second: 0.0,
        restarts: report.restarts,
        last_restart: report.last_restart.map(|restart| LastRestart {
            reason: restart.reason.as_str().into(),
            at: restart.at.into(),
            place: restart.place,
            message: restart.message.map(Text::from),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::up(true, 0, Some(-1), StoreState::Up)]
    #[case::breaker_open(false, 1, Some(-1), StoreState::Down)]
    #[case::error_since(false, 0, Some(1), StoreState::Down)]
    #[case::no_error_yet(false, 0, None, StoreState::Starting)]
    #[case::error_of_long_ago(false, 0, Some(-1), StoreState::Starting)]
    fn a_store_is_down_only_with_an_error_of_now(
        #[case] up: bool,
        #[case] refusing: usize,
        #[case] seconds: Option<i64>,
        #[case] expected: StoreState,
    ) {
        let since: SystemTime = wall_clock::now().into();
        let failed = seconds.map(|seconds| match seconds {
            0.. => since + Duration::from_secs(seconds.unsigned_abs()),
            _ => since - Duration::from_secs(seconds.unsigned_abs()),
        });
        assert_eq!(state(up, refusing, since, failed), expected);
    }

    #[rstest]
    #[case::with_it("127.0.0.1:6379: no connection", "no connection")]
    #[case::of_a_node("127.0.0.1:7001: no connection", "127.0.0.1:7001: no connection")]
    #[case::without("writes are refused (OOM)", "writes are refused (OOM)")]
    fn the_address_beside_an_error_is_not_repeated(#[case] cause: &str, #[case] shown: &str) {
        let at = wall_clock::now().into();
        let error = store::LastError { kind: "disconnected", cause: cause.to_owned(), at };
        assert_eq!(last_error(&error, "127.0.0.1:6379").cause, shown);
    }
}
