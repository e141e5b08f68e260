//! The API's documentation for machines (`/openapi.json`) and for a browser (`/docs`), on the operators' listener.
//!
//! The page is Swagger UI, from a crate that contains it: nothing is fetched from another host. The page calls its
//! own origin, so the operators' listener also accepts `POST /method` and sends it to a worker's dispatcher. This
//! works through any mapping of ports, and the public listener needs no CORS.
//!
//! The page's fields sign calls in the browser (`docs/sign.js`): the salt stays there, and only the token is sent.

use std::{
    io::{Cursor, Read},
    sync::LazyLock,
    time::Duration,
};

use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::{ZipArchive, result::ZipError};

use super::{
    AdminPlan,
    files::{FRESH, HTML, JSON, KEPT, SCRIPT, STYLE, file},
};
use crate::{
    domain::{CallError, Outage},
    http::{
        api::call,
        envelope::{Refusal, to_response},
        lifecycle::Phase,
        request_id::RequestId,
    },
};

/// Swagger UI, unpacked at its first use.
static SWAGGER_UI: LazyLock<Result<SwaggerUi, ZipError>> = LazyLock::new(SwaggerUi::unpack);

struct SwaggerUi {
    script: Bytes,
    style: Bytes,
}

// ===== impl SwaggerUi =====

impl SwaggerUi {
    fn unpack() -> Result<Self, ZipError> {
        let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
        let mut file = |name| {
            let found = archive.file_names().flatten().find(|path| path.ends_with(name));
            let found = found.ok_or(ZipError::FileNotFound)?.into_owned();
            let mut contents = Vec::new();
            archive.by_name(&found)?.read_to_end(&mut contents)?;
            Ok::<_, ZipError>(Bytes::from(contents))
        };
        Ok(Self { script: file("/dist/swagger-ui-bundle.js")?, style: file("/dist/swagger-ui.css")? })
    }
}

/// The OpenAPI document, as JSON.
pub fn openapi() -> String {
    include_str!("openapi.json").replace("@VERSION@", env!("CARGO_PKG_VERSION"))
}

pub(super) async fn document() -> HttpResponse {
    file(JSON, FRESH, openapi())
}

pub(super) async fn page() -> HttpResponse {
    file(HTML, FRESH, include_str!("docs/index.html"))
}

pub(super) async fn start() -> HttpResponse {
    file(SCRIPT, FRESH, include_str!("docs/start.js"))
}

pub(super) async fn sign() -> HttpResponse {
    file(SCRIPT, FRESH, include_str!("docs/sign.js"))
}

pub(super) async fn page_style() -> HttpResponse {
    file(STYLE, FRESH, include_str!("docs/page.css"))
}

pub(super) async fn script() -> HttpResponse {
    swagger_ui(SCRIPT, |ui| &ui.script)
}

pub(super) async fn style() -> HttpResponse {
    swagger_ui(STYLE, |ui| &ui.style)
}

/// Answers `POST /method` like the public listener, with the same checks and limits except the rate of each address.
///
/// Once the public listener is closing, these calls are rejected as well, because the workers are about to end.
pub(super) async fn call(
    request: HttpRequest,
    payload: web::Payload,
    plan: web::Data<AdminPlan>,
) -> HttpResponse {
    let dispatcher = plan.dispatchers.any().filter(|_| plan.lifecycle.phase() != Phase::Closing);
    match dispatcher {
        Some(mailbox) => {
            call::call(request, payload, web::Data::new(plan.call.clone()), web::Data::new(mailbox)).await
        }
        None => {
            let id = RequestId::of(request.extensions().get());
            let refusal = Refusal::from(CallError::Unavailable(Outage::Actor));
            call::refused_unread(&plan.call.metrics, &id, &refusal, Duration::ZERO);
            to_response(&refusal)
        }
    }
}

fn swagger_ui(kind: &'static str, part: impl Fn(&SwaggerUi) -> &Bytes) -> HttpResponse {
    match &*SWAGGER_UI {
        Ok(ui) => file(kind, KEPT, part(ui).clone()),
        Err(error) => {
            tracing::error!(%error, "swagger ui cannot be unpacked");
            HttpResponse::InternalServerError().finish()
        }
    }
}

#[cfg(test)]
mod tests;
