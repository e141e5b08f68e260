//! Reads a request's body, within bounds of size and time, and of what all bodies may take together.
//!
//! Connections are bounded and so is each body, but a body on each of ten thousand connections is more than a process has
//! memory for. So all bodies share a budget, and a byte is taken off it when it has come and not when a head announces it:
//! a promise takes nothing off it, and so holds nothing of others'.

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
        transport::connection::{BodyLength, Turn},
    },
};

/// The most that is set aside for a body of which nothing has come: what most bodies fit into.
const AT_FIRST: usize = 4 << 10;

/// What bodies may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds<'a> {
    /// Most bytes of one body.
    pub(super) limit: usize,
    /// For all of one body.
    pub(super) patience: Duration,
    /// Charges the bytes to the memory of all bodies.
    pub(super) admission: &'a Admission,
}

/// A body. Its bytes count until it is dropped.
#[derive(Debug)]
pub(super) struct Body<'a> {
    bytes: BytesMut,
    held: Option<SemaphorePermit<'a>>,
}

/// Reads all of `payload`.
///
/// A length that is announced too large is refused before anything is read; one that turns out too large, at the chunk
/// that crosses the limit; and so is the chunk that there is no budget left for.
///
/// A request that asks for another protocol gets this one; but actix takes all that follows for its body.
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
        request.conn_data::<Turn>().into_iter().for_each(Turn::body_was_read);
        Ok(body)
    };
    timeout(bounds.patience, reading).await.unwrap_or(Err(Refusal::TooSlow))
}

// ===== impl Body =====

impl<'a> Body<'a> {
    /// All that has come.
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

/// How many bytes follow `head`, as actix sees it.
pub(super) fn length(head: &RequestHead) -> BodyLength {
    let is_websocket =
        |upgrade: &HeaderValue| upgrade.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket");
    let has_no_end = head.method == Method::CONNECT || head.headers.get_all(UPGRADE).any(is_websocket);
    if has_no_end || head.headers.contains_key(TRANSFER_ENCODING) {
        return BodyLength::Unknown;
    }
    BodyLength::Bytes(announced_length(&head.headers).map_or(0, |length| length as u64))
}

/// A length too large for a number is too large for us; one that is no number never gets here.
fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    Some(length.trim().parse().unwrap_or(usize::MAX))
}
