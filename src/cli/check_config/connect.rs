//! Connects to each store once, and tries each kind of command that the service uses.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, time::timeout};

use crate::{
    app::Stores,
    cli::{failure::Failure, output},
    config::Settings,
    store::{BackendError, Connection, Connector, ReplyFuture, Role},
};

/// A key that no client has.
const CLIENT_KEY: &str = "i:check-config";

/// A key that no score has.
const SCORE_KEY: &str = "uid:check-config";

/// How long the score of the trial is kept.
const TTL: Duration = Duration::from_secs(1);

/// One line of the table.
struct Line {
    role: Role,
    step: &'static str,
    /// The address, if the store is a cluster.
    server: String,
    outcome: Result<Duration, BackendError>,
}

pub(super) fn run(settings: &Settings) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    let stores = Stores::from_settings(settings);
    let (persistent, cache) = runtime.block_on(async {
        tokio::join!(
            of_persistent(&*stores.persistent, settings.store.timeout),
            of_cache(&*stores.cache, settings.cache.timeout),
        )
    });
    let lines: Vec<_> = persistent.into_iter().chain(cache).collect();
    output::print(&table(settings, &lines))?;
    match lines.iter().filter(|line| line.outcome.is_err()).count() {
        0 => Ok(()),
        failed => Err(Failure::Connect { failed, steps: lines.len() }),
    }
}

async fn of_persistent(store: &dyn Connector, limit: Duration) -> Vec<Line> {
    let keys: Arc<[String]> = [CLIENT_KEY.to_owned()].into();
    let (mut lines, connections) = connect(Role::Persistent, store).await;
    for (server, connection) in connections {
        let mut add = |step, outcome| {
            lines.push(Line { role: Role::Persistent, step, server: server.clone(), outcome });
        };
        // A node of a cluster is not asked for several keys at once.
        if connection.is_shard() {
            add("read", timed(limit, connection.get_each(keys.clone(), false)).await);
        } else {
            let many = timed(limit, connection.get_many(keys.clone())).await;
            // A value of another kind is read alone.
            let alone = timed(limit, connection.get(CLIENT_KEY.to_owned())).await;
            add("read", many.and_then(|took| Ok(took + alone?)));
        }
        connection.close();
    }
    lines
}

async fn of_cache(store: &dyn Connector, limit: Duration) -> Vec<Line> {
    let (mut lines, connections) = connect(Role::Cache, store).await;
    for (server, connection) in connections {
        let mut add =
            |step, outcome| lines.push(Line { role: Role::Cache, step, server: server.clone(), outcome });
        // A node of a cluster that names another one would have obeyed.
        let is_answer = |outcome| match outcome {
            Err(BackendError::Redirected(_)) if connection.is_shard() => Ok(Duration::ZERO),
            outcome => outcome,
        };
        add("read", is_answer(timed(limit, connection.get(SCORE_KEY.to_owned())).await));
        let written = timed(limit, connection.set(SCORE_KEY.to_owned(), b"0.0".to_vec(), TTL)).await;
        add("write", is_answer(written));
        connection.close();
    }
    lines
}

/// Connects to the store; to each of its servers, if it has several.
async fn connect(role: Role, store: &dyn Connector) -> (Vec<Line>, Vec<(String, Arc<dyn Connection>)>) {
    let begun = Instant::now();
    // The connector limits the time.
    let made = store.connect().await;
    let line = |server, outcome| Line { role, step: "connect", server, outcome };
    let map = store.cluster().and_then(|cluster| Some((cluster.last_view()?.map?, cluster)));
    let mut lines = Vec::new();
    let mut connections = Vec::new();
    match (made, map) {
        (Err(error), None) => lines.push(line(String::new(), Err(error))),
        (Ok(connection), None) => {
            lines.push(line(String::new(), Ok(begun.elapsed())));
            connections.push((String::new(), connection));
        }
        (made, Some((map, cluster))) => {
            made.iter().for_each(|connection| connection.close());
            for place in map.primaries() {
                let begun = Instant::now();
                match cluster.primary(place).connect().await {
                    Ok(connection) => {
                        lines.push(line(place.to_string(), Ok(begun.elapsed())));
                        connections.push((place.to_string(), connection));
                    }
                    Err(error) => lines.push(line(place.to_string(), Err(error))),
                }
            }
        }
    }
    (lines, connections)
}

async fn timed<T>(limit: Duration, reply: ReplyFuture<T>) -> Result<Duration, BackendError> {
    let begun = Instant::now();
    timeout(limit, reply).await.unwrap_or(Err(BackendError::TimedOut))?;
    Ok(begun.elapsed())
}

fn table(settings: &Settings, lines: &[Line]) -> String {
    let mut table = String::new();
    for Line { role, step, server, outcome } in lines {
        let url = match role {
            Role::Persistent => &settings.store.url,
            Role::Cache => settings.cache_url(),
        };
        // The URL of a cluster does not tell which of its nodes this is.
        let place = if server.is_empty() { url.to_string() } else { server.clone() };
        let outcome = match outcome {
            Ok(took) => format!("ok, {:.1} ms", took.as_secs_f64() * 1_000.0),
            Err(error) => format!("FAILED: {error}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:<10}  {step:<7}  {place}  {outcome}", role.as_str());
    }
    table
}
