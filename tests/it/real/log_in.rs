//! The log-in to a real server: made while a script blocks it, and with a password that changes.

use std::time::Duration;

use testkit::{ALL_IS_OK_WITHIN, RedisServer, TestApp, eventually};

/// Seeded in database 3; database 0 is another application's.
async fn two_applications(options: &[&str]) -> RedisServer {
    let redis = RedisServer::with(options).await;
    for (key, value) in TestApp::seeds() {
        redis.command::<()>(&["SET", key, value]).await;
        redis.command::<i64>(&["MOVE", key, "3"]).await;
        redis.command::<()>(&["SET", key, r#"["of another application"]"#]).await;
    }
    redis.command::<()>(&["SET", "i:2", r#"["of another application"]"#]).await;
    redis
}

#[tokio::test]
async fn row_46_connections_made_in_a_real_script_keep_the_database() {
    let redis = two_applications(&["--lua-time-limit", "100"]).await;
    let script = "local t = redis.call('TIME'); local e = t[1] + 4; repeat t = redis.call('TIME') until tonumber(t[1]) >= e";
    let eval = ["EVAL", script, "0"];
    let url = format!("{}/3", redis.url());
    let starts = async {
        let app = TestApp::on(&url).await;
        app.is_degraded().await;
        app
    };
    let (blocked, app) = tokio::join!(redis.command::<Option<String>>(&eval), starts);
    assert_eq!(blocked, None);
    app.recovers().await;
    let clients: String = redis.command(&["CLIENT", "LIST"]).await;
    let services = clients.lines().filter(|client| !client.contains("user=tools"));
    assert!(
        services.clone().count() > 0 && services.clone().all(|client| client.contains("db=3")),
        "{clients}"
    );
}

#[tokio::test]
async fn a_password_is_rotated_without_a_restart() {
    let redis = RedisServer::with(&["--requirepass", "first"]).await;
    for (key, value) in TestApp::seeds() {
        redis.command::<()>(&["SET", key, value]).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let password_file = format!("store.password_file={}", file.display());
    let app = TestApp::with_settings(&[&format!("store.url={}", redis.url()), &password_file]).await;
    app.recovers().await;

    redis.config_set("requirepass", "second").await;
    redis.client_kill().await;
    app.is_degraded().await;
    std::fs::write(&file, "second\n").unwrap();
    // A password that was refused is tried again every 1 to 2 s.
    app.recovers_within(3 * ALL_IS_OK_WITHIN).await;

    // A file that is not there at the moment names itself, and changes nothing for connections that are made.
    std::fs::remove_file(&file).unwrap();
    app.is_ok().await;
    redis.client_kill().await;
    app.is_degraded().await;
    eventually(Duration::from_secs(20), "the file is named", async || {
        let ready = app.admin("/readyz").await.body;
        let store = &ready["parts"]["persistent"];
        store["last_error"] == "no_password"
            && store["cause"].as_str().unwrap().starts_with(&format!("no password: {}: ", file.display()))
    })
    .await;
    std::fs::write(&file, "second\n").unwrap();
    app.recovers_within(3 * ALL_IS_OK_WITHIN).await;
}
