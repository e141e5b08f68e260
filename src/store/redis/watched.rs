//! Watches the bytes of one connection: whether replies are owed, and the size of replies.
//!
//! Both directions are counted in whole values, so a reply that has begun is owed until its last byte.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Malformed, Scanner};
use crate::store::{backend::ANSWER_LIMIT, wire::ReadActivity};

/// A stream that updates a [`ReadActivity`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<ReadActivity>,
    commands: Scanner,
    replies: Scanner,
    /// Bytes so far of the current reply.
    unfinished: u64,
    /// Whether the bytes after those that were passed on are invalid.
    is_broken: bool,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Arc<ReadActivity>) -> Self {
        Self {
            stream,
            activity,
            commands: Scanner::default(),
            replies: Scanner::default(),
            unfinished: 0,
            is_broken: false,
        }
    }

    /// Takes a part of the bytes that were read, and returns its length. An error if the bytes are not RESP, belong
    /// to a reply without a command, or to one that is too large: an announced length counts as soon as it is
    /// announced.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        if self.replies.is_between_values() {
            if self.replies.begun() >= self.commands.begun() {
                return Err(Malformed);
            }
            self.unfinished = 0;
        }
        let (used, announced) = self.replies.step(bytes)?;
        self.unfinished += used as u64;
        if self.unfinished + announced.unwrap_or(0) > ANSWER_LIMIT {
            return Err(Malformed);
        }
        Ok(used)
    }

    /// Takes the bytes that were read, and returns the number of valid ones.
    fn received(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
            match self.step(rest) {
                Ok(step) => used += step,
                Err(Malformed) => {
                    self.is_broken = true;
                    break;
                }
            }
        }
        if self.replies.complete() < self.commands.begun() {
            self.activity.received();
        } else {
            self.activity.owes_nothing();
        }
        used
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_broken {
            return Poll::Ready(Err(Malformed.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let right = this.received(read);
        buf.set_filled(before + right);
        // Replies before the error are valid, so the error is returned by the next call.
        Poll::Ready(if right > 0 { Ok(()) } else { Err(Malformed.into()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        // A command counts from its first byte: when the send buffer is full, the other end is expected to read.
        this.commands.take(bytes.get(..written).unwrap_or_default())?;
        if this.commands.begun() > this.replies.complete() {
            this.activity.sent();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl From<Malformed> for io::Error {
    fn from(_: Malformed) -> Self {
        io::ErrorKind::InvalidData.into()
    }
}

#[cfg(test)]
mod tests;
