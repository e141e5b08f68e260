//! Row 59: large bodies that are refused, sent by curl, straight and through the proxies that people put in front.

use std::{fs, net::SocketAddr, path::PathBuf};

use futures_util::{StreamExt, stream};
use rstest::rstest;
use tempfile::TempDir;
use testkit::{ReverseProxy, TestApp};
use tokio::process::Command;

const TRIES: usize = 40;
const AT_A_TIME: usize = 8;

/// In bytes: below and above nginx's own limit of 1 MiB, and the largest that the row speaks of.
const SIZES: [usize; 4] = [500_000, 1_000_000, 3_000_000, 20_000_000];

/// The way to the service.
#[derive(Debug, Clone, Copy)]
enum Through {
    Nothing,
    Nginx(&'static str),
    Haproxy,
}

/// Files of zeros.
struct Bodies(TempDir);

impl Bodies {
    fn write() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for size in SIZES {
            fs::write(folder.path().join(size.to_string()), vec![b'0'; size]).unwrap();
        }
        Self(folder)
    }

    fn of(&self, size: usize) -> PathBuf {
        self.0.path().join(size.to_string())
    }
}

/// The status that curl saw, or its error.
async fn send(address: SocketAddr, path: &str, body: PathBuf, framing: &str) -> Result<String, String> {
    let curl = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "--output", "/dev/null"])
        .args([
            "--write-out",
            "%{http_code}",
            "--header",
            framing,
            "--header",
            "content-type: application/json",
        ])
        .arg("--data-binary")
        .arg(format!("@{}", body.display()))
        .arg(format!("http://{address}{path}"))
        .kill_on_drop(true)
        .output()
        .await
        .expect("curl cannot be started: apt-get install curl");
    let status = String::from_utf8_lossy(&curl.stdout).into_owned();
    if curl.status.success() {
        Ok(status)
    } else {
        Err(format!("{status} {}", String::from_utf8_lossy(&curl.stderr)))
    }
}

#[rstest]
#[case::straight(Through::Nothing)]
#[case::nginx_as_it_is(Through::Nginx(""))]
#[case::nginx(Through::Nginx("client_max_body_size 100m;"))]
#[case::nginx_that_streams(Through::Nginx(
    "client_max_body_size 100m; proxy_request_buffering off; proxy_http_version 1.1;"
))]
#[case::haproxy(Through::Haproxy)]
#[tokio::test]
async fn row_59_a_large_body_that_is_refused_gets_its_answer(
    #[case] through: Through,
    #[values("expect: 100-continue", "expect:", "transfer-encoding: chunked")] framing: &str,
) {
    let app = TestApp::spawn().await;
    let bodies = Bodies::write();
    let proxy = match through {
        Through::Nothing => None,
        Through::Nginx(settings) => Some(ReverseProxy::nginx(app.address(), settings).await),
        Through::Haproxy => Some(ReverseProxy::haproxy(app.address()).await),
    };
    let address = proxy.as_ref().map_or(app.address(), ReverseProxy::address);
    let tries = stream::iter(0..TRIES).map(async |number| {
        let size = SIZES[number / 2 % SIZES.len()];
        let (path, status) = [("/method", "413"), ("/x", "404")][number % 2];
        let got = send(address, path, bodies.of(size), framing).await;
        // nginx answers by itself where the body is too large for it.
        let is_right = got.as_ref().is_ok_and(|got| got == status || got == "413");
        (!is_right).then(|| format!("{size} bytes to {path}: {got:?}"))
    });
    let wrong: Vec<_> = tries.buffer_unordered(AT_A_TIME).filter_map(async |wrong| wrong).collect().await;
    assert!(wrong.is_empty(), "{} of {TRIES}: {wrong:#?}", wrong.len());
}
