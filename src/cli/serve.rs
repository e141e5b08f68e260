//! `serve`: the service itself, until a signal ends it.

mod greeting;

use std::thread;

use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{failure::Failure, output, reload::Reload, signals::Signals, source::Source, systemd};
use crate::{app::Application, config::Settings, http, telemetry};

/// Serves until the first signal, then stops gracefully, which counts as success. A second signal ends the process at
/// once. SIGHUP reloads the settings from `source`.
pub(super) fn run(settings: Settings, source: &Source) -> Result<(), Failure> {
    // Dropped last: it writes the queued lines.
    let mut log = telemetry::init(&settings.log, &settings.trace).map_err(Failure::Start)?;
    http::raise_file_limit();
    let ended = actix_web::rt::System::new().block_on(async {
        // Before the service is visible: an observer may send a signal as soon as it is.
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        let mut hangups = signal(SignalKind::hangup()).map_err(Failure::Start)?;
        let app = Application::build(&settings).map_err(|error| Failure::build(error, &settings))?;
        app.publish(log.dropped_lines()).map_err(|error| Failure::build(error, &settings))?;
        if let Some(lost) = log.lost_spans() {
            app.publish(lost).map_err(|error| Failure::build(error, &settings))?;
        }
        app.lifecycle().observe(systemd::entered);
        if log.is_for_people() {
            let text = greeting::text(&settings, source, &app);
            // A closed or blocked output is no reason not to serve.
            thread::spawn(move || output::print(&text));
        }
        let health = app.health();
        let is_well = || !health.all().iter().any(|health| health.is_stuck());
        let mut started = settings.clone();
        started.auth.partners.forget();
        let mut reload = Reload { source, started, loaded: settings, reloader: app.reloader(), log: &log };
        let reloading = async {
            while hangups.recv().await.is_some() {
                systemd::reloading();
                reload.reload().await;
                systemd::reloaded();
            }
            std::future::pending::<()>().await;
        };
        let (stop, stopped) = oneshot::channel();
        let twice = async {
            signals.next().await;
            // The receiver is gone if the service has ended by itself.
            let _ = stop.send(());
            signals.next().await
        };
        select! {
            ended = app.run_until(async { _ = stopped.await; }) => ended.map_err(Failure::Serve),
            stop = twice => Err(Failure::Stopped { stop, consequence: " for the second time, before everything was finished" }),
            () = reloading => Ok(()),
            () = systemd::keep_watchdog_calm(is_well) => Ok(()),
        }
    });
    if matches!(ended, Err(Failure::Stopped { .. })) {
        log.leave_spans_behind();
    }
    ended
}
