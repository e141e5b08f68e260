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
    let (mut lines, connection) = connect(Role::Persistent, store).await;
    if let Some(connection) = connection {
        lines.push(Line {
            role: Role::Persistent,
            step: "read",
            outcome: timed(limit, connection.get_many(keys)).await,
        });
        connection.close();
    }
    lines
}

async fn of_cache(store: &dyn Connector, limit: Duration) -> Vec<Line> {
    let (mut lines, connection) = connect(Role::Cache, store).await;
    if let Some(connection) = connection {
        let mut add = |step, outcome| lines.push(Line { role: Role::Cache, step, outcome });
        add("read", timed(limit, connection.get(SCORE_KEY.to_owned())).await);
        add("write", timed(limit, connection.set(SCORE_KEY.to_owned(), b"0.0".to_vec(), TTL)).await);
        connection.close();
    }
    lines
}

async fn connect(role: Role, store: &dyn Connector) -> (Vec<Line>, Option<Arc<dyn Connection>>) {
    let begun = Instant::now();
    // The connector limits the time.
    let made = store.connect().await;
    let (outcome, connection) = match made {
        Ok(connection) => (Ok(begun.elapsed()), Some(connection)),
        Err(error) => (Err(error), None),
    };
    (vec![Line { role, step: "connect", outcome }], connection)
}

async fn timed<T>(limit: Duration, reply: ReplyFuture<T>) -> Result<Duration, BackendError> {
    let begun = Instant::now();
    timeout(limit, reply).await.unwrap_or(Err(BackendError::TimedOut))?;
    Ok(begun.elapsed())
}

fn table(settings: &Settings, lines: &[Line]) -> String {
    let mut table = String::new();
    for Line { role, step, outcome } in lines {
        let url = match role {
            Role::Persistent => &settings.store.url,
            Role::Cache => settings.cache_url(),
        };
        let outcome = match outcome {
            Ok(took) => format!("ok, {:.1} ms", took.as_secs_f64() * 1_000.0),
            Err(error) => format!("FAILED: {error}"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{:<10}  {step:<7}  {url}  {outcome}", role.as_str());
    }
    table
}
