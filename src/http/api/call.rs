//! `POST /method`: bytes in, a message to the dispatcher, bytes out, and one log line.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::header::{HeaderMap, HeaderName},
    web,
};
use tracing::{Instrument, field};

use super::{
    body::{self, Bounds},
    guard::{Panicked, guarded},
};
use crate::{
    actors::{
        active_card::ActiveCard,
        card_metrics::Source,
        dispatcher::{CallContext, CallMethod, Identity},
        runtime::Mailbox,
    },
    admission::Admission,
    deadline::Deadline,
    domain::{
        Answer, CallError, Caller, Defect, FailureReason, Json, Method, MethodRequest, Partner, Refused,
    },
    http::{
        envelope::{Refusal, respond},
        metrics::{HttpMetrics, OTHER},
        request_id::RequestId,
        settings::HttpSettings,
    },
    store::settings::StoreSettings,
    trace::TraceContext,
};

/// The header of the caller's trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Maximum characters of an account's name in the log.
const LOGGED_ACCOUNT: usize = 64;

/// The parts of the handler, on each worker.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// Maximum bytes of a body.
    pub body_limit: usize,
    /// Maximum time to receive a body.
    pub body_timeout: Duration,
    /// Maximum time of the dispatcher. It enforces the time itself; this limit is for a dispatcher that is stuck.
    pub deadline: Duration,
    /// Charges bodies. The dispatcher admits the call; the handler only rejects early, before it parses the body.
    pub admission: Arc<Admission>,
    /// Counts the requests.
    pub metrics: HttpMetrics,
}

impl CallPlan {
    /// The parts of the service's handlers.
    pub fn from_settings(
        http: &HttpSettings,
        store: &StoreSettings,
        admission: Arc<Admission>,
        metrics: HttpMetrics,
    ) -> Self {
        Self {
            body_limit: http.body_limit,
            body_timeout: http.body_timeout,
            deadline: store.deadline,
            admission,
            metrics,
        }
    }
}

/// The fields of the log line that are known so far.
#[derive(Default)]
struct Known {
    account: String,
    method: Option<Method>,
    context: CallContext,
    identity: Identity,
    rated: Option<(Arc<ActiveCard>, Source)>,
}

/// Answers `POST /method`.
pub(in crate::http) async fn call(
    request: HttpRequest,
    payload: web::Payload,
    plan: web::Data<CallPlan>,
    dispatcher: web::Data<Mailbox<CallMethod>>,
) -> HttpResponse {
    let begun = Instant::now();
    let in_flight = plan.metrics.begin();
    let id = RequestId::of(request.extensions().get());
    let span = tracing::info_span!(
        "call",
        request_id = id,
        method = field::Empty,
        account = field::Empty,
        code = field::Empty,
        duration = field::Empty,
        has = field::Empty,
        nclients = field::Empty,
        otel.kind = "server",
        otel.status_code = field::Empty,
    );
    let caller = traced_by(request.headers());
    caller.iter().for_each(|caller| caller.adopt(&span));
    let mut known = Known::default();
    let answering = answer(&request, payload, &plan, &dispatcher, &mut known);
    // Guarded here as well, so that a call that ended by a panic is counted and logged.
    let outcome = match guarded(answering).instrument(span.clone()).await {
        Ok(outcome) => outcome,
        Err(Panicked) => Err(CallError::Internal(Defect::Panic).into()),
    };
    let response = respond(&outcome);
    drop(in_flight);

    let (code, took) = (response.status().as_u16(), begun.elapsed());
    let method = known.method.map_or(OTHER, Method::as_str);
    let reason = outcome.as_ref().err().map(Refusal::reason);
    plan.metrics.answered(method, code, reason, took);
    let Identity { caller: known_caller, partner, refused } = known.identity;
    known_caller.iter().for_each(|caller| plan.metrics.authenticated(caller));
    refused.iter().for_each(|reason| plan.metrics.refused(*reason));
    partner.iter().for_each(|partner| plan.metrics.of_partner(partner, method, code));

    let token = known_caller.as_ref().map(Caller::token);
    // The text of the partners' file, never of the caller.
    let partner = partner.as_deref().map(Partner::name);
    let refused = refused.map(Refused::as_str);
    let account = known.account;
    let card = known.rated.as_ref().map(|(active, _)| active.card().version());
    let source = known.rated.as_ref().map(|(_, source)| source.as_str());
    let (has, nclients) = match known.context {
        CallContext::Unknown => (None, None),
        CallContext::Has(names) => (Some(names.join(",")), None),
        CallContext::Clients(count) => (None, Some(count)),
    };
    let fields = outcome.as_ref().err().and_then(Refusal::fields);
    let reason = reason.map(FailureReason::as_str);
    let duration = took.as_secs_f64();
    // A disabled span would still look each field up.
    if !span.is_disabled() {
        span.record("method", method)
            .record("account", &account)
            // Traces only have signed numbers.
            .record("code", i64::from(code))
            .record("duration", duration);
        span.record("has", &has).record("nclients", nclients.and_then(|count| i64::try_from(count).ok()));
        if code >= 500 {
            span.record("otel.status_code", "ERROR");
        }
    }
    let trace_id = caller
        .or_else(|| TraceContext::of(&span).filter(TraceContext::is_sampled))
        .map(|context| context.trace_id().to_string());
    let _entered = span.entered();
    tracing::info!(
        request_id = id,
        method,
        account,
        partner,
        token,
        refused,
        code,
        reason,
        fields,
        duration,
        has,
        nclients,
        card,
        source,
        trace_id,
        "call"
    );
    response
}

