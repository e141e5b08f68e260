//! Redis over TLS, with certificates that are right, wrong, and changed.

use std::{net::SocketAddr, path::Path, time::Duration};

use rstest::rstest;
use tempfile::TempDir;
use testkit::{ALL_IS_OK_WITHIN, Certificate, Proxy, RedisServer, TestApp, eventually};

use super::seed;

/// The service waits up to 2 s after an error that only an operator can help with.
const AFTER_AN_OPERATOR: Duration = Duration::from_secs(5);

/// A folder with the certificate `ca.pem`.
fn trusting(certificate: &Certificate) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    trust(folder.path(), certificate);
    folder
}

fn trust(folder: &Path, certificate: &Certificate) {
    certificate.write(folder);
    std::fs::rename(folder.join("cert.pem"), folder.join("ca.pem")).unwrap();
}

/// A service on the server at `address`, which trusts the certificate in `folder` for the name `name`.
async fn app_at(address: SocketAddr, folder: &TempDir, name: &str, more: &[&str]) -> TestApp {
    let url = format!("store.url=rediss://{address}");
    let ca = format!("store.tls_ca={}", folder.path().join("ca.pem").display());
    let name = format!("store.tls_name={name}");
    TestApp::with_settings(&[&[url.as_str(), &ca, &name], more].concat()).await
}

/// Readiness names this kind and this cause for the persistent store.
async fn names(app: &TestApp, kind: &str, cause: &str) {
    eventually(AFTER_AN_OPERATOR, &format!("readiness says {cause}"), async || {
        let store = app.admin("/readyz").await.body["parts"]["persistent"].clone();
        store["last_error"] == kind && store["cause"].as_str().is_some_and(|text| text.contains(cause))
    })
    .await;
}

#[tokio::test]
async fn calls_are_answered_over_tls() {
    let certificate = Certificate::new();
    let redis = RedisServer::over_tls(&certificate, &[]).await;
    seed(&redis).await;
    let folder = trusting(&certificate);
    let app = app_at(redis.addr(), &folder, Certificate::NAME, &[]).await;
    app.recovers().await;
}

#[rstest]
#[case::unknown_issuer(Certificate::new(), false, Certificate::NAME, "has an unknown issuer")]
#[case::another_name(Certificate::new(), true, "another.test", "is for another name")]
#[case::an_address_as_the_name(Certificate::new(), true, "", "is for another name")]
#[case::expired(Certificate::expired(), true, Certificate::NAME, "has expired")]
#[tokio::test]
async fn row_24b_a_certificate_that_is_not_trusted_is_named(
    #[case] certificate: Certificate,
    #[case] is_trusted: bool,
    #[case] name: &str,
    #[case] cause: &str,
) {
    let redis = RedisServer::over_tls(&certificate, &[]).await;
    seed(&redis).await;
    let folder = if is_trusted { trusting(&certificate) } else { trusting(&Certificate::new()) };
    let app = app_at(redis.addr(), &folder, name, &[]).await;
    app.is_degraded().await;
    names(&app, "tls", &format!("{}: TLS handshake: the server's certificate {cause}", redis.addr())).await;
    // Retries are slow: at most one a second on each of the links.
    let links = app.metric("scoring_store_reconnects_total{role=\"persistent\"}").await;
    assert!(links < 20.0, "{links} attempts");
}

#[tokio::test]
async fn row_24b_an_issuer_that_is_added_is_trusted_without_a_restart() {
    let certificate = Certificate::new();
    let redis = RedisServer::over_tls(&certificate, &[]).await;
    seed(&redis).await;
    let folder = trusting(&Certificate::new());
    let app = app_at(redis.addr(), &folder, Certificate::NAME, &[]).await;
    app.is_degraded().await;
    trust(folder.path(), &certificate);
    app.recovers_within(AFTER_AN_OPERATOR).await;
    // A file that is cut while it is written changes nothing for connections that are made.
    std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERT").unwrap();
    app.is_ok().await;
    redis.client_kill().await;
    names(&app, "tls", "ca.pem: holds no PEM certificate").await;
    trust(folder.path(), &certificate);
    app.recovers_within(AFTER_AN_OPERATOR).await;
}

#[tokio::test]
async fn row_24b_a_server_that_demands_a_certificate_gets_it() {
    let (certificate, ours) = (Certificate::new(), Certificate::new());
    let folder = trusting(&certificate);
    let mine = tempfile::tempdir().unwrap();
    ours.write(mine.path());
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| mine.path().join(name).display().to_string());
    let demands = ["--tls-auth-clients", "yes", "--tls-ca-cert-file", &cert];
    let redis = RedisServer::over_tls(&certificate, &demands).await;
    seed(&redis).await;

    let without = app_at(redis.addr(), &folder, Certificate::NAME, &[]).await;
    without.is_degraded().await;
    names(&without, "tls", "the server demands a certificate of this service").await;

    let files = [format!("store.tls_cert={cert}"), format!("store.tls_key={key}")];
    let with = app_at(redis.addr(), &folder, Certificate::NAME, &files.each_ref().map(String::as_str)).await;
    with.recovers().await;
}

#[tokio::test]
async fn row_24c_a_server_in_the_clear_behind_rediss_is_an_outage() {
    let redis = RedisServer::start().await;
    seed(&redis).await;
    let folder = trusting(&Certificate::new());
    let app = app_at(redis.addr(), &folder, Certificate::NAME, &[]).await;
    app.is_degraded().await;
    app.scores_right().await;
    eventually(AFTER_AN_OPERATOR, "the handshake is named", async || {
        let cause = app.admin("/readyz").await.body["parts"]["persistent"]["cause"].clone();
        cause.as_str().is_some_and(|text| text.contains("TLS handshake: "))
    })
    .await;
}

#[tokio::test]
async fn row_24c_a_handshake_that_stalls_is_given_up() {
    let certificate = Certificate::new();
    let redis = RedisServer::over_tls(&certificate, &[]).await;
    seed(&redis).await;
    redis.sigstop();
    let folder = trusting(&certificate);
    let app = app_at(redis.addr(), &folder, Certificate::NAME, &[]).await;
    app.is_degraded().await;
    names(&app, "timed_out", "TLS handshake: timed out").await;
    redis.sigcont();
    app.recovers().await;
}

#[tokio::test]
async fn row_24c_a_connection_that_goes_dead_below_tls_is_replaced() {
    let certificate = Certificate::new();
    let redis = RedisServer::over_tls(&certificate, &[]).await;
    seed(&redis).await;
    let proxy = Proxy::to(redis.addr());
    let folder = trusting(&certificate);
    let app = app_at(proxy.addr(), &folder, Certificate::NAME, &[]).await;
    app.recovers().await;
    proxy.stop_existing_after(0);
    // Without calls, probes notice.
    tokio::time::sleep(ALL_IS_OK_WITHIN).await;
    app.recovers().await;
}
