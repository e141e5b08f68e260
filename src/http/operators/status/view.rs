//! The report as charts and tables of texts. The page without a script and the command line show these; `page.js` makes the
//! same ones out of `/status.json`, which a test in a browser compares.

use super::{
    model::{
        ActorState, ActorStatus, BreakerState, Change, LastError, LastReload, LastRestart, Level,
        LinksStatus, MethodStatus, Severity, ShardStatus, StatusReport, StoreState, StoreStatus, Time,
        WritesState,
    },
    notation::{NOTHING, bytes, clock, count, ms, ms_or_nothing, rate, span},
};

/// A part of the report.
#[derive(Debug)]
pub struct Section {
    /// Its name in links.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Numbers with their last five minutes.
    pub charts: Vec<Chart>,
    /// Everything else.
    pub tables: Vec<Table>,
}

/// A number with its last five minutes.
#[derive(Debug)]
pub struct Chart {
    /// The number's name.
    pub title: String,
    /// The number now.
    pub value: String,
    /// How good it is.
    pub level: Level,
    /// One for each second, oldest first.
    pub points: Vec<Option<f64>>,
    /// The promised maximum.
    pub limit: Option<f64>,
    /// The highest point in words.
    pub highest: String,
}

/// Rows below a head.
#[derive(Debug)]
pub struct Table {
    /// The names of the columns.
    pub head: &'static [&'static str],
    /// The rows in groups.
    pub groups: Vec<Group>,
    /// The text in place of a table without rows.
    pub empty: &'static str,
}

/// Rows that belong together.
#[derive(Debug)]
pub struct Group {
    /// Their heading.
    pub title: Option<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row.
#[derive(Debug)]
pub struct Row {
    /// How good its state is.
    pub level: Level,
    /// A text for each column.
    pub cells: Vec<String>,
}

/// The process, in one line.
pub fn service_line(report: &StatusReport) -> String {
    let service = &report.service;
    let revision = service.revision.as_ref().map(|revision| format!(" ({revision})")).unwrap_or_default();
    let up = span(service.now.seconds_since(service.started));
    let now = clock(service.now, service.now);
    format!(
        "{}{revision}, {}, started {up} ago. It is {now}, and all times are UTC.",
        service.version, service.phase
    )
}

/// A level in one word.
pub fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Warn => "Degraded",
        Level::Bad => "Failing",
    }
}

/// All parts, the most important first.
pub fn sections(report: &StatusReport) -> Vec<Section> {
    vec![
        of_calls(report),
        section("stores", "Stores", of_stores(report)),
        section("actors", "Actors", of_actors(report)),
        section("resources", "Resources", of_resources(report)),
        section("settings", "Settings", of_settings(report)),
        section("changes", "Last changes", of_changes(report)),
    ]
}

fn section(id: &'static str, title: &'static str, table: Table) -> Section {
    Section { id, title, charts: Vec::new(), tables: vec![table] }
}

fn of_calls(report: &StatusReport) -> Section {
    let calls = &report.calls;
    let answers = || calls.methods.iter().flat_map(|method| &method.codes);
    let all: f64 = answers().map(|(_, number)| number).sum();
    let failed: f64 = answers().filter(|(code, _)| *code != "200").map(|(_, number)| number).sum();
    let has_errors = answers().any(|(code, number)| code.starts_with('5') && *number > 0.0);
    let level = if has_errors || failed * 2.0 > all { Level::Warn } else { Level::Ok };
    let plain = |points: &[f64]| points.iter().copied().map(Some).collect();
    let mut charts = vec![
        chart("Answers a second", rate(all), Level::Ok, plain(&calls.history.calls), None),
        chart("Not 200, a second", rate(failed), level, plain(&calls.history.failed), None),
    ];
    for (method, points) in [
        ("online_score", &calls.history.score_p99_ms),
        ("clients_interests", &calls.history.interests_p99_ms),
    ] {
        if let Some(status) = calls.methods.iter().find(|status| status.method == method) {
            let promise = status.promise_ms.map(|promise| promise as f64);
            let title = format!("{method}, p99");
            charts.push(chart(
                &title,
                ms_or_nothing(status.p99_ms),
                level_of(status),
                points.clone(),
                promise,
            ));
        }
    }
    let methods = calls.methods.iter().map(|method| {
        let codes: Vec<_> =
            method.codes.iter().map(|(code, number)| format!("{code}: {}", rate(*number))).collect();
        let promise = method.promise_ms.map_or_else(|| NOTHING.to_owned(), |promise| ms(promise as f64));
        let cells = vec![
            method.method.to_string(),
            rate(method.per_second),
            ms_or_nothing(method.p50_ms),
            ms_or_nothing(method.p99_ms),
            promise,
            if codes.is_empty() { NOTHING.to_owned() } else { codes.join(", ") },
        ];
        Row { level: level_of(method), cells }
    });
    let reasons = calls.reasons.iter().map(|reason| Row {
        level: if reason.per_second > 0.0 { Level::Warn } else { Level::Ok },
        cells: vec![
            reason.reason.to_string(),
            reason.words.to_string(),
            rate(reason.per_second),
            count(reason.last_minute),
            count(reason.total),
        ],
    });
    let methods = table(
        &["Method", "A second", "p50", "p99", "Promise", "Answers a second, by status"],
        methods.collect(),
        "No method has been called yet.",
    );
    let reasons = table(
        &["Reason of answers that are not 200", "In words", "A second", "Last minute", "Since the start"],
        reasons.collect(),
        "Every answer since the start was 200.",
    );
    Section { id: "calls", title: "Calls", charts, tables: vec![methods, reasons] }
}

