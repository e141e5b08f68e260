//! Reads a request's body, within limits of size, time and memory.
//!
//! The number of connections is limited and so is each body, but ten thousand connections with a body each need more
//! memory than a process has. So all request bodies share one memory budget; each received byte is charged to it and
//! refunded when the call ends. An announced length is not charged, so an announcement alone cannot use up the
//! budget.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    dev::RequestHead,
    http::{
        Method,
        header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE},
    },
    web,
};
use bytes::BytesMut;
use futures_util::StreamExt;
use tokio::{sync::SemaphorePermit, time::timeout};

use crate::{
    admission::Admission,
    http::{
        envelope::Refusal,
        transport::connection::{BodyLength, ConnectionState},
    },
};

/// Bytes that are allocated before any part of a body has arrived. Most bodies fit.
const AT_FIRST: usize = 4 << 10;

/// The limits of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Maximum bytes of one body.
    pub(super) limit: usize,
    /// Maximum time to receive one body.
    pub(super) patience: Duration,
    /// Charges the bytes to the memory of all bodies.
    pub(super) admission: &'a Admission,
}

/// A body. Its bytes are refunded when it is dropped.
#[derive(Debug)]
pub(super) struct Body<'a> {
    bytes: BytesMut,
    held: Option<SemaphorePermit<'a>>,
}

/// Reads the whole `payload`.
///
/// An announced length above the limit is rejected before anything is read; a longer body, at the chunk that crosses
/// the limit; and a body for which the memory budget is used up, at the next chunk.
///
/// A request for another protocol is answered in this one, but actix takes everything that follows for its body.
pub(super) async fn read<'a>(
    request: &HttpRequest,
    mut payload: web::Payload,
    bounds: Bounds<'a>,
) -> Result<Body<'a>, Refusal> {
    let announced = announced_length(request.headers()).unwrap_or(0);
    let headers = request.headers();
    let has_no_end = headers.contains_key(UPGRADE) && !headers.contains_key(TRANSFER_ENCODING);
    if announced > bounds.limit {
        return Err(Refusal::TooLarge);
    }
    let reading = async {
        let mut body = Body { bytes: BytesMut::with_capacity(announced.min(AT_FIRST)), held: None };
        while !(has_no_end && body.bytes.len() >= announced)
            && let Some(chunk) = payload.next().await
        {
            let mut chunk = chunk.map_err(|_| Refusal::BrokenBody)?;
            if has_no_end {
                chunk.truncate(announced - body.bytes.len());
            }
            if body.bytes.len() + chunk.len() > bounds.limit {
                return Err(Refusal::TooLarge);
            }
            body.add(&chunk, bounds.admission)?;
        }
        request.conn_data::<ConnectionState>().into_iter().for_each(ConnectionState::body_was_read);
        Ok(body)
    };
    timeout(bounds.patience, reading).await.unwrap_or(Err(Refusal::TooSlow))
}

// ===== impl Body =====

impl<'a> Body<'a> {
    /// The received bytes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn add(&mut self, chunk: &[u8], admission: &'a Admission) -> Result<(), Refusal> {
        let length = u32::try_from(chunk.len()).map_err(|_| Refusal::TooLarge)?;
        let taken = admission.charge_body(length).map_err(|_| Refusal::NoRoom)?;
        match &mut self.held {
            Some(held) => held.merge(taken),
            None => self.held = Some(taken),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// The length of the body that follows `head`, as actix understands it.
pub(super) fn length(head: &RequestHead) -> BodyLength {
    let is_websocket =
        |upgrade: &HeaderValue| upgrade.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    let has_no_end = head.method == Method::CONNECT || head.headers.get_all(UPGRADE).any(is_websocket);
    if has_no_end || head.headers.contains_key(TRANSFER_ENCODING) {
        return BodyLength::Unknown;
    }
    BodyLength::Bytes(announced_length(&head.headers).map_or(0, |length| length as u64))
}

/// A length that does not fit a number is above every limit. actix rejects a length that is not a number.
fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    Some(length.trim().parse().unwrap_or(usize::MAX))
}
