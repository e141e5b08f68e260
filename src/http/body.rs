//! Reads a request's body, within bounds of size and time.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE},
    web,
};
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::envelope::Refusal;

/// Reads all of `payload`: at most `limit` bytes, within `patience`.
///
/// A length that is announced too large is refused before anything is read; one that turns out too large, at the chunk
/// that crosses the limit.
///
/// A request that asks for another protocol gets this one; but actix takes all that follows for its body.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: usize,
    patience: Duration,
) -> Result<BytesMut, Refusal> {
    let announced = announced_length(request).unwrap_or(0);
    let headers = request.headers();
    let has_no_end = headers.contains_key(UPGRADE) && !headers.contains_key(TRANSFER_ENCODING);
    if announced > limit {
        return Err(Refusal::TooLarge);
    }
    let reading = async {
        let mut body = BytesMut::with_capacity(announced);
        while !(has_no_end && body.len() >= announced)
            && let Some(chunk) = payload.next().await
        {
            let mut chunk = chunk.map_err(|_| Refusal::BrokenBody)?;
            if has_no_end {
                chunk.truncate(announced - body.len());
            }
            if body.len() + chunk.len() > limit {
                return Err(Refusal::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    timeout(patience, reading).await.unwrap_or(Err(Refusal::TooSlow))
}

/// A length too large for a number is too large for us; one that is no number never gets here.
fn announced_length(request: &HttpRequest) -> Option<usize> {
    let length = request.headers().get(CONTENT_LENGTH)?.to_str().ok()?;
    Some(length.trim().parse().unwrap_or(usize::MAX))
}
