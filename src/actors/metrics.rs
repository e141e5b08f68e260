//! The metrics of the actors: their health, read when it is scraped.
//!
//! An actor that blocks its thread cannot report it, so the scraping thread has to judge. And nothing is counted twice: the
//! numbers belong to the runtime.

use std::time::Duration;

use prometheus::{
    CounterVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use super::runtime::{ActorHealth, ActorsHealth, RestartReason};

/// The health of the actors `names`, which have not been started yet. Registers their metrics.
///
/// # Errors
///
/// If one of the metrics is already registered.
pub fn register(registry: &Registry, names: &[&'static str]) -> prometheus::Result<ActorsHealth> {
    let health = ActorsHealth::of_names(names);
    registry.register(Box::new(ActorMetrics { empty: Families::new()?, health: health.clone() }))?;
    Ok(health)
}

/// Reads the health of all actors at each scrape.
struct ActorMetrics {
    /// Describes the metrics.
    empty: Families,
    health: ActorsHealth,
}

struct Families {
    restarts: IntCounterVec,
    mailbox_depth: IntGaugeVec,
    unwell: IntGaugeVec,
    handled: IntCounterVec,
    waited: CounterVec,
    busy: CounterVec,
}

// ===== impl ActorMetrics =====

impl Collector for ActorMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.empty.each().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Filled afresh, because two scrapes may come at once. Fails only if the names are not valid: see `register`.
        let Ok(families) = Families::new() else { return Vec::new() };
        self.health.all().iter().for_each(|health| families.add(health));
        families.each().into_iter().flat_map(Collector::collect).collect()
    }
}

// ===== impl Families =====

impl Families {
    fn new() -> prometheus::Result<Self> {
        let counter = |name: &str, help: &str| CounterVec::new(Opts::new(name, help), &["actor"]);
        Ok(Self {
            restarts: IntCounterVec::new(
                Opts::new("scoring_actor_restarts_total", "Restarts of actors, by the reason."),
                &["actor", "reason"],
            )?,
            mailbox_depth: IntGaugeVec::new(
                Opts::new(
                    "scoring_actor_mailbox_depth",
                    "Messages that were sent to an actor and not taken by it yet.",
                ),
                &["actor"],
            )?,
            unwell: IntGaugeVec::new(
                Opts::new(
                    "scoring_actors_unwell",
                    "Actors that are restarted again and again (failing), or that read no messages (stuck).",
                ),
                &["actor", "state"],
            )?,
            handled: IntCounterVec::new(
                Opts::new("scoring_actor_handled_total", "Messages that an actor has taken."),
                &["actor"],
            )?,
            waited: counter(
                "scoring_actor_mailbox_wait_seconds_total",
                "Time that the messages of scoring_actor_handled_total waited in the mailbox.",
            )?,
            busy: counter(
                "scoring_actor_handling_seconds_total",
                "Time that an actor kept its thread busy with the messages of scoring_actor_handled_total.",
            )?,
        })
    }

    fn each(&self) -> [&dyn Collector; 6] {
        [&self.restarts, &self.mailbox_depth, &self.unwell, &self.handled, &self.waited, &self.busy]
    }

    fn add(&self, health: &ActorHealth) {
        let (name, totals) = (health.name(), health.totals());
        for reason in RestartReason::ALL {
            self.restarts.with_label_values(&[name, reason.as_str()]).inc_by(health.restarts_by(reason));
        }
        self.mailbox_depth.with_label_values(&[name]).set(as_gauge(health.mailbox_depth()));
        for (state, count) in [("failing", health.failing()), ("stuck", health.stuck())] {
            self.unwell.with_label_values(&[name, state]).set(as_gauge(count));
        }
        self.handled.with_label_values(&[name]).inc_by(totals.handled);
        let seconds = |metric: &CounterVec, time: Duration| {
            metric.with_label_values(&[name]).inc_by(time.as_secs_f64());
        };
        seconds(&self.waited, totals.waited);
        seconds(&self.busy, totals.busy);
    }
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    #[test]
    fn each_known_actor_has_all_series_from_the_start() {
        let registry = Registry::new();
        let _health = register(&registry, &["dispatcher"]).unwrap();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let series: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let expected = [
            r#"scoring_actor_handled_total{actor="dispatcher"} 0"#,
            r#"scoring_actor_handling_seconds_total{actor="dispatcher"} 0"#,
            r#"scoring_actor_mailbox_depth{actor="dispatcher"} 0"#,
            r#"scoring_actor_mailbox_wait_seconds_total{actor="dispatcher"} 0"#,
            r#"scoring_actor_restarts_total{actor="dispatcher",reason="panic"} 0"#,
            r#"scoring_actor_restarts_total{actor="dispatcher",reason="stop"} 0"#,
            r#"scoring_actor_restarts_total{actor="dispatcher",reason="stuck"} 0"#,
            r#"scoring_actors_unwell{actor="dispatcher",state="failing"} 0"#,
            r#"scoring_actors_unwell{actor="dispatcher",state="stuck"} 0"#,
        ];
        assert_eq!(series, expected);
    }

    #[test]
    fn a_second_registration_is_an_error() {
        let registry = Registry::new();
        register(&registry, &[]).unwrap();
        assert!(register(&registry, &[]).is_err());
    }
}
