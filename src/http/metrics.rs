//! Metrics of the public listener.

mod counts;

use std::{sync::Arc, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::{
    domain::{Caller, FailureReason, Method, Partner, Refused},
    units::LATENCY_BUCKETS,
};

pub(super) use self::counts::{Buckets, MethodCounts};

/// The label of a request without a valid method, so that clients cannot create labels.
pub(super) const OTHER: &str = "other";

/// The codes of the service. Any other code is counted too, at a higher cost.
const CODES: [u16; 12] = [200, 400, 403, 404, 405, 408, 413, 422, 429, 431, 500, 503];

/// Clones share the metrics.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: IntCounterVec,
    methods: Arc<[OfMethod]>,
    other: Arc<OfMethod>,
    /// By the kind of the token, in the order of [`Caller::TOKENS`].
    tokens: [IntCounter; Caller::TOKENS.len()],
    /// By the reason, in the order of [`Refused::ALL`].
    refusals: [IntCounter; Refused::ALL.len()],
    /// By the reason, in the order of [`FailureReason::ALL`].
    failed: [IntCounter; FailureReason::ALL.len()],
    /// By registered partner, if they are to be counted.
    partners: Option<IntCounterVec>,
    in_flight: IntGauge,
    handshakes: IntGauge,
    connections: IntGaugeVec,
    connection_limits: IntGaugeVec,
}

/// The series of one method, looked up once instead of for each request.
#[derive(Debug)]
struct OfMethod {
    name: &'static str,
    answers: [IntCounter; CODES.len()],
    durations: Histogram,
}

/// Counts a request as in flight, a handshake or a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(IntGauge);

