//! The route tables of both listeners, and what holds for every answer.

use std::time::Instant;

use actix_web::{
    Error, FromRequest, Handler, HttpMessage, HttpResponse, Resource,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::{ConnectionType, Method, StatusCode},
    middleware::Next,
    web::{self, ServiceConfig},
};
use ipnet::IpNet;

use super::{
    HttpMetrics, admin, body, call,
    client_address::client,
    connection::Turn,
    docs,
    envelope::{Refusal, refuse},
    guard::{Lost, Panicked, guarded},
    lifecycle::{Lifecycle, Phase},
    metrics::OTHER,
    request_id::{HEADER, RequestId},
};
use crate::{
    actors::{
        dispatcher::{Shed, ShedCalls},
        rates::RateLimit,
    },
    domain::CallError,
};

/// Where calls are made.
const CALLS: [&str; 2] = ["/method", "/method/"];

/// The public listener.
pub(super) fn public(config: &mut ServiceConfig) {
    // One resource for each path: actix would match a list of them by a regular expression, for each request.
    for path in CALLS {
        config.service(
            web::resource(path)
                .route(web::post().to(call::call))
                .default_service(web::to(|| wrong_verb("POST"))),
        );
    }
    config.default_service(web::to(not_found));
}

/// The operators' listener.
pub(super) fn admin(config: &mut ServiceConfig) {
    config
        .service(get("/healthz", admin::healthz))
        .service(get("/readyz", admin::readyz))
        .service(get("/metrics", admin::metrics))
        .service(get("/openapi.json", docs::document))
        .service(get("/docs", docs::page))
        .service(get("/docs/start.js", docs::start))
        .service(get("/docs/swagger-ui-bundle.js", docs::script))
        .service(get("/docs/swagger-ui.css", docs::style))
        .service(
            web::resource(CALLS)
                .route(web::post().to(docs::call))
                .default_service(web::to(|| wrong_verb("POST"))),
        )
        .default_service(web::to(not_found));
}

/// Load balancers like to ask with `HEAD`.
fn get<F, Args>(path: &'static str, answer: F) -> Resource
where
    F: Handler<Args, Output = HttpResponse>,
    Args: FromRequest + 'static,
{
    let read = guard::Any(guard::Get()).or(guard::Head());
    web::resource(path)
        .route(web::route().guard(read).to(answer))
        .default_service(web::to(|| wrong_verb("GET, HEAD")))
}

async fn not_found() -> HttpResponse {
    refuse(&Refusal::NotFound)
}

async fn wrong_verb(allow: &'static str) -> HttpResponse {
    refuse(&Refusal::WrongVerb { allow })
}

/// How often each client address may call.
#[derive(Debug)]
pub struct AddressRate {
    /// Counts them.
    pub limit: RateLimit,
    /// Whose word on addresses is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Where the refused are counted.
    pub shed: ShedCalls,
}

/// What holds for every answer of the public listener: clients that call too often are told so, before anything is done
/// for them; and clients are asked to leave once no more are accepted.
pub(super) async fn every_public_answer(
    lifecycle: web::Data<Lifecycle>,
    metrics: web::Data<HttpMetrics>,
    rate: web::Data<Option<AddressRate>>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let begun = Instant::now();
    let mut answered = match rate.as_ref().as_ref().and_then(|rate| rate.refuse(&request)) {
        Some(refusal) => {
            let (status, is_call) = (refusal.status(), is_call(&request));
            let id = RequestId::of(request.extensions().get());
            let answered = request.into_response(refuse(&refusal)).map_into_left_body();
            if is_call {
                call::refused_unread(&metrics, &id, status.as_u16(), begun.elapsed());
            } else {
                metrics.answered(OTHER, status.as_u16(), begun.elapsed());
            }
            answered
        }
        None => {
            let answered = next.call(request).await?.map_into_right_body();
            let status = answered.status();
            // A call counts itself, for only it knows its method.
            if [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(&status) {
                metrics.answered(OTHER, status.as_u16(), begun.elapsed());
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

/// Gives every request an id, which comes back on its answer, and makes an answer of a panic.
pub(super) async fn every_answer(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut ours = request.conn_data::<Turn>().map(|turn| turn.begin(body::length(request.head())));
    let head_alone = request.method() == Method::HEAD;
    let id = RequestId::from_headers(request.headers());
    request.extensions_mut().insert(id.clone());
    let answering = guarded(async { next.call(request).await });
    let answered = answering.await.map_err(|Panicked| Error::from(Lost(id.clone()))).flatten();
    let mut answered = match answered {
        Ok(answered) => answered,
        Err(error) => {
            ours.iter().for_each(|ours| ours.answers(error.error_response().body().size(), head_alone));
            return Err(error);
        }
    };
    answered.headers_mut().insert(HEADER, id.to_header());
    if let Some(ours) = &mut ours {
        ours.answers(answered.response().body().size(), head_alone);
        if ours.leaves_body_unread() {
            answered.response_mut().head_mut().set_connection_type(ConnectionType::Close);
        }
        if answered.response().head().connection_type() == ConnectionType::Close {
            ours.was_the_last();
        }
    }
    Ok(answered)
}

// ===== impl AddressRate =====

impl AddressRate {
    fn refuse(&self, request: &ServiceRequest) -> Option<Refusal> {
        let peer = request.peer_addr()?.ip();
        let client = client(peer, request.headers(), &self.trusted_proxies);
        let retry_after = self.limit.check(&client).err()?;
        self.shed.count(Shed::AddressRate);
        Some(CallError::TooMany { retry_after }.into())
    }
}

#[cfg(test)]
mod tests;
