//! The route tables of both listeners, and what holds for every answer.

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
    web::{self, ServiceConfig},
};

use super::{
    admin, call,
    connection::{OurTurn, Turn},
    envelope::{Refusal, refuse},
    guard::{Lost, Panicked, guarded},
    lifecycle::{Lifecycle, Phase},
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
        .service(get("/healthz", web::get().to(admin::healthz)))
        .service(get("/readyz", web::get().to(admin::readyz)))
        .service(get("/metrics", web::get().to(admin::metrics)))
        .default_service(web::to(not_found));
}

fn get(path: &'static str, route: actix_web::Route) -> actix_web::Resource {
    web::resource(path).route(route).default_service(web::to(|| wrong_verb("GET")))
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
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut ours = request.conn_data::<Turn>().map(Turn::begin);
    let id = RequestId::from_headers(request.headers());
    request.extensions_mut().insert(id.clone());
    let answering = guarded(async { next.call(request).await });
    let mut answered = answering.await.map_err(|Panicked| Lost(id.clone()))??;
    answered.headers_mut().insert(HEADER, id.to_header());
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