/// The caller's trace. As W3C demands, a request with two of these headers starts a new trace.
fn traced_by(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT);
    let only = given.next().filter(|_| given.next().is_none())?;
    TraceContext::from_traceparent(only.to_str().ok()?)
}

/// Counts a call that was rejected before it was read, and writes its log line. It has no span, to keep a rejection
/// cheap.
pub(in crate::http) fn refused_unread(
    metrics: &HttpMetrics,
    request_id: &str,
    refusal: &Refusal,
    took: Duration,
) {
    let (code, reason) = (refusal.status().as_u16(), refusal.reason());
    metrics.answered(OTHER, code, Some(reason), took);
    let duration = took.as_secs_f64();
    let refused = (reason == FailureReason::Rate).then(|| Refused::Rate.as_str());
    let reason = reason.as_str();
    tracing::info!(request_id, method = OTHER, account = "", refused, code, reason, duration, "call");
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    plan: &CallPlan,
    dispatcher: &Mailbox<CallMethod>,
    known: &mut Known,
) -> Result<Answer, Refusal> {
    let bounds = Bounds { limit: plan.body_limit, patience: plan.body_timeout, admission: &plan.admission };
    // Held until the call ends, because the parsed request refers to its bytes.
    let body = body::read(request, payload, bounds).await?;
    let received = tokio::time::Instant::now();
    // The dispatcher would reject the call, so the body is not parsed.
    plan.admission.check_in_flight().map_err(CallError::Unavailable)?;
    let json = Json::parse(body.as_bytes()).map_err(CallError::from)?;
    let request = MethodRequest::from_json(json).map_err(CallError::from)?;
    known.account = beginning(&request.account, LOGGED_ACCOUNT).to_owned();
    known.method = Method::from_name(&request.method).ok();

    let deadline = Deadline::after(received, plan.deadline);
    let handled = dispatcher
        .ask(CallMethod { request, received }, deadline.instant())
        .await
        .map_err(CallError::from)?;
    known.context = handled.context;
    known.identity = handled.identity;
    known.rated = handled.rated;
    Ok(handled.outcome?)
}

/// The first `most` characters of `text`.
fn beginning(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = text.char_indices().nth(most).map_or(text.len(), |(index, _)| index);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests;
