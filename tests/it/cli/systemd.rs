//! What systemd hears of the service.

use std::{os::unix::net::UnixDatagram, time::Duration};

use rustix::process::Signal;

use super::process::Sandbox;
use crate::harness::SLACK;

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
    fn next(&self) -> String {
        loop {
            let message = self.any();
            if message != "WATCHDOG=1" {
                return message;
            }
        }
    }

    fn any(&self) -> String {
        let mut message = [0; 1024];
        let length = self.0.recv(&mut message).expect("a message");
        String::from_utf8_lossy(&message[..length]).trim_end().to_owned()
    }
}

#[tokio::test]
async fn systemd_hears_when_it_is_ready_reloads_and_stops_and_the_watchdog_that_it_is_well() {
    let sandbox = Sandbox::new();
    let heard = Heard(UnixDatagram::bind(sandbox.path("notify")).unwrap());
    heard.0.set_read_timeout(Some(Duration::from_secs(10) * SLACK)).unwrap();
    let mut command = sandbox.command(&SETTINGS);
    command.env("NOTIFY_SOCKET", sandbox.path("notify")).env("WATCHDOG_USEC", "200000");
    let (service, _) = sandbox.serve_by(command).await;

    assert_eq!(heard.next(), "READY=1");
    assert_eq!([heard.any(), heard.any()], ["WATCHDOG=1", "WATCHDOG=1"]);

    service.signal(Signal::HUP);
    let reloading = heard.next();
    let (first, second) = reloading.split_once('\n').unwrap();
    assert!(first == "RELOADING=1" && second.starts_with("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard.next(), "READY=1");

    service.signal(Signal::TERM);
    assert_eq!(heard.next(), "STOPPING=1");
    service.ended().await.succeeded();
}
