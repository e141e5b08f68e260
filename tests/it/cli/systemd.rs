//! The service's messages to systemd.

use std::time::Duration;

use rustix::process::Signal;
use testkit::{SLACK, in_time};
use tokio::net::UnixDatagram;

use super::process::Sandbox;

const SETTINGS: [&str; 8] = [
    "--set",
    "http.bind=127.0.0.1:0",
    "--set",
    "admin.bind=127.0.0.1:0",
    "--set",
    "store.url=memory:",
    "--set",
    "shutdown.grace=0s",
];

/// Where systemd would listen.
struct Heard(UnixDatagram);

impl Heard {
    /// The next message that is not for the watchdog.
    async fn next(&self) -> String {
        loop {
            let message = self.any().await;
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    async fn any(&self) -> String {
        let mut message = [0; 1024];
        let received = in_time(Duration::from_secs(10) * SLACK, self.0.recv(&mut message));
        let length = received.await.expect("a message").unwrap();
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    }
}

#[tokio::test]
async fn systemd_is_notified_of_each_phase_and_its_watchdog_is_fed() {
    let sandbox = Sandbox::new();
    let heard = Heard(UnixDatagram::bind(sandbox.path("notify")).unwrap());
    let mut command = sandbox.command(&SETTINGS);
    command.env("NOTIFY_SOCKET", sandbox.path("notify")).env("WATCHDOG_USEC", "200000");
    let (service, _) = sandbox.serve_by(command).await;

    assert_eq!(heard.next().await, "READY=1");
    assert_eq!([heard.any().await, heard.any().await], ["WATCHDOG=1", "WATCHDOG=1"]);

    service.signal(Signal::HUP);
    let reloading = heard.next().await;
    let (first, second) = reloading.split_once('\n').unwrap();
    assert!(first == "RELOADING=1" && second.starts_with("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard.next().await, "READY=1");

    service.signal(Signal::TERM);
    assert_eq!(heard.next().await, "STOPPING=1");
    service.ended().await.succeeded();
}
