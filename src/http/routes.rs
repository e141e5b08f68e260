//! The route tables of both listeners, and what holds for every answer.

use std::time::Instant;

use actix_web::{
    Error, FromRequest, Handler, HttpMessage, HttpResponse, Resource,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::{ConnectionType, StatusCode},
    middleware::{Next, from_fn},
    web::{self, ServiceConfig},
};

use super::{
    HttpMetrics, admin, call,
    connection::{OurTurn, Turn},
    docs,
    envelope::{Refusal, refuse},
    guard::{Lost, Panicked, guarded},
    lifecycle::{Lifecycle, Phase},
    metrics::OTHER,
    request_id::{HEADER, RequestId},
};

/// The public listener.
pub(super) fn public(config: &mut ServiceConfig) {
    config
        .service(
            web::resource(["/method", "/method/"])
                .route(web::post().to(call::call))
                .default_service(web::to(|| wrong_verb("POST"))),
        )
        .default_service(web::to(not_found));
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
            web::resource(["/method", "/method/"])
                .route(web::post().to(docs::call))
                .default_service(web::to(|| wrong_verb("POST")))
                .wrap(from_fn(every_answer)),
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

/// Gives every request an id, which comes back on its answer; makes an answer of a panic; and asks clients to leave once
/// no more are accepted.
pub(super) async fn every_answer(
    lifecycle: web::Data<Lifecycle>,
    metrics: web::Data<HttpMetrics>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut ours = request.conn_data::<Turn>().map(Turn::begin);
    let begun = Instant::now();
    let id = RequestId::from_headers(request.headers());
    request.extensions_mut().insert(id.clone());
    let answering = guarded(async { next.call(request).await });
    let mut answered = answering.await.map_err(|Panicked| Lost(id.clone()))??;
    answered.headers_mut().insert(HEADER, id.to_header());
    let status = answered.status();
    // A call counts itself, for only it knows its method.
    if status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED {
        metrics.answered(OTHER, status.as_u16(), begun.elapsed());
    }
    if lifecycle.phase() == Phase::Closing {
        answered.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    if answered.response().head().connection_type() == ConnectionType::Close {
        ours.iter_mut().for_each(OurTurn::was_the_last);
    }
    Ok(answered)
}

#[cfg(test)]
mod tests;
