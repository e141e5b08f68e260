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
use tokio::time::timeout_at;
use tracing::{Instrument, field};

use super::{
    body::{self, Bounds},
    guard::{Panicked, guarded},
};
use crate::{
    actors::{
        dispatcher::{CallContext, CallMethod},
        runtime::mailbox::Mailbox,
    },
    admission::Admission,
    domain::{Answer, CallError, Json, Method, MethodRequest},
    http::{
        envelope::{Refusal, respond},
        metrics::{HttpMetrics, OTHER},
        request_id::RequestId,
    },
    trace::TraceContext,
};

/// Where the trace of a caller travels.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How much of an account's name is logged, in characters.
const LOGGED_ACCOUNT: usize = 64;

/// What the handler needs on each worker.
#[derive(Debug, Clone)]
pub struct CallPlan {
    /// The largest body, in bytes.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long the dispatcher may take. It keeps to that itself; this is for one that is stuck.
    pub deadline: Duration,
    /// Charges bodies. The dispatcher admits the call; here a call that it would reject is rejected before it is parsed.
    pub admission: Arc<Admission>,
    /// Where requests are counted.
    pub metrics: HttpMetrics,
}

/// What is known of a call by the time that it is answered.
#[derive(Default)]
struct Known {
    account: String,
    method: Option<Method>,
    context: CallContext,
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
    // Guarded here as well, so that a call which somebody panicked over is counted and logged like any other.
    let outcome = match guarded(answering).instrument(span.clone()).await {
        Ok(outcome) => outcome,
        Err(Panicked) => Err(CallError::Internal.into()),
    };
    let response = respond(&outcome);
    drop(in_flight);

    let (code, took) = (response.status().as_u16(), begun.elapsed());
    let method = known.method.map_or(OTHER, Method::as_str);
    plan.metrics.answered(method, code, took);

    let account = known.account;
    let (has, nclients) = match known.context {
        CallContext::Unknown => (None, None),
        CallContext::Has(names) => (Some(names.join(",")), None),
        CallContext::Clients(count) => (None, Some(count)),
    };
    let duration = took.as_secs_f64();
    // A span that nobody sees would look each field up all the same.
    if !span.is_disabled() {
        span.record("method", method)
            .record("account", &account)
            // Traces know signed numbers only.
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
    tracing::info!(request_id = id, method, account, code, duration, has, nclients, trace_id, "call");
    response
}

/// The caller's trace. W3C has a request with two of these headers start a new one.
fn traced_by(headers: &HeaderMap) -> Option<TraceContext> {
    let mut given = headers.get_all(TRACEPARENT);
    let only = given.next().filter(|_| given.next().is_none())?;
    TraceContext::from_traceparent(only.to_str().ok()?)
}

/// Counts a call that was refused before anything of it was read, and writes its one log line. It has no span: whoever is
/// flooded has better things to do than to make some.
pub(in crate::http) fn refused_unread(metrics: &HttpMetrics, request_id: &str, code: u16, took: Duration) {
    metrics.answered(OTHER, code, took);
    let duration = took.as_secs_f64();
    tracing::info!(request_id, method = OTHER, account = "", code, duration, "call");
}

async fn answer(
    request: &HttpRequest,
    payload: web::Payload,
    plan: &CallPlan,
    dispatcher: &Mailbox<CallMethod>,
    known: &mut Known,
) -> Result<Answer, Refusal> {
    let bounds = Bounds { limit: plan.body_limit, patience: plan.body_timeout, admission: &plan.admission };
    // Held until the call is over: the parsed request keeps what the body said.
    let body = body::read(request, payload, bounds).await?;
    let received = tokio::time::Instant::now();
    // With no permit left, the dispatcher would refuse whatever the body says. A body is cheaper not parsed.
    plan.admission.check_in_flight().map_err(|_| CallError::Unavailable)?;
    let json = Json::parse(body.as_bytes()).map_err(CallError::from)?;
    let request = MethodRequest::from_json(json).map_err(CallError::from)?;
    known.account = beginning(&request.account, LOGGED_ACCOUNT).to_owned();
    known.method = Method::from_name(&request.method).ok();

    let sent = dispatcher.send(CallMethod { request, received: received.into_std() });
    match timeout_at(received + plan.deadline, sent).await {
        Ok(Ok(handled)) => {
            known.context = handled.context;
            Ok(handled.outcome?)
        }
        // The dispatcher fell while it handled this call.
        Ok(Err(_)) => Err(CallError::Internal.into()),
        Err(_) => Err(CallError::Unavailable.into()),
    }
}

/// At most so many characters of `text`.
fn beginning(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = text.char_indices().nth(most).map_or(text.len(), |(index, _)| index);
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests;
