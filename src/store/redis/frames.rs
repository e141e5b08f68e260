//! Finds where the values of a RESP2 stream begin and end, without keeping any of them.
//!
//! The scanner takes the stream in pieces of any size. It skips payloads by their length, holds only counters, and
//! follows arrays without recursion. It is stricter than the client's parser: for a stream that it accepts, both see
//! the same values.

/// Maximum depth of nested arrays. Replies to our commands need two.
const DEPTH: usize = 8;

/// The longest text line, which is an error message.
const LINE_LIMIT: u32 = 64 << 10;

/// The largest length or count that can be announced: 2⁴⁰, above every limit of a server.
const LENGTH_LIMIT: u64 = 1 << 40;

/// Counts the values of one direction of a connection. See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: State,
    /// Remaining elements of each array that has begun, the outermost first.
    left: [u64; DEPTH],
    depth: usize,
    begun: u64,
    complete: u64,
}

/// The stream is not RESP2, or nests too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

type Step = Result<(usize, Option<u64>), Malformed>;

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// Before the first byte of a value.
    #[default]
    Start,
    Line {
        length: u32,
        after_cr: bool,
    },
    Length(Length),
    Payload(u64),
    /// After a payload: CR and LF must follow, or LF alone.
    PayloadCr,
    PayloadLf,
}

#[derive(Debug, Clone, Copy)]
struct Length {
    is_array: bool,
    value: u64,
    digits: u8,
    is_negative: bool,
    after_cr: bool,
}

// ===== impl Scanner =====

impl Scanner {
    /// The number of top-level values that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// The number of complete top-level values.
    pub(super) fn complete(&self) -> u64 {
        self.complete
    }

    /// Whether the next byte begins a top-level value.
    pub(super) fn is_between_values(&self) -> bool {
        self.begun == self.complete
    }

    /// Takes a part of `bytes`, at least one byte unless it is empty. Returns the number of bytes, and the length of
    /// a bulk string that they announce.
    ///
    /// # Errors
    ///
    /// [`Malformed`]; the scanner must not be used after that.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Start => self.start(bytes),
            State::Line { length, after_cr } => self.line(bytes, length, after_cr),
            State::Length(length) => self.length(bytes, length),
            State::Payload(left) => {
                let used = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - used as u64;
                self.state = if left == 0 { State::PayloadCr } else { State::Payload(left) };
                Ok((used, None))
            }
            State::PayloadCr => {
                if let Some(byte) = bytes.first() {
                    self.state = if *byte == b'\r' { State::PayloadLf } else { return Err(Malformed) };
                }
                Ok((bytes.len().min(1), None))
            }
            State::PayloadLf => {
                if let Some(byte) = bytes.first() {
                    if *byte != b'\n' {
                        return Err(Malformed);
                    }
                    self.end_value();
                }
                Ok((bytes.len().min(1), None))
            }
        }
    }

    /// Takes all of `bytes`.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let (used, _) = self.step(bytes)?;
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn start(&mut self, bytes: &[u8]) -> Step {
        if let Some(used) = whole_string(bytes) {
            self.begun += u64::from(self.depth == 0);
            self.end_value();
            return Ok((used, None));
        }
        let Some(&sign) = bytes.first() else { return Ok((0, None)) };
        let length = |is_array| Length { is_array, value: 0, digits: 0, is_negative: false, after_cr: false };
        self.state = match sign {
            b'+' | b'-' | b':' => State::Line { length: 0, after_cr: false },
            b'$' => State::Length(length(false)),
            b'*' => State::Length(length(true)),
            _ => return Err(Malformed),
        };
        self.begun += u64::from(self.depth == 0);
        Ok((1, None))
    }

    fn line(&mut self, bytes: &[u8], mut length: u32, mut after_cr: bool) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            if after_cr && byte == b'\n' {
                self.end_value();
                return Ok((at + 1, None));
            }
            after_cr = byte == b'\r';
            length += 1;
            if length > LINE_LIMIT {
                return Err(Malformed);
            }
        }
        self.state = State::Line { length, after_cr };
        Ok((bytes.len(), None))
    }

    fn length(&mut self, bytes: &[u8], mut length: Length) -> Step {
        for (at, &byte) in bytes.iter().enumerate() {
            if length.end(byte)? {
                return Ok((at + 1, self.end_head(length)?));
            }
        }
        self.state = State::Length(length);
        Ok((bytes.len(), None))
    }

    fn end_head(&mut self, length: Length) -> Result<Option<u64>, Malformed> {
        let value = length.value()?;
        match (length.is_array, value) {
            (false, Some(value)) => {
                self.state = if value == 0 { State::PayloadCr } else { State::Payload(value) };
                Ok(Some(value))
            }
            (false, None) => {
                self.end_value();
                Ok(None)
            }
            (true, None | Some(0)) => {
                self.end_value();
                Ok(None)
            }
            (true, Some(count)) => {
                *self.left.get_mut(self.depth).ok_or(Malformed)? = count;
                self.depth += 1;
                self.state = State::Start;
                Ok(None)
            }
        }
    }

    /// A value is complete, and with it each array that ends with it.
    fn end_value(&mut self) {
        self.state = State::Start;
        while let Some(left) = self.depth.checked_sub(1).and_then(|inner| self.left.get_mut(inner)) {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.depth -= 1;
        }
        self.complete += 1;
    }
}

/// The length of the bulk string at the start of `bytes`, if it is short and complete. Most values are: this takes a
/// third of the time of the steps.
fn whole_string(bytes: &[u8]) -> Option<usize> {
    const DIGITS: usize = 5;
    let head = bytes.strip_prefix(b"$")?;
    let mut length = 0;
    for (at, &byte) in head.iter().enumerate().take(DIGITS + 1) {
        match byte {
            b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
            b'\r' if at > 0 => {
                let end = at + 2 + length;
                let is_whole = head.get(at + 1) == Some(&b'\n') && head.get(end..end + 2) == Some(b"\r\n");
                return is_whole.then_some(end + 3);
            }
            _ => return None,
        }
    }
    None
}

// ===== impl Length =====

impl Length {
    /// Takes one byte, and returns whether it was the last one.
    fn end(&mut self, byte: u8) -> Result<bool, Malformed> {
        match byte {
            b'\n' if self.after_cr => return Ok(true),
            _ if self.after_cr => return Err(Malformed),
            b'\r' if self.digits > 0 => self.after_cr = true,
            b'-' if self.digits == 0 && !self.is_negative => self.is_negative = true,
            b'0'..=b'9' => {
                self.value = self.value * 10 + u64::from(byte - b'0');
                self.digits = self.digits.saturating_add(1);
                if self.value > LENGTH_LIMIT {
                    return Err(Malformed);
                }
            }
            _ => return Err(Malformed),
        }
        Ok(false)
    }

    /// The length; `None` for -1, the only negative one.
    fn value(self) -> Result<Option<u64>, Malformed> {
        match (self.is_negative, self.value) {
            (false, value) => Ok(Some(value)),
            (true, 1) => Ok(None),
            (true, _) => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
