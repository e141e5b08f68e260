//! Limits a panic to its request, so that a bug neither closes the client's connection nor affects other clients.

use std::{any::type_name, fmt, panic::AssertUnwindSafe};

use actix_web::{HttpResponse, ResponseError, body::BoxBody, http::StatusCode};
use futures_util::FutureExt;

use crate::{
    domain::{CallError, Defect},
    http::{
        envelope::{Refusal, to_response},
        request_id::{HEADER, RequestId},
    },
};

/// A handler panicked. The hook that `telemetry` sets has logged the place.
pub(super) struct Panicked;

/// Runs `future` to its end or to a panic.
///
/// After a panic, the values that the future used may be half changed. Do not read them afterwards, unless every
/// state of theirs is valid.
pub(super) fn guarded<T>(future: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    AssertUnwindSafe(future).catch_unwind().map(|outcome| outcome.map_err(|_| Panicked))
}

/// The response to a request whose handler panicked, when the request itself is gone.
pub(super) struct PanicResponse(pub(super) RequestId);

// ===== impl PanicResponse =====

impl ResponseError for PanicResponse {
    fn status_code(&self) -> StatusCode {
        Refusal::from(CallError::Internal(Defect::Panic)).status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = to_response(&Refusal::from(CallError::Internal(Defect::Panic)));
        response.headers_mut().insert(HEADER, self.0.to_header());
        response
    }
}

impl fmt::Debug for PanicResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<Self>())
    }
}

impl fmt::Display for PanicResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bug ended the work on a request")
    }
}
