//! The pieces of a bulk read or write, and the time for each.

use std::time::Duration;

use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use super::{Change, Stored};
use crate::store::BackendError;

/// Maximum time without a byte from the server. A command has no deadline, but after this time the server counts as
/// lost.
pub(in crate::store) const PROGRESS_WITHIN: Duration = Duration::from_secs(30);

/// Keys in one read.
pub(in crate::store) const PAGE: usize = 1_000;

/// Approximate bytes in one write: enough to fill the network, and soon sent.
pub(in crate::store) const CHUNK_BYTES: usize = 256 << 10;

/// Waits for an answer of the server, for [`PROGRESS_WITHIN`] at most.
pub(in crate::store) async fn in_time<T>(
    answer: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout(PROGRESS_WITHIN, answer).await.unwrap_or(Err(BackendError::TimedOut))
}

/// The runtime of a bulk connection, on the thread that blocks on it.
pub(in crate::store) fn blocking_runtime() -> Result<Runtime, BackendError> {
    let made = Builder::new_current_thread().enable_all().build();
    made.map_err(|error| BackendError::Disconnected(error.kind()))
}

/// The values of `keys` in their order, read by `read` for at most [`PAGE`] keys at once.
pub(in crate::store) async fn by_pages(
    keys: &[String],
    read: impl AsyncFn(&[String]) -> Result<Vec<Stored>, BackendError>,
) -> Result<Vec<Stored>, BackendError> {
    let mut found = Vec::with_capacity(keys.len());
    for page in keys.chunks(PAGE) {
        found.extend(read(page).await?);
    }
    Ok(found)
}

/// Cuts `changes` into runs of about [`CHUNK_BYTES`] and at most `most` changes, each of at least one change.
pub(in crate::store) fn chunks<'a, 'b>(
    changes: &'b [Change<'a>],
    most: usize,
) -> impl Iterator<Item = &'b [Change<'a>]> {
    let (mut bytes, mut count) = (0, 0);
    changes.chunk_by(move |(key, value), _| {
        bytes += key.len() + value.map_or(0, <[u8]>::len);
        count += 1;
        let fits = bytes < CHUNK_BYTES && count < most;
        if !fits {
            (bytes, count) = (0, 0);
        }
        fits
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_hold_every_change_in_order_and_stay_small(
            sizes in proptest::collection::vec(0usize..100_000, 0..40)
        ) {
            let values: Vec<_> = sizes.iter().map(|&size| vec![0; size]).collect();
            // Every third one is a deletion.
            let value = |(at, value)| (at % 3 > 0).then_some(value);
            let all: Vec<Change<'_>> =
                values.iter().map(Vec::as_slice).enumerate().map(|pair| ("i:1", value(pair))).collect();
            let chunks: Vec<_> = chunks(&all, 7).collect();
            let joined = chunks.concat();
            prop_assert_eq!(joined.as_slice(), all.as_slice());
            for chunk in chunks {
                prop_assert!(chunk.len() <= 7);
                let but_the_last = &chunk[..chunk.len() - 1];
                let bytes = |(key, value): &Change<'_>| key.len() + value.map_or(0, <[u8]>::len);
                prop_assert!(but_the_last.iter().map(bytes).sum::<usize>() < CHUNK_BYTES);
            }
        }
    }
}
