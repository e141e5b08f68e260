//! Alert rules and the dashboard use metrics and labels that the service has, and each alert is explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};
use testkit::{ClusterGroup, Person, TestApp, call, eventually, http_client, sign};

use super::{each, path, text, yaml};
use crate::cli::process::Sandbox;

const RULES: &str = "deploy/prometheus/rules/scoring-api.yml";
const DASHBOARD: &str = "deploy/grafana/dashboards/scoring-api.json";
const PROMETHEUS: &str = "deploy/prometheus/prometheus.yml";
pub(super) const ALERT_TESTS: &str = "deploy/prometheus/tests/scoring-api.yml";

/// Labels that Prometheus adds to a scrape.
const OF_THE_TARGET: [&str; 2] = ["job", "instance"];

/// Label values, by metric and label.
type Scrape = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// `metric{label="value"}` in an expression.
struct Selector<'a> {
    metric: &'a str,
    /// Label, operator, value.
    matchers: Vec<(&'a str, &'a str, &'a str)>,
}

// ===== impl Selector =====

/// Each of the service's metrics in `expression`, and the metrics that rules record.
fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| is_name(c) || c == '"') {
        rest = &rest[start..];
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted.split_once('"').map_or("", |(_, after)| after);
            continue;
        }
        let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        rest = after;
        let ours = ["scoring_", "scoring:", "process_"].iter().any(|prefix| name.starts_with(prefix));
        if !ours && name != "up" {
            continue;
        }
        let mut matchers = Vec::new();
        if let Some((inside, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
            for matcher in inside.split(',') {
                let (left, value) = matcher.split_once('"').unwrap();
                let (label, operator) = left.split_at(left.find(['=', '!']).unwrap());
                matchers.push((label.trim(), operator, value.trim_end_matches('"')));
            }
            rest = after;
        }
        found.push(Selector { metric: name, matchers });
    }
    found
}

/// The labels that `expression` groups by.
fn grouped_by(expression: &str) -> Vec<&str> {
    let lists = expression.split("by (").skip(1).filter_map(|list| list.split_once(')'));
    lists.flat_map(|(labels, _)| labels.split(',').map(str::trim)).collect()
}

