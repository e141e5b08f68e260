use prometheus::core::Collector;
use tokio::time::advance;

use super::*;
use crate::{store::testing::status, testing::Log};

fn refused() -> BackendError {
    BackendError::Disconnected(std::io::ErrorKind::ConnectionRefused)
}

fn gauges(status: &StoreHealth) -> (i64, i64) {
    let (role, metrics) = ([status.role.as_str(), ""], &status.metrics);
    (metrics.up.0.with_label_values(&role).get(), metrics.breaker.0.with_label_values(&role).get())
}

#[test]
fn a_role_is_up_only_while_every_link_serves() {
    let status = status(Role::Cache);
    assert!(!status.report().up, "there is no link yet");
    let (one, other) = (LinkHealth::new(status.clone()), LinkHealth::new(status.clone()));
    one.connected();
    assert!(!status.report().up);
    other.connected();
    assert!(status.report().up);
    assert_eq!(gauges(&status), (1, 0));

    one.breaker_changed(Change::Opened);
    assert!(!status.report().up && status.report().breaker_open);
    assert_eq!(gauges(&status), (0, 1));
    one.connected();
    assert!(!status.report().up, "a connection does not close a breaker");
    one.breaker_changed(Change::Closed);
    assert!(status.report().up && !status.report().breaker_open);
    assert_eq!(gauges(&status), (1, 0));
}

#[test]
fn a_link_that_ends_takes_its_share_of_the_state_along() {
    let status = status(Role::Cache);
    let (one, other) = (LinkHealth::new(status.clone()), LinkHealth::new(status.clone()));
    one.connected();
    other.breaker_changed(Change::Opened);
    drop(other);
    assert!(status.report().up && !status.report().breaker_open);
    drop(one);
    assert!(!status.report().up);
    assert_eq!(gauges(&status), (0, 0));
}

#[test]
fn a_link_for_writes_counts_only_in_operations() {
    let status = status(Role::Cache);
    let link = LinkHealth::new(status.clone());
    link.connected();
    let before = status.report();
    let writes = LinkHealth::uncounted(status.clone());
    writes.breaker_changed(Change::Opened);
    writes.failed(&refused());
    writes.count(Operation::Set, Some(&refused()), Duration::ZERO);
    assert_eq!(status.report(), before);
    drop(writes);
    assert_eq!(status.report(), before);
    let counted = status.metrics.operations.with_label_values(&["set", "disconnected", "cache"]).get();
    assert_eq!(counted, 1);
}

#[test]
fn since_moves_only_when_the_role_goes_up_or_down() {
    let status = status(Role::Cache);
    let link = LinkHealth::new(status.clone());
    link.connected();
    status.lock().since = SystemTime::UNIX_EPOCH;
    link.connected();
    link.failed(&refused());
    assert_eq!(status.report().since, SystemTime::UNIX_EPOCH);
    link.breaker_changed(Change::Opened);
    assert!(status.report().since > SystemTime::UNIX_EPOCH);
}

#[test]
fn the_last_error_has_a_kind_and_a_cause_in_words() {
    let status = status(Role::Persistent);
    let link = LinkHealth::new(status.clone());
    assert_eq!(status.report().last_error, None);
    link.failed(&refused());
    link.failed(&BackendError::TimedOut);
    assert_eq!(status.report().last_error.map(|error| error.kind), Some("timed_out"));
    link.failed(&refused());
    let last = status.report().last_error.unwrap();
    assert_eq!((last.kind, last.cause.as_str()), ("disconnected", "no connection (connection refused)"));
    assert!(last.at > SystemTime::UNIX_EPOCH);
}

#[test]
fn operations_are_counted_by_outcome_and_only_answers_are_timed() {
    let status = status(Role::Cache);
    let link = LinkHealth::new(status.clone());
    link.count(Operation::Get, None, Duration::from_millis(1));
    link.count(Operation::Get, Some(&refused()), Duration::from_millis(1));
    let count = |outcome| {
        let labels = ["get", outcome, "cache"];
        status.metrics.operations.with_label_values(&labels).get()
    };
    assert_eq!((count("ok"), count("disconnected")), (1, 1));
    let timed = status.metrics.durations.with_label_values(&["get", "cache"]);
    assert_eq!(timed.get_sample_count(), 1);
}

// ===== the log =====

