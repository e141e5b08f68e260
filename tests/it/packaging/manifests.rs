//! Dockerfile, compose file, systemd unit and Kubernetes manifests fit the service and each other.

use std::{collections::BTreeMap, ffi::OsString, fs, time::Duration};

use rstest::rstest;
use scoring_api::config::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::TestApp;

use super::{each, path, text, yaml};

const KUBERNETES: &str = "deploy/kubernetes";
const UNIT: &str = "deploy/systemd/scoring-api.service";
const DROP_IN: &str = "deploy/systemd/tls.conf";

fn kubernetes(file: &str) -> Value {
    yaml(&format!("{KUBERNETES}/{file}"))
}

fn container() -> Value {
    kubernetes("deployment.yaml")["spec"]["template"]["spec"]["containers"][0].clone()
}

/// The values of a key in the systemd unit, which may occur more than once.
fn unit(key: &str) -> Vec<String> {
    unit_of(UNIT, key)
}

fn unit_of(file: &str, key: &str) -> Vec<String> {
    let text = text(file);
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// The settings that the image sets.
fn of_the_image() -> BTreeMap<String, String> {
    let text = text("Dockerfile");
    let words = text.split_whitespace().filter(|word| word.starts_with("SCORING_"));
    let assigned = words.filter_map(|word| word.split_once('='));
    assigned.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn of_compose() -> BTreeMap<String, String> {
    let mut environment = of_the_image();
    let compose = yaml("compose.yaml");
    let own = compose["services"]["scoring-api"]["environment"].as_object().unwrap();
    environment.extend(own.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    environment
}

fn of_cluster_compose() -> BTreeMap<String, String> {
    let mut environment = of_the_image();
    let compose = yaml("compose.cluster.yaml");
    let own = compose["services"]["scoring-2"]["environment"].as_object().unwrap();
    environment.extend(own.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    environment
}

/// The settings of `compose.yaml` with one of its overlays.
fn of_overlay(file: &str) -> BTreeMap<String, String> {
    let mut environment = of_compose();
    let overlay = yaml(file);
    let own = overlay["services"]["scoring-api"]["environment"].as_object().unwrap();
    environment.extend(own.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())));
    environment
}

fn of_kubernetes() -> BTreeMap<String, String> {
    let mut environment = of_the_image();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    environment.extend(each(&container()["env"]).map(|env| (text(&env["name"]), text(&env["value"]))));
    environment
}

fn of_systemd() -> BTreeMap<String, String> {
    assigned(&unit("Environment"))
}

fn assigned(lines: &[String]) -> BTreeMap<String, String> {
    lines.iter().filter_map(|assigned| assigned.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect()
}

/// The settings of `environment` and of `file`, with the secrets in the places where this test has put them.
fn loaded(environment: &BTreeMap<String, String>, file: Option<&str>) -> Result<Settings, String> {
    let folder = TempDir::new().unwrap();
    for secret in ["salt", "admin_salt", "redis_password", "tarantool_password"] {
        fs::write(folder.path().join(secret), "a secret of this test").unwrap();
    }
    let here = folder.path().to_str().unwrap();
    let moved = |text: &str| {
        let places = ["/run/secrets", "/etc/scoring-api/secrets", "%d"];
        places.iter().fold(text.to_owned(), |text, place| text.replace(place, here))
    };
    let file = file.map(|file| {
        let copy = folder.path().join("config.toml");
        fs::write(&copy, moved(&text(file))).unwrap();
        copy
    });
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), moved(value).into()));
    Settings::load(file.as_deref(), environment, &[]).map_err(|errors| format!("{errors:?}"))
}

#[rstest]
#[case::compose(of_compose(), None)]
#[case::cluster_compose(of_cluster_compose(), None)]
#[case::memcached_compose(of_overlay("compose.memcached.yaml"), None)]
#[case::tarantool_compose(of_overlay("compose.tarantool.yaml"), None)]
#[case::kubernetes(of_kubernetes(), Some("deploy/kubernetes/config.toml"))]
#[case::cluster(of_kubernetes(), Some("deploy/kubernetes/overlays/cluster/config.toml"))]
#[case::sentinel(of_kubernetes(), Some("deploy/kubernetes/overlays/sentinel/config.toml"))]
fn the_manifests_set_valid_settings(
    #[case] environment: BTreeMap<String, String>,
    #[case] file: Option<&str>,
) {
    let settings = loaded(&environment, file).unwrap();
    assert_eq!(settings.http.bind, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(settings.admin.bind, Some("0.0.0.0:8081".parse().unwrap()));
    assert!(!settings.auth.has_public_salt());
    assert!(!settings.auth.allow_public_salts);
    let url = settings.store.url.to_string();
    let is_shared = url.starts_with("redis") || url.starts_with("tarantool");
    assert!(is_shared, "what many share is in a server: {url}");
}

/// The hosts of a URL of sentinels or nodes.
fn hosts(url: &str) -> Vec<String> {
    let hosts = url.rsplit_once("//").unwrap().1;
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts).split('/').next().unwrap();
    hosts.split(',').map(|host| host.split(':').next().unwrap().to_owned()).collect()
}

