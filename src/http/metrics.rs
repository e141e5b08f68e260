//! Metrics of the public listener.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets};

/// The label of a request that names no method of ours, so that clients cannot make labels up.
pub(super) const OTHER: &str = "other";

/// Clones share the metrics.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGauge,
    handshakes: IntGauge,
}

/// Counts a request as in flight, or a handshake, until it is dropped.
pub(super) struct InFlight(IntGauge);

impl HttpMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// If one of them is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("scoring_http_requests_total", "Answered requests, by method and status code."),
                &["method", "code"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "scoring_http_request_duration_seconds",
                    "Time from a request's head to its answer.",
                )
                .buckets(exponential_buckets(50e-6, 2.5, 14)?),
                &["method"],
            )?,
            in_flight: IntGauge::new("scoring_requests_in_flight", "Requests that are being answered.")?,
            handshakes: IntGauge::new(
                "scoring_tls_handshakes_in_progress",
                "Connections that are shaking hands.",
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.durations.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.handshakes.clone()))?;
        Ok(metrics)
    }

    /// How many requests are being answered.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Whether any request is being answered, or is to come from a client that is shaking hands.
    pub fn is_busy(&self) -> bool {
        self.in_flight.get() + self.handshakes.get() > 0
    }

    pub(super) fn begin_handshake(&self) -> InFlight {
        self.handshakes.inc();
        InFlight(self.handshakes.clone())
    }

    pub(super) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(super) fn answered(&self, method: &'static str, code: u16, took: Duration) {
        self.requests.with_label_values(&[method, code.to_string().as_str()]).inc();
        self.durations.with_label_values(&[method]).observe(took.as_secs_f64());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