impl HttpMetrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    ///
    /// If one of them is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("scoring_http_requests_total", "Answered requests, by method and status code."),
            &["method", "code"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "scoring_http_request_duration_seconds",
                "Time from a request's head to its answer.",
            )
            .buckets(LATENCY_BUCKETS.to_vec()),
            &["method"],
        )?;
        let tokens = IntCounterVec::new(
            Opts::new(
                "scoring_auth_tokens_total",
                "Calls with a valid token: of the current salt, of the previous one, of a registered partner, or of the admin.",
            ),
            &["token"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "scoring_auth_refusals_total",
                "Calls answered 403, or 429 for the rate of their account: caller not registered (unknown), wrong token, partner \
                 disabled, token expired, method not allowed, or too many calls (rate).",
            ),
            &["reason"],
        )?;
        let failed = IntCounterVec::new(
            Opts::new(
                "scoring_failed_requests_total",
                "Requests that were not answered 200, by the reason: one word for each cause that is treated differently.",
            ),
            &["reason"],
        )?;
        let in_flight = IntGauge::new("scoring_requests_in_flight", "Requests that are being answered.")?;
        let handshakes =
            IntGauge::new("scoring_tls_handshakes_in_progress", "Connections that are shaking hands.")?;
        let by_listener = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["listener"]);
        let connections = by_listener("scoring_http_connections", "Open connections.")?;
        let connection_limits = by_listener(
            "scoring_http_connections_limit",
            "Maximum open connections: http.max_connections, or as many as there are files for.",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(tokens.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(failed.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(handshakes.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(connection_limits.clone()))?;
        let of_method = |name| OfMethod {
            name,
            answers: CODES.map(|code| requests.with_label_values(&[name, code.to_string().as_str()])),
            durations: durations.with_label_values(&[name]),
        };
        let methods = Method::ALL.iter().map(|method| of_method(method.as_str())).collect();
        let tokens = Caller::TOKENS.map(|token| tokens.with_label_values(&[token]));
        let refusals = Refused::ALL.map(|reason| refusals.with_label_values(&[reason.as_str()]));
        let failed = FailureReason::ALL.map(|reason| failed.with_label_values(&[reason.as_str()]));
        let other = Arc::new(of_method(OTHER));
        Ok(Self {
            methods,
            other,
            requests,
            tokens,
            refusals,
            failed,
            partners: None,
            in_flight,
            handshakes,
            connections,
            connection_limits,
        })
    }

    /// Counts the calls of each registered partner as well.
    ///
    /// # Errors
    ///
    /// If they are already counted.
    pub fn with_partners(self, registry: &Registry) -> prometheus::Result<Self> {
        let partners = IntCounterVec::new(
            Opts::new(
                "scoring_partner_calls_total",
                "Calls that name a registered partner, by partner (account/login), method and status code. The series of a \
                 partner that has left the file stay until a restart.",
            ),
            &["partner", "method", "code"],
        )?;
        registry.register(Box::new(partners.clone()))?;
        Ok(Self { partners: Some(partners), ..self })
    }

    /// The number of requests in flight.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Whether a request is in flight, or a client is in a TLS handshake.
    pub fn is_busy(&self) -> bool {
        self.in_flight.get() + self.handshakes.get() > 0
    }

    pub(super) fn begin_handshake(&self) -> InFlight {
        InFlight::count(&self.handshakes)
    }

    /// The gauge of a listener's open connections, of which there may be `limit`.
    pub(super) fn connections(&self, listener: &str, limit: usize) -> IntGauge {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection_limits.with_label_values(&[listener]).set(limit);
        self.connections.with_label_values(&[listener])
    }

    pub(super) fn begin(&self) -> InFlight {
        InFlight::count(&self.in_flight)
    }

    /// Counts a rejected head. Its duration says nothing about the service, so only `code` is counted.
    pub(super) fn refused_head(&self, code: u16, reason: FailureReason) {
        self.failed(reason);
        self.requests.with_label_values(&[OTHER, code.to_string().as_str()]).inc();
    }

    /// Counts a call with a valid token.
    pub(super) fn authenticated(&self, caller: &Caller) {
        let kinds = Caller::TOKENS.iter().zip(&self.tokens);
        kinds.filter(|(kind, _)| **kind == caller.token()).for_each(|(_, count)| count.inc());
    }

    /// Counts a call that is refused because of its caller.
    pub(super) fn refused(&self, reason: Refused) {
        let reasons = Refused::ALL.iter().zip(&self.refusals);
        reasons.filter(|(known, _)| **known == reason).for_each(|(_, count)| count.inc());
    }

    /// Counts a call of a registered partner, if they are counted.
    pub(super) fn of_partner(&self, partner: &Partner, method: &str, code: u16) {
        if let Some(partners) = &self.partners {
            partners.with_label_values(&[partner.name(), method, itoa::Buffer::new().format(code)]).inc();
        }
    }

    /// Counts an answer, and its reason if it is not 200.
    pub(super) fn answered(
        &self,
        method: &'static str,
        code: u16,
        reason: Option<FailureReason>,
        took: Duration,
    ) {
        reason.into_iter().for_each(|reason| self.failed(reason));
        let of_method = self.methods.iter().find(|known| known.name == method).unwrap_or(&self.other);
        match CODES.iter().zip(&of_method.answers).find(|(known, _)| **known == code) {
            Some((_, answers)) => answers.inc(),
            None => self.requests.with_label_values(&[of_method.name, code.to_string().as_str()]).inc(),
        }
        of_method.durations.observe(took.as_secs_f64());
    }

    fn failed(&self, reason: FailureReason) {
        // The list is in the order of the reasons.
        self.failed.get(reason as usize).into_iter().for_each(IntCounter::inc);
    }
}

impl InFlight {
    /// Counts one more in `gauge`.
    pub(super) fn count(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_was_not_foreseen_is_counted_too() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        for code in [200, 200, 418] {
            metrics.answered(OTHER, code, None, Duration::from_millis(1));
        }
        let counted = |code| metrics.requests.with_label_values(&[OTHER, code]).get();
        assert_eq!((counted("200"), counted("418")), (2, 1));
    }

    #[test]
    fn each_method_of_the_protocol_has_series_of_its_own() {
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        for method in Method::ALL {
            metrics.answered(method.as_str(), 200, None, Duration::from_millis(1));
            assert_eq!(metrics.requests.with_label_values(&[method.as_str(), "200"]).get(), 1);
        }
        metrics.answered("a_method_without_series", 200, None, Duration::from_millis(1));
        assert_eq!(metrics.requests.with_label_values(&[OTHER, "200"]).get(), 1);
    }
}
