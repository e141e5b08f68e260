//! Keeps a panic to the request that it happened in. A bug must not cost a client its connection, nor others theirs.

use std::{any::type_name, fmt, panic::AssertUnwindSafe};

use actix_web::{HttpResponse, ResponseError, body::BoxBody, http::StatusCode};
use futures_util::FutureExt;

use crate::{
    domain::CallError,
    http::{
        envelope::{Refusal, refuse},
        request_id::{HEADER, RequestId},
    },
};

/// Somebody panicked. The hook that `telemetry` sets has logged where.
pub(super) struct Panicked;

/// Runs `future` to its end, whichever that is.
///
/// What it was working on is as it left it: hand over nothing that is looked at again afterwards, unless any state of it
/// is a good one.
pub(super) async fn guarded<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|_| Panicked)
}

/// The answer to a request that somebody panicked over, when the request itself is gone.
pub(super) struct Lost(pub(super) RequestId);

// ===== impl Lost =====

impl ResponseError for Lost {
    fn status_code(&self) -> StatusCode {
        Refusal::from(CallError::Internal).status()
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = refuse(&Refusal::from(CallError::Internal));
        response.headers_mut().insert(HEADER, self.0.to_header());
        response
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<Self>())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bug ended the work on a request")
    }
}
