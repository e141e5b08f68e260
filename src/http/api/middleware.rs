//! The rules for every response: an id, a panic that becomes an error, the rate of client addresses, and the end of a
//! connection.

use std::{sync::Arc, time::Instant};

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{ConnectionType, Method, StatusCode},
    middleware::Next,
    web,
};
use ipnet::IpNet;

use super::{
    body, call,
    client_address::client,
    guard::{PanicResponse, Panicked, guarded},
    routes::CALLS,
};
use crate::{
    admission::Admission,
    domain::{CallError, FailureReason},
    http::{
        envelope::{Refusal, to_response},
        lifecycle::{Lifecycle, Phase},
        metrics::{HttpMetrics, OTHER},
        request_id::{HEADER, RequestId},
        transport::connection::ConnectionState,
    },
};

/// Limits the rate of each client address.
#[derive(Debug)]
pub(in crate::http) struct AddressRate {
    pub(in crate::http) admission: Arc<Admission>,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub(in crate::http) trusted_proxies: Vec<IpNet>,
}

/// The rules for every response of the public listener: a client that calls too often is rejected before any work,
/// and clients are asked to disconnect once the listener is closing.
pub(in crate::http) async fn every_public_answer(
    lifecycle: web::Data<Lifecycle>,
    metrics: web::Data<HttpMetrics>,
    rate: web::Data<AddressRate>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let begun = Instant::now();
    let mut answered = match rate.check(&request) {
        Some(refusal) => {
            let is_call = is_call(&request);
            let id = RequestId::of(request.extensions().get());
            let answered = request.into_response(to_response(&refusal)).map_into_left_body();
            if is_call {
                call::refused_unread(&metrics, &id, &refusal, begun.elapsed());
            } else {
                let code = refusal.status().as_u16();
                metrics.answered(OTHER, code, Some(refusal.reason()), begun.elapsed());
            }
            answered
        }
        None => {
            let answered = next.call(request).await?.map_into_right_body();
            let status = answered.status();
            // A call counts itself, because the middleware does not know its method.
            let reason = match status {
                StatusCode::NOT_FOUND => Some(FailureReason::NotFound),
                StatusCode::METHOD_NOT_ALLOWED => Some(FailureReason::WrongVerb),
                _ => None,
            };
            if reason.is_some() {
                metrics.answered(OTHER, status.as_u16(), reason, begun.elapsed());
            }
            answered
        }
    };
    if lifecycle.phase() == Phase::Closing {
        answered.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(answered)
}

fn is_call(request: &ServiceRequest) -> bool {
    request.method() == Method::POST && CALLS.contains(&request.path())
}

/// Gives every request an id, which its response repeats, and turns a panic into a response.
pub(in crate::http) async fn every_answer(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut exchange =
        request.conn_data::<ConnectionState>().map(|state| state.begin(body::length(request.head())));
    let head_only = request.method() == Method::HEAD;
    let id = RequestId::from_headers(request.headers());
    request.extensions_mut().insert(id.clone());
    let answering = guarded(async { next.call(request).await });
    let answered = answering.await.map_err(|Panicked| Error::from(PanicResponse(id.clone()))).flatten();
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(error) => {
            exchange
                .iter()
                .for_each(|exchange| exchange.respond_with(error.error_response().body().size(), head_only));
            return Err(error);
        }
    };
    answered.headers_mut().insert(HEADER, id.to_header());
    if let Some(exchange) = &mut exchange {
        exchange.respond_with(answered.response().body().size(), head_only);
        if exchange.leaves_body_unread() {
            answered.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if answered.response().head().connection_type() == ConnectionType::Close {
            exchange.close_after();
        }
    }
    Ok(answered)
}

// ===== impl AddressRate =====

impl AddressRate {
    fn check(&self, request: &ServiceRequest) -> Option<Refusal> {
        if !self.admission.limits_addresses() {
            return None;
        }
        let client = client(request.peer_addr()?.ip(), request.headers(), &self.trusted_proxies);
        let retry_after = self.admission.check_address(&client).err()?;
        Some(CallError::TooMany { retry_after }.into())
    }
}

#[cfg(test)]
mod tests;