fn of_stores(report: &StatusReport) -> Table {
    let now = report.service.now;
    let rows = report.stores.iter().flat_map(|store| {
        let shards = store.shards.iter().map(move |shard| of_shard(store, shard, now));
        [of_store(store, now)].into_iter().chain(shards)
    });
    let head = &["Store", "Where", "State", "Links", "Breaker", "Writes", "Last error", "Look-ups a second"];
    table(head, rows.collect(), "There is no store.")
}

fn of_store(store: &StoreStatus, now: Time) -> Row {
    let note = store.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
    let refuses = store.writes.status == WritesState::Refused;
    let level = match store.status {
        StoreState::Down => level_of_outage(store),
        StoreState::Starting => Level::Warn,
        StoreState::Up if refuses || store.note.is_some() => Level::Warn,
        StoreState::Up => Level::Ok,
    };
    let breaker = match (store.breaker, store.next_try_ms) {
        (BreakerState::Open, Some(next)) => format!("open, next try in {next} ms"),
        (breaker, _) => breaker.as_str().to_owned(),
    };
    let writes = match (store.writes.status, &store.writes.cause) {
        (WritesState::Unknown, _) => NOTHING.to_owned(),
        (WritesState::Accepted, _) => "accepted".to_owned(),
        (WritesState::Refused, cause) => {
            let since = span(now.seconds_since(store.writes.since));
            let cause = cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("refused for {since}{cause}")
        }
    };
    let lookups = store.lookups.map(|lookups| {
        let results = [
            ("near hit", lookups.near_hit),
            ("hit", lookups.hit),
            ("miss", lookups.miss),
            ("degraded", lookups.degraded),
        ];
        let some = results.iter().filter(|(_, number)| *number > 0.0);
        let some: Vec<_> = some.map(|(result, number)| format!("{result} {}", rate(*number))).collect();
        if some.is_empty() { "0".to_owned() } else { some.join(", ") }
    });
    let cells = vec![
        format!("{} ({})", store.role, store.kind),
        store.address.clone(),
        format!("{} for {}{note}", store.status.as_str(), span(now.seconds_since(store.since))),
        links(store.links),
        breaker,
        writes,
        error(store.last_error.as_ref(), now),
        lookups.unwrap_or_else(|| NOTHING.to_owned()),
    ];
    Row { level, cells }
}

fn of_shard(store: &StoreStatus, shard: &ShardStatus, now: Time) -> Row {
    let level = match shard.status {
        StoreState::Up => Level::Ok,
        StoreState::Starting => Level::Warn,
        StoreState::Down => level_of_outage(store),
    };
    let nothing = || NOTHING.to_owned();
    let cells = vec![
        format!("{} server", store.role),
        shard.shard.clone(),
        format!("{} for {}", shard.status.as_str(), span(now.seconds_since(shard.since))),
        links(shard.links),
        nothing(),
        nothing(),
        error(shard.last_error.as_ref(), now),
        nothing(),
    ];
    Row { level, cells }
}

fn of_actors(report: &StatusReport) -> Table {
    let now = report.service.now;
    let groups = report.actors.iter().map(|worker| Group {
        title: Some(format!("Worker {}", worker.worker)),
        rows: worker.actors.iter().map(|actor| of_actor(actor, now)).collect(),
    });
    Table {
        head: &["Actor", "State", "Mailbox", "Wait", "Handled a second", "Restarts", "Last restart"],
        groups: groups.collect(),
        empty: "No actor runs.",
    }
}

fn of_actor(actor: &ActorStatus, now: Time) -> Row {
    let level = match actor.status {
        ActorState::Running => Level::Ok,
        ActorState::Restarting => Level::Warn,
        ActorState::Failing | ActorState::Stuck => Level::Bad,
    };
    let restart = actor.last_restart.as_ref().map(|restart| {
        let LastRestart { reason, at, place, message } = restart;
        let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{}, {reason}{place}{message}", clock(*at, now))
    });
    let cells = vec![
        actor.actor.to_string(),
        actor.status.as_str().to_owned(),
        count(crate::units::as_u64(actor.mailbox)),
        ms(actor.waited_ms),
        rate(actor.handled_per_second),
        count(actor.restarts),
        restart.unwrap_or_else(|| NOTHING.to_owned()),
    ];
    Row { level, cells }
}

