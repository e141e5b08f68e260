//! Runs the service: serves, and stops without losing a call.

use std::{io, time::Duration};

use actix_web::dev::Server;
use tokio::{
    select,
    task::{JoinHandle, spawn_local},
    time::{Instant, interval, sleep, timeout},
};

use super::Application;
use crate::{
    build_info::{REVISION, VERSION},
    http::{self, HttpMetrics},
    telemetry,
    units::millis,
};

/// After the request to stop, this time without a call in flight or a handshake means that all are finished.
const QUIET: Duration = Duration::from_millis(100);

// ===== impl Application =====

impl Application {
    /// Serves until `stop` resolves, then stops gracefully. It becomes unready first, accepts new calls for the grace
    /// period, then finishes the calls in flight.
    ///
    /// # Errors
    ///
    /// If a listener fails.
    pub async fn run_until(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let (public, admin) = (self.public.handle(), self.admin.as_ref().map(Server::handle));
        let mut serving = spawn_local(self.public);
        if let Some(server) = self.admin {
            spawn_local(async {
                if let Err(error) = server.await {
                    tracing::error!(%error, "the operators' listener ended");
                }
            });
        }
        // Without that listener the status has no readers.
        let _reading = admin.is_some().then(|| AbortOnDrop(spawn_local(self.status.watch())));
        let _watching = self.reloader.tls().cloned().map(|tls| AbortOnDrop(spawn_local(tls.watch())));
        self.lifecycle.serving();
        let admin_address = self.admin_address.map(|address| address.to_string());
        let [cache, store] = &self.store_addresses;
        tracing::info!(
            address = %self.address,
            admin_address,
            version = VERSION,
            revision = REVISION,
            store,
            cache,
            "listening"
        );

        select! {
            ended = &mut serving => return ended.map_err(io::Error::other)?,
            () = stop => {}
        }
        self.lifecycle.draining();
        tracing::info!(grace_ms = millis(self.shutdown.grace), "stopping");
        sleep(self.shutdown.grace).await;

        // When it stops, actix drops connections that it has accepted and not begun to serve. So the order is: the
        // socket refuses new connections, once its accept queue is empty; the accepted ones are answered; then the
        // workers are stopped.
        self.lifecycle.closing();
        telemetry::expect_no_accepts();
        http::refuse_new(&self.listener).await?;
        public.pause().await;
        let ending = async {
            quiet(&self.metrics).await;
            public.stop(true).await;
        };
        let in_time = timeout(self.shutdown.drain, ending).await.is_ok();
        let in_flight = self.metrics.in_flight();
        if !in_time && in_flight == 0 {
            // A client has connected, and not sent anything yet.
            public.stop(false).await;
        } else if !in_time {
            tracing::warn!(in_flight, "stopping before everything was answered");
            public.stop(false).await;
            let cut_off = format!("{in_flight} requests were not answered within shutdown.drain");
            return Err(io::Error::new(io::ErrorKind::TimedOut, cut_off));
        }
        if let Some(admin) = admin {
            admin.stop(false).await;
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Resolves when no request has been in flight, and no TLS handshake in progress, for a while.
async fn quiet(metrics: &HttpMetrics) {
    let mut tick = interval(QUIET / 10);
    let mut busy = Instant::now();
    while busy.elapsed() < QUIET {
        tick.tick().await;
        if metrics.is_busy() {
            busy = Instant::now();
        }
    }
}

/// A task that is aborted when its handle is dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
