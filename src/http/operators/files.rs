//! The files of the operators' pages: their kinds, and the policy under which browsers use them.

use actix_web::{
    HttpResponse,
    http::{
        ConnectionType,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use bytes::Bytes;

/// Only files of this listener may run, and nothing may be sent elsewhere. Swagger UI styles its elements inline.
const ONLY_OURS: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// For files that change with the program, and for answers of a moment.
pub(super) const FRESH: &str = "no-store";
/// For large files that rarely change.
pub(super) const KEPT: &str = "private, max-age=3600";

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const SCRIPT: &str = "text/javascript; charset=utf-8";
pub(super) const STYLE: &str = "text/css; charset=utf-8";
pub(super) const JSON: &str = "application/json";

/// An answer with the contents of a file.
pub(super) fn file(kind: &'static str, caching: &'static str, contents: impl Into<Bytes>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind))
        .insert_header((CACHE_CONTROL, caching))
        .insert_header((CONTENT_SECURITY_POLICY, ONLY_OURS))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(contents.into())
}

/// The same for a page that many may watch: its connection is closed, because idle ones would take the places of probes.
pub(super) fn watched(kind: &'static str, contents: impl Into<Bytes>) -> HttpResponse {
    let mut response = file(kind, FRESH, contents);
    response.head_mut().set_connection_type(ConnectionType::Close);
    response
}