#[rstest]
#[case::memcached("compose.memcached.yaml", "memcached")]
#[case::tarantool("compose.tarantool.yaml", "tarantool")]
fn an_overlay_of_compose_names_its_own_parts(#[case] file: &str, #[case] server: &str) {
    let overlay = yaml(file);
    let settings = loaded(&of_overlay(file), None).unwrap();
    let urls = [settings.store.url.to_string(), settings.cache_url().to_string()];
    assert!(urls.iter().any(|url| hosts(url) == [server]), "{urls:?}");
    let added = &overlay["services"][server];
    assert_eq!(added["networks"], json!(["back"]));
    let own = |name: &str| overlay[name].as_object().into_iter().flatten();
    for (_, config) in own("configs") {
        assert!(path(config["file"].as_str().unwrap()).exists(), "{config}");
    }
    let defined: Vec<_> = own("secrets").map(|(name, _)| name.as_str()).collect();
    for secret in each(&added["secrets"]).filter_map(Value::as_str) {
        assert!(defined.contains(&secret), "{secret}");
    }
}

#[test]
fn the_compose_file_of_a_cluster_names_its_own_parts() {
    let compose = yaml("compose.cluster.yaml");
    let services = compose["services"].as_object().unwrap();
    let url = loaded(&of_cluster_compose(), None).unwrap().store.url.to_string();
    for host in hosts(&url) {
        assert_eq!(services[&host]["hostname"], host.as_str(), "{url}");
    }
    for file in ["deploy/haproxy/haproxy.cfg", "deploy/nginx/scoring-api.conf"] {
        let text = text(file);
        let named: Vec<_> =
            (1..=3).filter(|number| text.contains(&format!("scoring-{number}:8080"))).collect();
        assert_eq!(named, [1, 2, 3], "{file}");
    }
    let instances: Vec<_> = services.keys().filter(|name| name.starts_with("scoring-")).collect();
    assert_eq!(instances, ["scoring-1", "scoring-2", "scoring-3"]);
    let created = compose["services"]["cluster"]["command"][2].as_str().unwrap();
    for number in 1..=6 {
        assert!(services.contains_key(&format!("redis-{number}")));
        assert!(created.contains(&format!("redis-{number}:6379")), "{created}");
    }
    assert!(path(compose["configs"]["redis"]["file"].as_str().unwrap()).exists());
    assert_eq!(compose["networks"]["back"]["internal"], true);
    assert_eq!(services["haproxy"]["ports"], json!(["127.0.0.1:8080:8080"]));
    for (number, name) in instances.iter().enumerate() {
        assert_eq!(services[*name]["ports"], json!([format!("127.0.0.1:{}:8081", 8081 + number)]));
    }
    let published = services.iter().filter(|(_, service)| !service["ports"].is_null()).count();
    assert_eq!(published, 1 + instances.len(), "the others are not published");
}

/// HAProxy must see that an instance stops before it refuses connections.
#[test]
fn haproxy_asks_for_readiness_often_enough() {
    let config = text("deploy/haproxy/haproxy.cfg");
    assert!(config.contains("option httpchk GET /readyz"));
    let (_, rest) = config.split_once("default-server inter ").unwrap();
    let (millis, rest) = rest.split_once("ms fall ").unwrap();
    let fall: u32 = rest.split(' ').next().unwrap().parse().unwrap();
    let noticed = Duration::from_millis(millis.parse().unwrap()) * fall;
    assert!(noticed < Settings::load(None, [], &[]).unwrap().shutdown.grace / 2);
}

#[rstest]
#[case::cluster("cluster", "redis+cluster://")]
#[case::sentinel("sentinel", "redis+sentinel://")]
fn an_overlay_names_its_own_servers(#[case] overlay: &str, #[case] scheme: &str) {
    let folder = format!("{KUBERNETES}/overlays/{overlay}");
    let url = loaded(&of_kubernetes(), Some(&format!("{folder}/config.toml"))).unwrap().store.url.to_string();
    assert!(url.starts_with(scheme) || url.contains(":***@"), "{url}");
    let objects = text(&format!("{folder}/redis.yaml"));
    let objects: Vec<Value> =
        objects.split("\n---\n").map(|object| serde_saphyr::from_str(object).unwrap()).collect();
    let of_kind = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let (set, service) = (of_kind("StatefulSet"), of_kind("Service"));
    let (name, domain) =
        (set["metadata"]["name"].as_str().unwrap(), service["metadata"]["name"].as_str().unwrap());
    for (number, host) in hosts(&url).into_iter().enumerate() {
        assert_eq!(host, format!("{name}-{number}.{domain}.scoring.svc.cluster.local"));
    }
    let policy = kubernetes("networkpolicy.yaml");
    let allowed = &policy["spec"]["egress"][1]["to"][0]["podSelector"]["matchLabels"];
    assert_eq!(allowed, &set["spec"]["template"]["metadata"]["labels"]);
    let secret = &set["spec"]["template"]["spec"]["volumes"][1]["secret"];
    assert!(
        kubernetes("secret.example.yaml")["stringData"][secret["items"][0]["key"].as_str().unwrap()]
            .is_string()
    );
}

