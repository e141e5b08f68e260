//! The real service, on a thread of its own: two workers, free loopback ports, and the demo's store.

use std::{io, net::SocketAddr, sync::Arc, thread, time::Duration};

use tokio::{sync::oneshot, time::timeout};

use super::{phases::Pace, store::SwitchedStore};
use crate::{
    app::{Application, Stores},
    cli::failure::Failure,
    config::Settings,
    domain::Authenticator,
};

/// The settings of a demo. The user's own files and variables do not count, so that every run is the same.
const SETTINGS: [&str; 7] = [
    "http.bind=127.0.0.1:0",
    "http.workers=2",
    "admin.bind=127.0.0.1:0",
    "store.url=memory:",
    // A machine that stands still for seconds must not decide: the calls of that time come at once, and late. A store that is away
    // is found by `store.timeout` and `store.attempts`, so interests are refused as soon as with the usual deadline.
    "limits.max_in_flight=100000",
    "store.deadline=10s",
    // The client may keep a connection that it has not used yet.
    "http.head_timeout=10m",
];

/// Maximum time to stop: more than the grace period and the drain together.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// A service that runs until it is told to stop.
pub(super) struct Service {
    /// The public listener.
    pub(super) address: SocketAddr,
    /// The operators' listener.
    pub(super) admin: SocketAddr,
    /// Signs calls with the public salts.
    pub(super) authenticator: Authenticator,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<io::Result<()>>,
}

// ===== impl Service =====

impl Service {
    /// Starts the service on `store`, for both roles.
    pub(super) async fn start(store: SwitchedStore, pace: Pace) -> Result<Self, Failure> {
        let settings = settings(pace)?;
        let authenticator = settings.auth.authenticator()?;
        let (has_started, started) = oneshot::channel();
        let (has_ended, ended) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("service".to_owned())
            .spawn(move || {
                let serving = async {
                    let stores = Stores { cache: Arc::new(store.clone()), persistent: Arc::new(store) };
                    let app = match Application::assemble(&settings, stores, |_| {}) {
                        Ok(app) => app,
                        Err(error) => {
                            _ = has_started.send(Err(Failure::build(error, &settings)));
                            return Ok(());
                        }
                    };
                    _ = has_started.send(Ok((app.address(), app.admin_address())));
                    app.run_until(async { _ = stopped.await }).await
                };
                // The demo may have ended before its service.
                _ = has_ended.send(actix_web::rt::System::new().block_on(serving));
            })
            .map_err(Failure::Start)?;
        let died = |_| Failure::Start(io::Error::other("the service's thread died"));
        let (address, admin) = started.await.map_err(died)??;
        let admin = admin.ok_or_else(|| Failure::Start(io::ErrorKind::AddrNotAvailable.into()))?;
        Ok(Self { address, admin, authenticator, stop: Some(stop), ended })
    }

    /// Tells the service to stop, as SIGTERM does for `serve`.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// If it did not finish every call in time.
    pub(super) async fn ended(&mut self) -> io::Result<()> {
        match timeout(STOPS_WITHIN, &mut self.ended).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => Err(io::Error::other("its thread died")),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn settings(pace: Pace) -> Result<Settings, Failure> {
    let grace = match pace {
        Pace::Full => "shutdown.grace=7s",
        Pace::Short => "shutdown.grace=3s",
    };
    let assignments: Vec<_> = SETTINGS.into_iter().chain([grace]).map(str::to_owned).collect();
    Ok(Settings::load(None, [], &assignments)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_settings_are_sound_and_reach_loopback_only() {
        for pace in [Pace::Full, Pace::Short] {
            let settings = settings(pace).unwrap();
            let binds = [Some(settings.http.bind), settings.admin.bind];
            assert!(binds.iter().flatten().all(|bind| bind.ip().is_loopback() && bind.port() == 0));
        }
    }
}
