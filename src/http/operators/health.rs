//! The operators' endpoints: liveness, readiness and metrics.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use actix_web::{HttpResponse, http::header::ContentType, web};
use chrono::{DateTime, SecondsFormat, Utc};
use prometheus::{Registry, TextEncoder};
use serde::Serialize;

use super::{Dispatchers, status::Status};
use crate::{
    actors::runtime::ActorsHealth,
    build_info::{REVISION, VERSION},
    http::{
        api::CallPlan,
        lifecycle::{Lifecycle, Phase},
    },
    store::{Access, Connector, HealthReport, SentinelReport, StoreHealth, Writes, WritesStatus},
    units::millis,
};

/// The parts that these endpoints report.
#[derive(Debug, Clone)]
pub struct AdminPlan {
    /// The phase of the service's life.
    pub lifecycle: Lifecycle,
    /// Both roles of the store.
    pub roles: [Arc<StoreHealth>; 2],
    /// Their stores.
    pub stores: [Arc<dyn Connector>; 2],
    /// All actors.
    pub health: ActorsHealth,
    /// How long a worker's thread may be blocked before the process counts as dead.
    pub liveness_patience: Duration,
    /// All metrics.
    pub registry: Registry,
    /// The handler of calls from the documentation page.
    pub call: CallPlan,
    /// The dispatchers of these calls.
    pub dispatchers: Dispatchers,
    /// The state of the service as people watch it.
    pub status: Arc<Status>,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    version: &'static str,
    revision: &'static str,
    parts: BTreeMap<&'static str, Part>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part {
    Store(Box<StorePart>),
    Actor { status: &'static str, restarts: u64 },
}

#[derive(Serialize)]
struct StorePart {
    kind: &'static str,
    address: String,
    status: &'static str,
    since: String,
    breaker: &'static str,
    last_error: Option<&'static str>,
    cause: Option<String>,
    last_error_at: Option<String>,
    last_outage_ms: Option<u64>,
    writes: Option<WritesPart>,
    access: Option<&'static str>,
    note: Option<String>,
}

/// Whether a store accepts writes; left out until something is written.
#[derive(Serialize)]
struct WritesPart {
    status: &'static str,
    since: String,
    cause: Option<String>,
}

/// The process is alive: no worker's thread is blocked for long. Checks nothing else, so that a lost store never makes an
/// orchestrator kill a service that still scores.
pub(super) async fn healthz(plan: web::Data<AdminPlan>) -> HttpResponse {
    let blocked = plan.health.longest_block();
    if blocked <= plan.liveness_patience {
        return HttpResponse::Ok().insert_header(ContentType::plaintext()).body("ok\n");
    }
    let text = format!("a worker's thread has been blocked for {} s\n", blocked.as_secs());
    HttpResponse::ServiceUnavailable().insert_header(ContentType::plaintext()).body(text)
}

/// Ready, or degraded when a store is lost or an actor keeps failing: the other calls are still answered. 503 only
/// while starting and draining, and when an actor is stuck, because calls that need it are not answered at all.
pub(super) async fn readyz(plan: web::Data<AdminPlan>) -> HttpResponse {
    let mut parts = BTreeMap::new();
    let (mut degraded, mut stuck) = (false, false);
    for (role, store) in plan.roles.iter().zip(&plan.stores) {
        let state = role.report();
        degraded |= !state.up;
        let note = note(store.as_ref(), &state);
        let part = StorePart {
            kind: store.kind(),
            address: role.address().to_owned(),
            status: if state.up { "up" } else { "down" },
            since: written(state.since),
            breaker: if state.breaker_open { "open" } else { "closed" },
            last_error: state.last_error.as_ref().map(|error| error.kind),
            cause: state.last_error.as_ref().map(|error| error.cause.clone()),
            last_error_at: state.last_error.as_ref().map(|error| written(error.at)),
            last_outage_ms: state.last_outage.map(millis),
            writes: WritesPart::of(state.writes.clone()),
            access: state.access.map(Access::as_str),
            note,
        };
        parts.insert(role.role().as_str(), Part::Store(Box::new(part)));
    }
    for health in plan.health.all() {
        let status = match (health.is_stuck(), health.is_failing()) {
            (true, _) => "stuck",
            (false, true) => "failing",
            (false, false) => "running",
        };
        stuck |= status == "stuck";
        degraded |= status == "failing";
        parts.insert(health.name(), Part::Actor { status, restarts: health.restarts() });
    }
    let (status, mut response) = match plan.lifecycle.phase() {
        Phase::Starting => ("starting", HttpResponse::ServiceUnavailable()),
        Phase::Draining | Phase::Closing => ("draining", HttpResponse::ServiceUnavailable()),
        Phase::Serving if stuck => ("stuck", HttpResponse::ServiceUnavailable()),
        Phase::Serving if degraded => ("degraded", HttpResponse::Ok()),
        Phase::Serving => ("ready", HttpResponse::Ok()),
    };
    response.json(Readiness { status, version: VERSION, revision: REVISION, parts })
}

/// A time, as readiness shows it.
fn written(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

// ===== impl WritesPart =====

impl WritesPart {
    fn of(writes: Writes) -> Option<Self> {
        let Writes { status, since, cause } = writes;
        (status != WritesStatus::Unknown).then(|| Self {
            status: status.as_str(),
            since: written(since),
            cause,
        })
    }
}

/// A remark about servers beside the one that is used, in words.
pub(super) fn note(store: &dyn Connector, report: &HealthReport) -> Option<String> {
    store.sentinels().and_then(few).or_else(|| of_cluster(&report.down(), store))
}

/// In words, if most sentinels do not answer. It costs no call: the last primary stays in use.
fn few(sentinels: SentinelReport) -> Option<String> {
    let SentinelReport { answering, silent, faults } = sentinels;
    (silent >= answering).then(|| format!("{answering} of {} sentinels answer: {faults}", answering + silent))
}

/// In words, which servers of a cluster do not serve, and the number of slots without a primary.
fn of_cluster(down: &[&str], store: &dyn Connector) -> Option<String> {
    let map = store.cluster()?.last_view()?.map?;
    let count = map.primaries().len();
    let down = (!down.is_empty())
        .then(|| format!("{} of {count} servers do not serve: {}", down.len(), down.join(", ")));
    let unowned = (map.unowned() > 0).then(|| format!("{} slots have no primary", map.unowned()));
    let notes: Vec<_> = down.into_iter().chain(unowned).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// All metrics, in Prometheus' text format.
pub(super) async fn metrics(plan: web::Data<AdminPlan>) -> HttpResponse {
    match TextEncoder::new().encode_to_string(&plan.registry.gather()) {
        Ok(text) => HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            HttpResponse::InternalServerError().finish()
        }
    }
}