fn parsed(exposition: &str) -> Scrape {
    let mut scrape = Scrape::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let (series, _value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels_of = scrape.entry(name.to_owned()).or_default();
        for label in labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once("=\"").unwrap();
            labels_of.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    scrape
}

/// The metrics that Prometheus scrapes from the binary, after calls of each kind.
async fn scrape() -> Scrape {
    let sandbox = Sandbox::new();
    // Spans are counted only if they are to be exported. The collector need not exist.
    // Calls of partners are counted only if there are some, and the settings say so.
    let digest = "0".repeat(64);
    let partner = format!(
        "[[partner]]\naccount = \"acme\"\nlogin = \"shop\"\ntokens = [{{ sha256 = \"{digest}\" }}]\n"
    );
    sandbox.write("p.toml", partner);
    let settings = [
        "admin.bind=127.0.0.1:0",
        "http.workers=1",
        "trace.endpoint=http://127.0.0.1:1",
        "auth.partners_file=p.toml",
        "metrics.partners=true",
    ];
    let (service, address) = sandbox.serve(&settings.map(|setting| ["--set", setting]).concat()).await;
    let listening = service.logged("listening", Duration::from_secs(20)).await;
    let metrics = format!("http://{}/metrics", listening["admin_address"].as_str().unwrap());
    let client = http_client();
    for body in [
        call("online_score", Person::full().arguments()),
        call("clients_interests", json!({"client_ids": [1]})),
        json!({}),
        sign(json!({"account": "acme", "login": "shop", "method": "online_score", "arguments": {}})),
    ] {
        let url = format!("http://{address}/method");
        client.post(url).body(body.to_string()).send().await.unwrap();
    }
    client.request(Method::GET, format!("http://{address}/nowhere")).send().await.unwrap();
    let mut exposition = String::new();
    eventually(Duration::from_secs(10), "the score is written to the cache", async || {
        exposition = client.get(&metrics).send().await.unwrap().text().await.unwrap();
        exposition.contains(r#"scoring_store_operations_total{op="set""#)
    })
    .await;
    // Only a store with sentinels has these. The sentinel need not exist.
    let app = TestApp::on("redis+sentinel://127.0.0.1:1/none").await;
    let mut of_sentinels = String::new();
    eventually(Duration::from_secs(10), "the sentinel was asked", async || {
        of_sentinels = app.scrape().await;
        of_sentinels.contains("scoring_store_sentinels{")
    })
    .await;
    // And only a cluster has this.
    let group = ClusterGroup::with(3, &[]).await;
    let app = TestApp::on(&group.url()).await;
    let mut of_cluster = String::new();
    eventually(Duration::from_secs(10), "the nodes were asked", async || {
        of_cluster = app.scrape().await;
        of_cluster.contains("scoring_store_unowned_slots{")
    })
    .await;
    let own = ["scoring_store_sentinels{", "scoring_store_unowned_slots{"];
    let is_own = |line: &&str| own.iter().any(|name| line.starts_with(name));
    let lines = of_sentinels.lines().chain(of_cluster.lines());
    lines.filter(is_own).for_each(|line| exposition = format!("{exposition}{line}\n"));
    parsed(&exposition)
}

/// Every rule of the file, alerts and recordings.
fn rules() -> Vec<Value> {
    let file = yaml(RULES);
    each(&file["groups"]).flat_map(|group| each(&group["rules"])).cloned().collect()
}

pub(super) fn alerts() -> Vec<Value> {
    rules().into_iter().filter(|rule| rule["alert"].is_string()).collect()
}

/// Expressions of the rules and of the dashboard, with their places.
fn expressions() -> Vec<(String, String)> {
    let name = |rule: &Value| rule["alert"].as_str().or(rule["record"].as_str()).unwrap().to_owned();
    let of_rules = rules().into_iter().map(|rule| (name(&rule), rule["expr"].as_str().unwrap().to_owned()));
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let of_panels = each(&dashboard["panels"]).flat_map(|panel| {
        let place = format!("panel {}", panel["title"]);
        let expression = |target: &Value| (place.clone(), target["expr"].as_str().unwrap().to_owned());
        each(&panel["targets"]).map(expression).collect::<Vec<_>>()
    });
    let of_variables = each(&dashboard["templating"]["list"]).filter_map(|variable| {
        Some((format!("variable {}", variable["name"]), variable["query"]["query"].as_str()?.to_owned()))
    });
    of_rules.chain(of_panels).chain(of_variables).collect()
}

#[tokio::test]
async fn every_metric_of_rules_and_dashboard_is_in_a_scrape() {
    let scrape = scrape().await;
    let recorded: BTreeSet<_> =
        rules().iter().filter_map(|rule| rule["record"].as_str().map(str::to_owned)).collect();
    let mut wrong = Vec::new();
    let expressions = expressions();
    assert!(expressions.len() > 40, "{}", expressions.len());
    for (place, expression) in &expressions {
        // The labels that may be grouped by: those of all metrics in the expression.
        let mut labels: BTreeSet<&str> = OF_THE_TARGET.into();
        for Selector { metric, matchers } in selectors(expression) {
            let Some(known) = scrape.get(metric) else {
                if metric != "up" && !recorded.contains(metric) {
                    wrong.push(format!("{place}: there is no {metric}"));
                }
                continue;
            };
            labels.extend(known.keys().map(String::as_str));
            for (label, operator, value) in matchers {
                if OF_THE_TARGET.contains(&label) {
                    continue;
                }
                match known.get(label) {
                    None => wrong.push(format!("{place}: {metric} has no label {label}")),
                    // The set of codes is defined by HTTP.
                    Some(values) if operator == "=" && label != "code" && !values.contains(value) => {
                        wrong.push(format!("{place}: {metric} has no {label}={value}"));
                    }
                    Some(_) => {}
                }
            }
        }
        for label in grouped_by(expression) {
            if !labels.contains(label) {
                wrong.push(format!("{place}: nothing has the label {label}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn the_dashboard_shows_every_metric_of_the_service() {
    let text = text(DASHBOARD);
    for metric in scrape().await.keys().filter(|name| name.starts_with("scoring_")) {
        let family = metric.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        assert!(text.contains(family), "{family} is on no panel");
    }
}

#[test]
fn every_alert_has_a_severity_a_text_and_a_runbook_section() {
    let operations = text("docs/operations.md");
    let sections: BTreeSet<_> = operations
        .lines()
        .filter_map(|line| line.strip_prefix("### ").filter(|title| title.starts_with("Scoring")))
        .collect();
    let alerts = alerts();
    for alert in &alerts {
        let name = alert["alert"].as_str().unwrap();
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("critical" | "warning")), "{name}: {severity:?}");
        for annotation in ["summary", "description"] {
            assert!(alert["annotations"][annotation].is_string(), "{name} has no {annotation}");
        }
        let runbook = format!("{{{{ $externalLabels.runbook }}}}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], runbook, "{name}");
        assert!(sections.contains(name), "{name} has no section in docs/operations.md");
    }
    let named: BTreeSet<_> = alerts.iter().map(|alert| alert["alert"].as_str().unwrap()).collect();
    assert_eq!(sections.difference(&named).count(), 0, "sections without an alert: {sections:?}");
}

#[tokio::test]
async fn every_alert_links_to_a_section_that_the_service_shows() {
    let app = TestApp::spawn().await;
    let answer = app.admin_request(Method::GET, "/runbook").send().await.unwrap();
    let page = answer.text().await.unwrap();
    for alert in alerts() {
        let link = alert["annotations"]["runbook_url"].as_str().unwrap();
        let (_, section) = link.split_once('#').unwrap();
        assert!(page.contains(&format!("id=\"{section}\"")), "/runbook has no {section}");
    }
}

/// promtool runs these tests; here it counts that no alert is without them.
#[test]
fn every_alert_is_tested_to_fire_and_not_to_fire() {
    let file = yaml(ALERT_TESTS);
    let tests: Vec<_> =
        each(&file["tests"]).flat_map(|test| each(&test["alert_rule_test"])).cloned().collect();
    for alert in alerts() {
        let expected = |fires: bool| {
            let of_alert = tests.iter().filter(|test| test["alertname"] == alert["alert"]);
            of_alert.filter(|test| (each(&test["exp_alerts"]).count() > 0) == fires).count()
        };
        assert!(expected(true) > 0, "{}: fires in no test", alert["alert"]);
        assert!(expected(false) > 0, "{}: no test in which it does not fire", alert["alert"]);
    }
}

/// A burn of few calls says nothing: one failed call of ten is a hundred times the objective.
#[test]
fn ratios_of_few_calls_fire_no_alert() {
    for alert in alerts() {
        let expression = alert["expr"].as_str().unwrap();
        let is_ratio =
            ["ratio_rate", "histogram_quantile", "/ sum by"].iter().any(|one| expression.contains(one));
        assert!(!is_ratio || expression.contains(")) > 100"), "{}: {expression}", alert["alert"]);
    }
}

#[test]
fn prometheus_sends_alerts_with_the_address_of_the_runbook() {
    let prometheus = yaml(PROMETHEUS);
    let compose = yaml("compose.yaml");
    let target = prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0].as_str();
    let (service, port) = target.unwrap().split_once(':').unwrap();
    let published = &compose["services"][service]["ports"];
    assert_eq!(*published, json!([format!("127.0.0.1:{port}:{port}")]));
    let runbook = prometheus["global"]["external_labels"]["runbook"].as_str().unwrap();
    let address = runbook.strip_prefix("http://").unwrap().strip_suffix("/runbook").unwrap();
    let operators = each(&compose["services"]["scoring-api"]["ports"]);
    assert!(operators.filter_map(Value::as_str).any(|port| port == format!("{address}:8081")), "{runbook}");
}

/// The promises of the README, as lines in the panels of latency.
#[rstest]
#[case::scores("Latency of online_score", "vector(0.1)")]
#[case::interests("Latency of clients_interests", "vector(0.6)")]
fn a_panel_of_latency_has_a_line_for_the_promise(#[case] title: &str, #[case] line: &str) {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let panel = each(&dashboard["panels"]).find(|panel| panel["title"] == title).unwrap();
    assert!(each(&panel["targets"]).any(|target| target["expr"] == line), "{panel}");
}

#[test]
fn the_first_row_of_the_dashboard_asks_whether_all_is_well() {
    let dashboard: Value = serde_json::from_str(&text(DASHBOARD)).unwrap();
    let mut panels: Vec<_> = each(&dashboard["panels"]).collect();
    panels.sort_by_key(|panel| panel["gridPos"]["y"].as_u64());
    assert_eq!((&panels[0]["type"], &panels[0]["title"]), (&json!("row"), &json!("Is it OK now?")));
    let row: Vec<_> = panels[1..].iter().take_while(|panel| panel["type"] == "stat").collect();
    assert!(row.len() >= 7, "{}", row.len());
    for panel in row {
        let colours = each(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]).count();
        assert!(colours > 1, "{}: green and another colour", panel["title"]);
    }
    // No panel covers another one.
    let mut fields = BTreeSet::new();
    for panel in panels {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        for field in (y..y + h).flat_map(|row| (x..x + w).map(move |column| (row, column))) {
            assert!(x + w <= 24 && fields.insert(field), "{} covers another panel", panel["title"]);
        }
    }
}

#[rstest]
#[case::rules(&["check", "rules", RULES])]
#[case::configuration(&["check", "config", PROMETHEUS])]
#[case::what_the_rules_do(&["test", "rules", ALERT_TESTS])]
fn promtool_finds_nothing_wrong(#[case] arguments: &[&str]) {
    let ran =
        Command::new("promtool").args(arguments).current_dir(path("")).output().unwrap_or_else(|error| {
            panic!("promtool: {error}; install it: apt-get install --no-install-recommends prometheus")
        });
    let said = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[rstest]
#[case::bare("up", &["up"])]
#[case::in_functions("sum by (a) (rate(scoring_a{b=\"c\",d=~\"e|f\"}[5m])) / vector(1)", &["scoring_a b=c d=~e|f"])]
#[case::two("scoring:x:y > 1 and process_z{a!=\"b\"}", &["scoring:x:y", "process_z a!=b"])]
#[case::in_a_string("label_replace(x, \"scoring_a\", \"up\")", &[])]
fn an_expression_is_read_for_its_selectors(#[case] expression: &str, #[case] expected: &[&str]) {
    let found: Vec<_> = selectors(expression)
        .iter()
        .map(|selector| {
            let matchers =
                selector.matchers.iter().map(|(label, operator, value)| format!(" {label}{operator}{value}"));
            format!("{}{}", selector.metric, matchers.collect::<String>())
        })
        .collect();
    assert_eq!(found, expected);
}
