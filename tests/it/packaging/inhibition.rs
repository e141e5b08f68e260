//! One cause is one notification: Alertmanager's inhibition rules, applied to alerts that fire together.
//!
//! `amtool` is in no package that tests can install, so this file repeats Alertmanager's rule: an alert is muted if a firing
//! alert matches the source, it matches the target itself, and both have the same values of the `equal` labels, where a
//! missing label is an empty one. An alert that matches both sides is not muted by another one that does.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use serde_json::Value;

use super::{
    each,
    monitoring::{ALERT_TESTS, alerts},
    yaml,
};

const ALERTMANAGER: &str = "deploy/alertmanager/alertmanager.yml";

type Labels = BTreeMap<String, String>;

/// `label = "value"`, `label != "value"` or `label =~ "one|other"`.
struct Matcher {
    label: String,
    is_negative: bool,
    values: Vec<String>,
}

/// One of the `inhibit_rules`.
struct Rule {
    source: Vec<Matcher>,
    target: Vec<Matcher>,
    equal: Vec<String>,
}

// ===== impl Matcher =====

impl Matcher {
    fn parse(text: &str) -> Self {
        let (left, value) = text.split_once('"').unwrap_or_else(|| panic!("{text}"));
        let mut words = left.split_whitespace();
        let (label, operator) = (words.next().unwrap().to_owned(), words.next().unwrap());
        let value = value.strip_suffix('"').unwrap();
        let is_literal = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let values: Vec<_> = match operator {
            "=" | "!=" => vec![value.to_owned()],
            "=~" => value.split('|').map(str::to_owned).collect(),
            _ => panic!("{text}: this test does not know {operator}"),
        };
        assert!(values.iter().all(|value| is_literal(value)), "{text}: this test knows no other expressions");
        Self { label, is_negative: operator == "!=", values }
    }

    fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        self.values.iter().any(|one| one == value) != self.is_negative
    }
}

// ===== impl Rule =====

impl Rule {
    fn all() -> Vec<Self> {
        let file = yaml(ALERTMANAGER);
        let matchers = |list: &Value| {
            each(list).map(|matcher| Matcher::parse(matcher.as_str().unwrap())).collect::<Vec<_>>()
        };
        let rules = each(&file["inhibit_rules"]).map(|rule| Self {
            source: matchers(&rule["source_matchers"]),
            target: matchers(&rule["target_matchers"]),
            equal: each(&rule["equal"]).map(|label| label.as_str().unwrap().to_owned()).collect(),
        });
        rules.collect()
    }

    fn mutes(&self, source: &Labels, target: &Labels) -> bool {
        let is = |side: &[Matcher], labels: &Labels| side.iter().all(|matcher| matcher.matches(labels));
        let is_two_sided = is(&self.source, target) && is(&self.target, source);
        let empty = String::new();
        let value = |labels: &Labels, name| labels.get(name).unwrap_or(&empty).clone();
        is(&self.source, source)
            && is(&self.target, target)
            && !is_two_sided
            && self.equal.iter().all(|name| value(source, name) == value(target, name))
    }
}

/// The alerts of `firing` that are not muted.
fn notified(firing: &[Labels]) -> Vec<&Labels> {
    let rules = Rule::all();
    let is_muted = |target: &Labels| {
        firing.iter().any(|source| source != target && rules.iter().any(|rule| rule.mutes(source, target)))
    };
    firing.iter().filter(|alert| !is_muted(alert)).collect()
}

/// `Name label=value …`, with the severity of the rules and the job of the service.
fn alert(text: &str) -> Labels {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let severity = alerts()
        .into_iter()
        .find(|alert| alert["alert"] == name)
        .unwrap_or_else(|| panic!("there is no alert {name}"))["labels"]["severity"]
        .as_str()
        .unwrap()
        .to_owned();
    let own = words.map(|word| word.split_once('=').unwrap());
    let given = [("alertname", name), ("severity", &severity), ("job", "scoring-api")].into_iter().chain(own);
    given.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
}

/// The alerts that promtool finds firing at the last look in the test `name`.
fn firing_in(name: &str, at: &str) -> Vec<Labels> {
    let file = yaml(ALERT_TESTS);
    let test = each(&file["tests"]).find(|test| test["name"] == name).unwrap().clone();
    let look = each(&test["promql_expr_test"]).find(|look| look["eval_time"] == at).unwrap().clone();
    let labels = |sample: &Value| {
        let series = sample["labels"].as_str().unwrap();
        let inside = series.strip_prefix("ALERTS{").unwrap().strip_suffix('}').unwrap();
        let pairs = inside.split(',').map(|pair| pair.split_once('=').unwrap());
        let pairs = pairs.filter(|(label, _)| *label != "alertstate");
        pairs.map(|(label, value)| (label.to_owned(), value.trim_matches('"').to_owned())).collect()
    };
    each(&look["exp_samples"]).map(labels).collect()
}

#[test]
fn one_dead_redis_is_one_notification() {
    let firing = firing_in("one dead Redis", "40m");
    assert_eq!(firing.len(), 5, "{firing:?}");
    let names: Vec<_> = notified(&firing).into_iter().map(|alert| alert["alertname"].as_str()).collect();
    assert_eq!(names, ["ScoringPersistentStoreDown"]);
}