#[test]
fn the_unit_makes_settings_that_hold() {
    let settings = loaded(&of_systemd(), None).unwrap();
    assert!(!settings.auth.has_public_salt());
}

#[test]
fn the_drop_in_for_tls_names_files_that_systemd_copies() {
    let mut environment = of_systemd();
    environment.extend(assigned(&unit_of(DROP_IN, "Environment")));
    let tls = loaded(&environment, None).unwrap().http.tls;
    let copied = unit_of(DROP_IN, "LoadCredential");
    for file in [tls.cert.unwrap(), tls.key.unwrap()] {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(copied.contains(&format!("{name}:/etc/scoring-api/{name}")), "{name}");
    }
}

#[test]
fn the_image_alone_refuses_to_start_with_the_public_salts() {
    assert!(loaded(&of_the_image(), None).unwrap_err().contains("allow_public_salts"));
}

#[test]
fn every_manifest_allows_the_grace_and_the_drain() {
    let shutdown = Settings::load(None, [], &[]).unwrap().shutdown;
    // The last connections are accepted for 1.1 s. Unread spans and log lines are waited for 2 s each.
    let needed = shutdown.grace + shutdown.drain + Duration::from_secs(6);
    assert!(
        !text("deploy/kubernetes/config.toml").contains("[shutdown]"),
        "then it is not the defaults that count"
    );
    let pod = kubernetes("deployment.yaml")["spec"]["template"]["spec"].clone();
    let given = [
        pod["terminationGracePeriodSeconds"].to_string(),
        yaml("compose.yaml")["services"]["scoring-api"]["stop_grace_period"]
            .as_str()
            .unwrap()
            .replace('s', ""),
        yaml("compose.cluster.yaml")["services"]["scoring-1"]["stop_grace_period"]
            .as_str()
            .unwrap()
            .replace('s', ""),
        unit("TimeoutStopSec").concat(),
    ];
    for seconds in given {
        assert!(Duration::from_secs(seconds.parse().unwrap()) > needed, "{seconds} s for {needed:?}");
    }
    let readiness = &container()["readinessProbe"];
    let noticed =
        readiness["periodSeconds"].as_u64().unwrap() * readiness["failureThreshold"].as_u64().unwrap();
    assert!(Duration::from_secs(noticed) < shutdown.grace, "noticed after {noticed} s");
}

#[tokio::test]
async fn every_probe_and_scrape_asks_a_port_and_path_that_answer() {
    let app = TestApp::spawn().await;
    let container = container();
    let ports: BTreeMap<_, _> = each(&container["ports"])
        .map(|port| (port["name"].as_str().unwrap(), port["containerPort"].as_u64().unwrap()))
        .collect();
    assert_eq!(ports, [("http", 8080), ("admin", 8081)].into());
    let monitor = &kubernetes("podmonitor.yaml")["spec"]["podMetricsEndpoints"][0];
    let probes =
        ["startupProbe", "readinessProbe", "livenessProbe"].map(|probe| &container[probe]["httpGet"]);
    for asked in probes.into_iter().chain([monitor]) {
        assert_eq!(asked["port"], "admin");
        assert_eq!(app.admin(asked["path"].as_str().unwrap()).await.status, 200, "{asked}");
    }
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz", "a lost store must not kill");
    let job = &yaml("deploy/prometheus/prometheus.yml")["scrape_configs"][0];
    assert_eq!(job["job_name"], "scoring-api");
    assert_eq!(job["static_configs"][0]["targets"][0], "scoring-api:8081");
    assert_eq!(kubernetes("service.yaml")["spec"]["ports"][0]["targetPort"], "http");
}