fn of_resources(report: &StatusReport) -> Table {
    let resources = &report.resources;
    let row = |name: &str, now: u64, limit: u64, written: fn(u64) -> String| {
        // Four fifths, as in the alerts.
        let is_near = now.saturating_mul(5) >= limit.saturating_mul(4) && limit > 0;
        let cells = vec![name.to_owned(), written(now), written(limit)];
        Row { level: if is_near { Level::Warn } else { Level::Ok }, cells }
    };
    let waiting = resources.connections_waiting;
    let rows = vec![
        row("Connections", resources.connections, resources.connections_limit, count),
        Row {
            level: if waiting > 0 { Level::Warn } else { Level::Ok },
            cells: vec!["Connections that wait".to_owned(), count(waiting), NOTHING.to_owned()],
        },
        row("Calls in flight", resources.in_flight, resources.in_flight_limit, count),
        row("Memory of bodies", resources.body_memory_bytes, resources.body_memory_limit_bytes, bytes),
    ];
    table(&["Resource", "Now", "Limit"], rows, "")
}

fn of_settings(report: &StatusReport) -> Table {
    let now = report.service.now;
    let (card, partners) = (&report.card, &report.partners);
    let digest = partners.digest.as_ref().map(|digest| format!(" ({digest})")).unwrap_or_default();
    let reload = report.last_reload.as_ref();
    let is_well = reload.is_none_or(|reload| reload.outcome.as_str() == "succeeded");
    let row = |name: &str, value: String| Row { level: Level::Ok, cells: vec![name.to_owned(), value] };
    let rows = vec![
        row("Card", format!("{} ({})", card.version, shortened(&card.digest))),
        row("Shadow card", card.shadow.clone().unwrap_or_else(|| NOTHING.to_owned())),
        row("Registered partners", format!("{}{digest}", count(crate::units::as_u64(partners.count)))),
        Row {
            level: if is_well { Level::Ok } else { Level::Warn },
            ..row("Last reload", reload.map_or_else(|| NOTHING.to_owned(), |reload| of_reload(reload, now)))
        },
    ];
    table(&["Setting", "In effect"], rows, "")
}

fn of_reload(reload: &LastReload, now: Time) -> String {
    let LastReload { at, outcome, changed } = reload;
    let changed = if changed.is_empty() { String::new() } else { format!(": {}", changed.join(" ")) };
    format!("{}, {}{changed}", clock(*at, now), outcome.as_str())
}

fn of_changes(report: &StatusReport) -> Table {
    let now = report.service.now;
    let rows = report.changes.iter().map(|Change { at, level, text }| Row {
        level: match level {
            Severity::Info => Level::Ok,
            Severity::Warn => Level::Warn,
            Severity::Error => Level::Bad,
        },
        cells: vec![clock(*at, now), text.clone()],
    });
    table(&["Time", "Change"], rows.collect(), "Nothing has changed since the start.")
}

fn table(head: &'static [&'static str], rows: Vec<Row>, empty: &'static str) -> Table {
    Table { head, groups: vec![Group { title: None, rows }], empty }
}

fn chart(title: &str, value: String, level: Level, points: Vec<Option<f64>>, limit: Option<f64>) -> Chart {
    let highest = points.iter().flatten().copied().fold(0.0, f64::max);
    let highest = match limit {
        Some(limit) if highest > 0.0 => format!("5 min: up to {}; promised: {}", ms(highest), ms(limit)),
        Some(limit) => format!("5 min: no calls; promised: {}", ms(limit)),
        None => format!("5 min: up to {}", rate(highest)),
    };
    Chart { title: title.to_owned(), value, level, points, limit, highest }
}

fn level_of(method: &MethodStatus) -> Level {
    let is_slow = method.promise_ms.zip(method.p99_ms).is_some_and(|(promise, p99)| p99 > promise as f64);
    if is_slow { Level::Warn } else { Level::Ok }
}

/// The start of a digest, which is enough to compare it by eye.
pub(super) fn shortened(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// Callers notice an outage of persistent data, and not one of the cache.
fn level_of_outage(store: &StoreStatus) -> Level {
    if store.role == "cache" { Level::Warn } else { Level::Bad }
}

fn links(links: LinksStatus) -> String {
    let phases = [(links.serving, "serving"), (links.connecting, "connecting"), (links.refusing, "refusing")];
    let some = phases.iter().filter(|(number, _)| *number > 0);
    let some: Vec<_> = some.map(|(number, phase)| format!("{number} {phase}")).collect();
    if some.is_empty() { "0".to_owned() } else { some.join(", ") }
}

fn error(error: Option<&LastError>, now: Time) -> String {
    error.map_or_else(
        || NOTHING.to_owned(),
        |LastError { cause, at, .. }| format!("{cause}, {} ago", span(now.seconds_since(*at))),
    )
}
