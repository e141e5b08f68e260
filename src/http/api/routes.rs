//! The route table of the public listener.

use actix_web::{
    HttpResponse,
    web::{self, ServiceConfig},
};

use super::call;
use crate::http::envelope::{Refusal, to_response};

/// The paths of calls.
pub(in crate::http) const CALLS: [&str; 2] = ["/method", "/method/"];

/// Configures the public listener.
pub(in crate::http) fn configure(config: &mut ServiceConfig) {
    // One resource for each path: actix would match a list of paths by a regular expression, for each request.
    for path in CALLS {
        config.service(
            web::resource(path)
                .route(web::post().to(call::call))
                .default_service(web::to(|| wrong_verb("POST"))),
        );
    }
    config.default_service(web::to(not_found));
}

pub(in crate::http) async fn not_found() -> HttpResponse {
    to_response(&Refusal::NotFound)
}

pub(in crate::http) async fn wrong_verb(allow: &'static str) -> HttpResponse {
    to_response(&Refusal::WrongVerb { allow })
}