#[test]
fn kubernetes_objects_find_each_other() {
    let kustomization = kubernetes("kustomization.yaml");
    for resource in each(&kustomization["resources"]) {
        let object = kubernetes(resource.as_str().unwrap());
        assert!(object["kind"].is_string() && object["metadata"]["name"].is_string(), "{resource}");
    }
    let deployment = kubernetes("deployment.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &kubernetes("service.yaml")["spec"]["selector"],
        &kubernetes("poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"],
        &kubernetes("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"],
        &kubernetes("podmonitor.yaml")["spec"]["selector"]["matchLabels"],
        &deployment["spec"]["template"]["spec"]["topologySpreadConstraints"][1]["labelSelector"]["matchLabels"],
    ];
    for selector in selectors {
        assert_eq!(selector, labels);
    }
    let scaled = &kubernetes("horizontalpodautoscaler.yaml")["spec"]["scaleTargetRef"];
    assert_eq!((&scaled["kind"], &scaled["name"]), (&deployment["kind"], &deployment["metadata"]["name"]));
    let volumes = &deployment["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["configMap"]["name"], kustomization["configMapGenerator"][0]["name"]);
    assert_eq!(volumes[1]["secret"]["secretName"], kubernetes("secret.example.yaml")["metadata"]["name"]);
    let limit = container()["resources"]["limits"]["memory"].clone();
    assert_eq!(limit, "512Mi");
    assert!(
        text("deploy/prometheus/rules/scoring-api.yml").contains("0.8 * 512 * 1024 * 1024"),
        "the limit's alert"
    );
}

#[test]
fn containers_may_do_no_more_than_they_need() {
    let pod = kubernetes("deployment.yaml")["spec"]["template"]["spec"].clone();
    assert_eq!(
        (&pod["securityContext"]["runAsUser"], &pod["automountServiceAccountToken"]),
        (&65532.into(), &false.into())
    );
    let security = container()["securityContext"].clone();
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"][0], "ALL");
    let image = text("Dockerfile");
    let (_, last_stage) = image.rsplit_once("\nFROM ").unwrap();
    for line in ["gcr.io/distroless/cc-debian12:nonroot", "USER 65532:65532", "STOPSIGNAL SIGTERM"] {
        assert!(last_stage.lines().any(|found| found == line), "{line}");
    }
}

/// The image has no shell or other program that could ask.
#[test]
fn the_image_and_compose_probe_readiness_with_the_binary() {
    let words = ["/usr/local/bin/scoring-api", "probe"];
    let image = text("Dockerfile");
    let check = image.lines().find(|line| line.starts_with("HEALTHCHECK ")).unwrap();
    let (_, command) = check.split_once(" CMD ").unwrap();
    assert_eq!(serde_json::from_str::<Vec<String>>(command).unwrap(), words);
    let compose = yaml("compose.yaml");
    let check = &compose["services"]["scoring-api"]["healthcheck"];
    assert_eq!(check["test"], serde_json::json!(["CMD", words[0], words[1]]));
    // The probe gives up by itself, and prints why, before it is killed.
    assert_eq!(check["timeout"], "4s");
}

#[test]
fn compose_publishes_on_loopback_and_mounts_existing_files() {
    let compose = yaml("compose.yaml");
    let ports = &compose["services"]["scoring-api"]["ports"];
    assert_eq!(*ports, json!(["127.0.0.1:8080:8080", "127.0.0.1:8081:8081"]));
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in each(&service["ports"]) {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        for volume in each(&service["volumes"]).filter_map(|volume| volume.as_str()?.strip_prefix("./")) {
            let (from, _) = volume.split_once(':').unwrap();
            assert!(path(from).exists(), "{name}: {from}");
        }
        assert!(service["healthcheck"].is_object(), "{name}");
    }
    assert!(path(compose["configs"]["redis"]["file"].as_str().unwrap()).exists());
    assert_eq!(compose["networks"]["back"]["internal"], true);
    assert!(!each(&compose["services"]["redis"]["networks"]).any(|network| network == "front"));
}

#[rstest]
#[case::tells_when_it_is_ready("Type", "notify")]
#[case::is_watched("WatchdogSec", "30")]
#[case::reloads("ExecReload", "/bin/kill -HUP $MAINPID")]
#[case::comes_back("Restart", "on-failure")]
#[case::not_with_a_wrong_configuration("RestartPreventExitStatus", "2")]
#[case::gives_up_in_the_end("StartLimitBurst", "5")]
#[case::is_nobody("DynamicUser", "yes")]
#[case::keeps_its_file("StateDirectory", "scoring-api")]
#[case::writes_nowhere_else("ProtectSystem", "strict")]
#[case::gains_nothing("NoNewPrivileges", "yes")]
#[case::may_do_nothing("CapabilityBoundingSet", "")]
#[case::makes_no_code("MemoryDenyWriteExecute", "yes")]
#[case::talks_by_sockets("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6")]
fn the_unit_matches_its_documents(#[case] key: &str, #[case] value: &str) {
    assert_eq!(unit(key), [value], "{key}");
}
