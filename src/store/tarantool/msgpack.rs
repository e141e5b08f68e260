//! MessagePack, as far as Tarantool's protocol and our functions need it.

use bytes::{BufMut, BytesMut};

/// The bytes are not MessagePack, or not the expected value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads values off the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

/// The first bytes of a value. The payload or the elements follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Nil,
    Uint(u64),
    /// A string or bytes, with the length.
    Bytes(usize),
    Array(u64),
    Map(u64),
    /// Any other value, with the length of the rest.
    Other(usize),
}

/// A value of which only strings matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text<'a> {
    Nil,
    Bytes(&'a [u8]),
    OtherKind,
}

// ===== impl Reader =====

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, Malformed> {
        Ok(self.bytes(N)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length<const N: usize>(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.number::<N>()?).map_err(|_| Malformed)
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let first = self.bytes(1)?.first().copied().ok_or(Malformed)?;
        Ok(match first {
            0x00..=0x7f => Head::Uint(u64::from(first)),
            0x80..=0x8f => Head::Map(u64::from(first & 0xf)),
            0x90..=0x9f => Head::Array(u64::from(first & 0xf)),
            0xa0..=0xbf => Head::Bytes(usize::from(first & 0x1f)),
            0xc0 => Head::Nil,
            0xc1 => return Err(Malformed),
            // Booleans, and small negative numbers.
            0xc2 | 0xc3 | 0xe0..=0xff => Head::Other(0),
            0xc4 | 0xd9 => Head::Bytes(self.length::<1>()?),
            0xc5 | 0xda => Head::Bytes(self.length::<2>()?),
            0xc6 | 0xdb => Head::Bytes(self.length::<4>()?),
            // Extensions: a byte for the type comes before the payload.
            0xc7 => Head::Other(self.length::<1>()?.checked_add(1).ok_or(Malformed)?),
            0xc8 => Head::Other(self.length::<2>()?.checked_add(1).ok_or(Malformed)?),
            0xc9 => Head::Other(self.length::<4>()?.checked_add(1).ok_or(Malformed)?),
            // Floats and negative numbers.
            0xca | 0xd2 => Head::Other(4),
            0xcb | 0xd3 => Head::Other(8),
            0xd0 => Head::Other(1),
            0xd1 => Head::Other(2),
            0xcc => Head::Uint(self.number::<1>()?),
            0xcd => Head::Uint(self.number::<2>()?),
            0xce => Head::Uint(self.number::<4>()?),
            0xcf => Head::Uint(self.number::<8>()?),
            0xd4..=0xd8 => Head::Other(1 + (1 << (first - 0xd4))),
            0xdc => Head::Array(self.number::<2>()?),
            0xdd => Head::Array(self.number::<4>()?),
            0xde => Head::Map(self.number::<2>()?),
            0xdf => Head::Map(self.number::<4>()?),
        })
    }

    /// Skips one value, however deep it is.
    pub(super) fn skip(&mut self) -> Result<(), Malformed> {
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            // Each element has at least one byte, so the input ends a false count.
            left += match self.head()? {
                Head::Nil | Head::Uint(_) => 0,
                Head::Bytes(length) | Head::Other(length) => self.bytes(length).map(|_| 0)?,
                Head::Array(count) => count,
                Head::Map(count) => 2 * count,
            };
        }
        Ok(())
    }

    pub(super) fn uint(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            Head::Uint(number) => Ok(number),
            Head::Nil | Head::Bytes(_) | Head::Array(_) | Head::Map(_) | Head::Other(_) => Err(Malformed),
        }
    }

    /// The number of elements of an array, which follow.
    pub(super) fn array(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            Head::Array(count) => Ok(count),
            Head::Nil | Head::Uint(_) | Head::Bytes(_) | Head::Map(_) | Head::Other(_) => Err(Malformed),
        }
    }

    /// The number of entries of a map, which follow: a key and a value each.
    pub(super) fn map(&mut self) -> Result<u64, Malformed> {
        match self.head()? {
            Head::Map(count) => Ok(count),
            Head::Nil | Head::Uint(_) | Head::Bytes(_) | Head::Array(_) | Head::Other(_) => Err(Malformed),
        }
    }

    /// One value; any other kind than a string is skipped.
    pub(super) fn text(&mut self) -> Result<Text<'a>, Malformed> {
        let before = *self;
        match self.head()? {
            Head::Nil => Ok(Text::Nil),
            Head::Bytes(length) => self.bytes(length).map(Text::Bytes),
            Head::Uint(_) | Head::Array(_) | Head::Map(_) | Head::Other(_) => {
                *self = before;
                self.skip()?;
                Ok(Text::OtherKind)
            }
        }
    }
}

// ===== writing =====

pub(super) fn put_uint(number: u64, out: &mut BytesMut) {
    match u8::try_from(number) {
        Ok(small @ 0..=0x7f) => out.put_u8(small),
        Ok(_) | Err(_) => {
            out.put_u8(0xcf);
            out.put_u64(number);
        }
    }
}

pub(super) fn put_array(count: usize, out: &mut BytesMut) {
    match u8::try_from(count) {
        Ok(few @ 0..=15) => out.put_u8(0x90 | few),
        Ok(_) | Err(_) => {
            out.put_u8(0xdd);
            out.put_u32(saturated(count));
        }
    }
}

/// A map of at most 15 entries.
pub(super) fn put_map(count: u8, out: &mut BytesMut) {
    out.put_u8(0x80 | (count & 0xf));
}

/// A string, in `parts`.
pub(super) fn put_text(parts: &[&[u8]], out: &mut BytesMut) {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    match u8::try_from(length) {
        Ok(short @ 0..=31) => out.put_u8(0xa0 | short),
        Ok(short) => {
            out.put_u8(0xd9);
            out.put_u8(short);
        }
        Err(_) => {
            out.put_u8(0xdb);
            out.put_u32(saturated(length));
        }
    }
    parts.iter().for_each(|part| out.put_slice(part));
}

/// No value of the service comes near 4 GiB.
fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
