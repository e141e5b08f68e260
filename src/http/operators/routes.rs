//! The route table of the operators' listener.

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, guard,
    web::{self, ServiceConfig},
};

use super::{docs, health, status::page};
use crate::http::api::routes::{CALLS, not_found, wrong_verb};

/// Configures the operators' listener.
pub(in crate::http) fn configure(config: &mut ServiceConfig) {
    config
        .service(get("/healthz", health::healthz))
        .service(get("/readyz", health::readyz))
        .service(get("/metrics", health::metrics))
        .service(get("/", page::page))
        .service(get("/status.json", page::json))
        .service(get("/status/page.js", page::script))
        .service(get("/status/page.css", page::style))
        .service(get("/runbook", page::runbook))
        .service(get("/openapi.json", docs::document))
        .service(get("/docs", docs::page))
        .service(get("/docs/start.js", docs::start))
        .service(get("/docs/sign.js", docs::sign))
        .service(get("/docs/page.css", docs::page_style))
        .service(get("/docs/swagger-ui-bundle.js", docs::script))
        .service(get("/docs/swagger-ui.css", docs::style))
        .service(
            web::resource(CALLS)
                .route(web::post().to(docs::call))
                .default_service(web::to(|| wrong_verb("POST"))),
        )
        .default_service(web::to(not_found));
}

/// Some load balancers send `HEAD`.
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
