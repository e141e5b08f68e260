//! The way of replies from the socket to the client, past a limit on the size of each.
//!
//! A bulk string that would make its reply exceed the limit is thrown away as it comes in. The client gets a short error in
//! its place, so framing and order hold, the call that asked gets a typed error, and the replies behind it are unharmed.

use std::io;

use tokio::io::ReadBuf;

use super::frames::{Piece, Scanner};
use crate::store::backend::ANSWER_LIMIT;

/// Bytes of one reply beyond [`ANSWER_LIMIT`] that are no bulk strings, such as the errors in place of these.
const BESIDE_STRINGS: u64 = 1 << 20;

/// The most bytes of one reply that are thrown away. Beyond it a new connection is cheaper than the rest of the reply.
const DISCARD_LIMIT: u64 = 96 << 20;

/// The code of the error that stands in the place of a string that was thrown away. No server uses it.
pub(super) const TOO_LARGE: &str = "TOOLARGE";

/// Counts replies and bounds them. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Inbound {
    scanner: Scanner,
    /// Bytes that the client is to get before any others: the head of a bulk string, or the error in its place.
    head: Vec<u8>,
    /// Whether the payload under way is thrown away.
    discards: bool,
    /// Bytes of the reply under way that the client was given, and that were thrown away.
    passed: u64,
    discarded: u64,
}

impl Inbound {
    /// How many replies are complete.
    pub(super) fn complete(&self) -> u64 {
        self.scanner.complete()
    }

    /// Moves `bytes` on to `to`, as far as there is room. Returns how many of them were used, and an error if the next one
    /// cannot be right: it is not RESP, or belongs to a reply that is too long or that none of `commands` asked for.
    pub(super) fn pass(&mut self, bytes: &[u8], commands: u64, to: &mut ReadBuf<'_>) -> (usize, io::Result<()>) {
        let mut used = 0;
        loop {
            let room = to.remaining().min(self.head.len());
            to.put_slice(self.head.get(..room).unwrap_or_default());
            self.head.drain(..room);
            let rest = bytes.get(used..).unwrap_or_default();
            let room = if self.discards { rest.len() } else { rest.len().min(to.remaining()) };
            let Some(rest) = rest.get(..room).filter(|rest| !rest.is_empty()) else {
                return (used, Ok(()));
            };
            match self.step(rest, commands, to) {
                Ok(taken) => used += taken,
                Err(error) => return (used, Err(error)),
            }
        }
    }

    fn step(&mut self, bytes: &[u8], commands: u64, to: &mut ReadBuf<'_>) -> io::Result<usize> {
        if self.scanner.is_between_values() {
            if self.scanner.begun() >= commands {
                return Err(io::ErrorKind::InvalidData.into());
            }
            (self.passed, self.discarded) = (0, 0);
        }
        if self.passed > ANSWER_LIMIT + BESIDE_STRINGS || self.discarded > DISCARD_LIMIT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (used, piece) = self.scanner.step(bytes)?;
        let length = used as u64;
        match piece {
            Piece::Payload if self.discards => {
                self.discarded += length;
                self.discards = self.scanner.is_in_payload();
            }
            Piece::Text | Piece::Payload => {
                self.passed += length;
                to.put_slice(bytes.get(..used).unwrap_or_default());
            }
            // Held back until the length is known, then written anew.
            Piece::Head => {}
            Piece::Bulk(length) => self.begin_string(length),
        }
        Ok(used)
    }
    fn begin_string(&mut self, length: Option<u64>) {
        let mut digits = itoa::Buffer::new();
        self.discards = length.is_some_and(|length| self.passed + length > ANSWER_LIMIT);
        let (sign, text) = match length {
            _ if self.discards => ("-", TOO_LARGE),
            Some(length) => ("$", digits.format(length)),
            None => ("$", "-1"),
        };
        for part in [sign, text, "\r\n"] {
            self.head.extend_from_slice(part.as_bytes());
        }
        self.passed += self.head.len() as u64;
    }
}

#[cfg(test)]
mod tests;