#[rstest]
#[case::the_cache_alone(
    &["ScoringCacheDown instance=a role=cache kind=memcached", "ScoringCacheDegraded",
      "ScoringBreakerFlaps instance=a role=cache", "ScoringWritesRefused instance=a role=cache"],
    &[0],
)]
#[case::stores_of_two_kinds(
    &["ScoringPersistentStoreDown instance=a role=persistent kind=redis",
      "ScoringCacheDown instance=a role=cache kind=memcached"],
    &[0, 1],
)]
#[case::a_store_and_unrelated_failures(
    &["ScoringPersistentStoreDown instance=a role=persistent kind=redis",
      "ScoringErrorBudgetBurnsFast method=online_score", "ScoringErrorBudgetBurnsFast method=clients_interests",
      "ScoringBreakerFlaps instance=a role=cache", "ScoringBreakerFlaps instance=b role=persistent",
      "ScoringInterestsSlow", "ScoringScoresSlow", "ScoringMemoryHigh instance=a"],
    &[0, 1, 3, 4, 6, 7],
)]
#[case::slots_of_the_cache(
    &["ScoringSlotsUnowned role=cache", "ScoringErrorBudgetBurnsFast method=clients_interests"],
    &[0, 1],
)]
#[case::slots_of_the_persistent_store(
    &["ScoringSlotsUnowned role=persistent", "ScoringErrorBudgetBurnsFast method=clients_interests"],
    &[0],
)]
#[case::an_instance_is_gone(
    &["ScoringDown instance=a", "ScoringProcessRestarts instance=a", "ScoringLogLinesLost instance=a",
      "ScoringLogLinesLost instance=b", "ScoringErrorBudgetBurnsFast method=online_score"],
    &[0, 3, 4],
)]
#[case::two_instances_are_gone(&["ScoringDown instance=a", "ScoringDown instance=b"], &[0, 1])]
#[case::no_instance_is_known(&["ScoringDown", "ScoringErrorBudgetBurnsFast method=online_score"], &[0])]
#[case::a_budget_burns_fast(
    &["ScoringErrorBudgetBurnsFast method=online_score", "ScoringErrorBudgetBurnsSlowly method=online_score",
      "ScoringErrorBudgetBurnsSlowly method=clients_interests"],
    &[0, 2],
)]
#[case::an_actor_fails(
    &["ScoringActorFails instance=a actor=scoring state=failing",
      "ScoringActorRestarts instance=a actor=scoring reason=panic",
      "ScoringActorRestarts instance=a actor=interests reason=panic"],
    &[0, 2],
)]
#[case::files_and_connections(
    &["ScoringFilesRunOut instance=a", "ScoringNearConnectionLimit instance=a listener=public",
      "ScoringNearConnectionLimit instance=b listener=public"],
    &[0, 2],
)]
fn the_cause_is_notified_and_its_consequences_are_not(#[case] firing: &[&str], #[case] expected: &[usize]) {
    let firing: Vec<_> = firing.iter().map(|text| alert(text)).collect();
    let expected: Vec<_> = expected.iter().map(|&index| &firing[index]).collect();
    assert_eq!(notified(&firing), expected);
}

#[test]
fn rules_name_alerts_that_exist_and_never_mute_upwards() {
    let known: BTreeMap<_, _> = alerts()
        .into_iter()
        .map(|alert| {
            let severity = alert["labels"]["severity"] == "critical";
            (alert["alert"].as_str().unwrap().to_owned(), severity)
        })
        .collect();
    for rule in Rule::all() {
        let named = |side: &[Matcher]| -> BTreeSet<String> {
            let names = side.iter().filter(|matcher| matcher.label == "alertname" && !matcher.is_negative);
            names.flat_map(|matcher| matcher.values.clone()).collect()
        };
        let (sources, targets) = (named(&rule.source), named(&rule.target));
        for name in sources.iter().chain(&targets) {
            assert!(known.contains_key(name), "there is no alert {name}");
        }
        let is_critical = |name: &String| known[name];
        let mutes_a_critical = targets.iter().any(is_critical);
        assert!(!mutes_a_critical || sources.iter().all(is_critical), "{sources:?} mute {targets:?}");
        assert!(rule.equal.iter().any(|label| label == "job"), "{sources:?} of another service");
    }
}

/// Both receivers send nothing, so the compose file works without access to the outside.
#[test]
fn every_route_leads_to_a_receiver_that_sends_nothing() {
    let file = yaml(ALERTMANAGER);
    let receivers: BTreeMap<_, _> = each(&file["receivers"])
        .map(|one| (one["name"].as_str().unwrap(), one.as_object().unwrap()))
        .collect();
    let routes = [&file["route"]].into_iter().chain(each(&file["route"]["routes"]));
    let named: BTreeSet<_> = routes.map(|route| route["receiver"].as_str().unwrap()).collect();
    assert_eq!(named, receivers.keys().copied().collect());
    assert!(receivers.values().all(|fields| fields.len() == 1), "{receivers:?}");
}
