//! Checks that every dialect must pass, for any bytes.

use bytes::BytesMut;

use super::{Dialect, Tag};
use crate::store::BackendError;

/// All answers of `stream`, which arrives in pieces of the lengths `cuts`, again and again.
fn answers<D: Dialect>(mut dialect: D, stream: &[u8], cuts: &[usize]) -> Vec<(Tag, D::Answer)> {
    let (mut input, mut found) = (BytesMut::new(), Vec::new());
    let mut rest = stream;
    for cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at((*cut).min(rest.len()));
        input.extend_from_slice(piece);
        while let Some(answer) = dialect.take(&mut input).unwrap() {
            found.push(answer);
        }
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    assert!(input.is_empty(), "bytes are left");
    found
}

/// The answers do not depend on how the stream is split.
pub(in crate::store) fn splits_alike<D: Dialect>(
    dialect: impl Fn() -> D,
    stream: &[u8],
    cuts: &[usize],
    count: usize,
) where
    D::Answer: PartialEq + std::fmt::Debug,
{
    let whole = answers(dialect(), stream, &[stream.len()]);
    assert_eq!(whole.len(), count);
    assert_eq!(answers(dialect(), stream, cuts), whole);
}

/// Any bytes give answers, a wait for more, or an error. Each answer takes a part of the bytes.
pub(in crate::store) fn takes_anything<D: Dialect>(mut dialect: D, bytes: &[u8]) {
    let mut input = BytesMut::from(bytes);
    loop {
        let before = input.len();
        match dialect.take(&mut input) {
            Ok(Some(_)) => assert!(input.len() < before),
            Ok(None) => return assert_eq!(input.len(), before),
            Err(BackendError::Protocol | BackendError::Refused { .. }) => return,
            Err(error) => panic!("{error}"),
        }
    }
}