#[tokio::test(start_paused = true)]
async fn each_change_of_the_store_is_logged_once_over_all_links() {
    let (log, _guard) = Log::capture();
    let status = status(Role::Cache);
    let links: Vec<_> = (0..4).map(|_| LinkHealth::new(status.clone())).collect();
    for link in &links {
        link.connected();
    }
    assert_eq!(log.lines_with("store is up"), 1, "{}", log.text());
    advance(BreakerPolicy::default().hold_closed).await;
    for link in &links {
        link.failed(&refused());
        link.breaker_changed(Change::Opened);
    }
    assert_eq!(log.lines_with("store is down"), 1, "{}", log.text());
    assert_eq!(
        log.lines_with("error=\"disconnected\" cause=\"no connection (connection refused)\""),
        1,
        "{}",
        log.text()
    );
    for link in &links {
        link.breaker_changed(Change::Closed);
    }
    assert_eq!(log.lines_with("store is up"), 1, "so soon after the other: {}", log.text());
    advance(BreakerPolicy::default().hold_open).await;
    links.iter().for_each(LinkHealth::probed);
    assert_eq!(log.lines_with("store is up"), 2, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn row_64_links_in_turn_are_not_logged_as_a_store_that_flaps() {
    let (log, _guard) = Log::capture();
    let status = status(Role::Cache);
    let links: Vec<_> = (0..10).map(|_| LinkHealth::new(status.clone())).collect();
    links.iter().for_each(LinkHealth::connected);
    for _ in 0..10 {
        for link in &links {
            link.breaker_changed(Change::Opened);
            advance(Duration::from_millis(50)).await;
            link.breaker_changed(Change::Closed);
            advance(Duration::from_millis(50)).await;
            links.iter().for_each(LinkHealth::probed);
        }
    }
    let changes = log.lines_with("store is");
    assert!((10..=21).contains(&changes), "{changes} in 10 s");
}

#[test]
fn a_store_that_is_not_there_at_the_start_is_logged_as_down() {
    let (log, _guard) = Log::capture();
    let link = LinkHealth::new(status(Role::Cache));
    link.breaker_changed(Change::Opened);
    assert_eq!(log.lines_with("store is down"), 1, "{}", log.text());
}

/// A primary that joins a cluster that is down: up, down and up again within a moment.
#[tokio::test(start_paused = true)]
async fn row_64_the_first_line_counts_as_a_change_too() {
    let (log, _guard) = Log::capture();
    let link = LinkHealth::new(status(Role::Cache));
    link.connected();
    link.breaker_changed(Change::Opened);
    assert_eq!(log.lines_with("store is down"), 0, "{}", log.text());
    advance(BreakerPolicy::default().hold_closed).await;
    link.probed();
    assert_eq!(log.lines_with("store is down"), 1, "{}", log.text());
}

// ===== shards =====

fn series(status: &StoreHealth) -> Vec<(String, f64)> {
    let mut series = Vec::new();
    for metric in status.metrics.up.collect()[0].get_metric() {
        let labels: Vec<_> =
            metric.get_label().iter().map(|label| format!("{}={}", label.name(), label.value())).collect();
        series.push((labels.join(","), metric.get_gauge().get_value()));
    }
    series.sort_by(|one, other| one.0.cmp(&other.0));
    series
}

#[test]
fn a_role_is_up_only_while_every_shard_is_and_each_has_a_series() {
    let (log, _guard) = Log::capture();
    let status = status(Role::Persistent);
    let any = LinkHealth::new(status.clone());
    assert_eq!(series(&status), [("role=persistent".to_owned(), 0.0)]);
    let [one, other] = ["a:1", "b:2"].map(|name| LinkHealth::of_shard(status.clone(), name));
    drop(any);
    one.connected();
    assert!(!status.report().up);
    other.connected();
    assert!(status.report().up && status.report().down().is_empty());
    one.failed(&refused());
    one.breaker_changed(Change::Opened);
    let report = status.report();
    assert!(!report.up && report.breaker_open);
    assert_eq!(report.down(), ["a:1"]);
    let of = |shard: &str, up| (format!("role=persistent,shard={shard}"), up);
    assert_eq!(series(&status), [of("a:1", 0.0), of("b:2", 1.0)]);
    assert_eq!(
        log.lines_with("store is up role=persistent address=\"scripted:1\" shard=\"a:1\""),
        1,
        "{}",
        log.text()
    );

    // It leaves the cluster.
    drop(one);
    assert!(status.report().up);
    assert_eq!(series(&status), [of("b:2", 1.0)]);
    drop(other);
    assert!(!status.report().up);
}

#[test]
fn the_number_of_shards_with_a_name_is_limited() {
    let status = status(Role::Cache);
    let links: Vec<_> =
        (0..100).map(|number| LinkHealth::of_shard(status.clone(), &format!("n:{number}"))).collect();
    assert_eq!(series(&status).len(), MOST_SHARDS + 1);
    drop(links);
    assert_eq!(series(&status), []);
    // Those that have left make room.
    let _next = LinkHealth::of_shard(status.clone(), "new:1");
    assert_eq!(series(&status), [("role=cache,shard=new:1".to_owned(), 0.0)]);
}

#[test]
fn a_cluster_behind_the_url_of_one_server_is_logged_once() {
    let (log, _guard) = Log::capture();
    let status = status(Role::Persistent);
    let links = [LinkHealth::new(status.clone()), LinkHealth::new(status)];
    for link in &links {
        link.count(Operation::GetMany, Some(&BackendError::CrossSlot), Duration::ZERO);
    }
    assert_eq!(
        log.lines_with("the store is a cluster, and its URL is that of one server"),
        1,
        "{}",
        log.text()
    );
    assert_eq!(log.lines_with("use redis+cluster://"), 1, "{}", log.text());
}

/// A worker that starts, a store actor that restarts and a service that stops say nothing about the store.
#[test]
fn links_that_come_and_go_are_not_logged_as_a_store_that_does() {
    let (log, _guard) = Log::capture();
    let status = status(Role::Cache);
    let first = LinkHealth::new(status.clone());
    first.connected();
    for _ in 0..3 {
        let next = LinkHealth::new(status.clone());
        next.connected();
        drop(next);
    }
    drop(first);
    assert_eq!(log.lines_with("store is up"), 1, "{}", log.text());
    assert_eq!(log.lines_with("store is down"), 0, "{}", log.text());
}
