//! Separates the fault of one question from a fault of the store: finds the keys at fault when a read is rejected or
//! loses its connection.
//!
//! A server closes the connection of a client whose answer exceeds its output buffer limit, and this side closes one
//! whose reply is far above the limit. Such a loss looks like an outage and is not one: the same question would close
//! the next connection, too. So a read that lost its connection asks for the sizes of its values before it is sent
//! again.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::OwnedMutexGuard,
    task::spawn_local,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{Handle, PendingRead, PersistentReader};
use crate::store::{BackendError, Operation, Size, StoreError, backend::ANSWER_LIMIT};

/// Values of this many bytes together may be the reason for a lost connection. Output buffer limits of servers are
/// larger, and most answers are far smaller.
const LARGE: u64 = 512 << 10;

/// The wait before sizes are requested over another connection.
const BETWEEN_ASKS: Duration = Duration::from_millis(5);

/// Maximum connections that a read of large values may lose before it counts as at fault. A second loss is hardly a
/// coincidence.
const LOSSES: usize = 2;

/// The evidence against one read.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Connections that were lost while the read was in flight on them.
    pub(super) losses: usize,
    /// The sizes of its values, once they are known.
    pub(super) sizes: Option<Vec<Option<Size>>>,
    /// Whether its question was at fault recently, and this read checks whether it still is.
    tries_again: bool,
    /// Held while it is retried, if its values are large.
    trial: Option<OwnedMutexGuard<()>>,
}

// ===== impl Suspicion =====

impl Suspicion {
    /// The evidence against a question that was at fault recently. One more lost connection proves it.
    pub(super) fn again() -> Self {
        Self { losses: 1, tries_again: true, ..Self::default() }
    }

    /// Whether the sizes are needed before the read is sent again.
    pub(super) fn needs_sizes(&self) -> bool {
        self.losses > 0 && self.sizes.is_none()
    }

    /// Whether the read is at fault, according to the evidence.
    pub(super) fn is_proven(&self) -> bool {
        self.total() > ANSWER_LIMIT || self.losses >= LOSSES && self.is_large()
    }

    fn is_large(&self) -> bool {
        self.total() >= LARGE
    }

    fn total(&self) -> u64 {
        self.sizes.as_deref().map_or(0, total)
    }
}

// ===== impl PersistentReader =====

impl PersistentReader {
    /// The sizes of the values of `keys`. Without a time limit; `asked` is the connection that was asked last.
    ///
    /// Connections may be lost meanwhile, to the same question of other callers; then the next one is asked.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] once every breaker is open.
    pub(super) async fn sizes(
        &self,
        keys: &Arc<[String]>,
        asked: &mut Option<Handle>,
    ) -> Result<Vec<Option<Size>>, StoreError> {
        loop {
            *asked = None;
            let asked = asked.insert(self.next_connection().await?);
            if let Ok(sizes) = asked.live.connection.sizes(keys.clone()).await {
                return Ok(sizes);
            }
            sleep(BETWEEN_ASKS).await;
        }
    }

    /// Decides whether a read that has lost a connection, and whose sizes are known, is sent again. If its values are
    /// large, waits until no other such read is being retried, so that they do not close one connection after the
    /// other.
    ///
    /// # Errors
    ///
    /// The error of the read, if its values are too large or another caller has found its question at fault
    /// meanwhile.
    pub(super) async fn examine(
        &self,
        keys: &Arc<[String]>,
        suspicion: &mut Suspicion,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        if suspicion.is_proven() {
            return Err(self.blame(keys, &BackendError::TooLarge, suspicion.sizes.take(), deadline).await);
        }
        if suspicion.is_large() {
            suspicion.trial = timeout_at(deadline, self.trials.clone().lock_owned()).await.ok();
            let known = self.faulty.borrow().positions(keys, Instant::now());
            if let Some(positions) = known.filter(|_| !suspicion.tries_again) {
                return Err(self.reject(keys, positions));
            }
        }
        Ok(())
    }

    /// The error of a read that was at fault because of `error`. Remembers questions that were expensive for the
    /// store.
    pub(super) async fn blame(
        &self,
        keys: &Arc<[String]>,
        error: &BackendError,
        known: Option<Vec<Option<Size>>>,
        deadline: Instant,
    ) -> StoreError {
        let cause = StoreError::from(error);
        let positions = match known {
            _ if keys.len() == 1 || cause == StoreError::CrossSlot => everyone(keys.len()),
            Some(sizes) => culprits(&sizes, &cause),
            None => {
                match timeout_at(self.limit(Instant::now(), deadline), self.sizes(keys, &mut None)).await {
                    Ok(Ok(sizes)) => culprits(&sizes, &cause),
                    Ok(Err(_)) | Err(_) => everyone(keys.len()),
                }
            }
        };
        if cause == StoreError::TooLarge {
            self.faulty.borrow_mut().remember(keys, &positions, Instant::now());
        }
        at_fault(keys, positions, cause)
    }

    /// The error of a read that is not sent, because it was at fault recently.
    pub(super) fn reject(&self, keys: &[String], positions: Vec<usize>) -> StoreError {
        if let Some(link) = self.links.first() {
            let error = BackendError::TooLarge;
            link.health.count(Operation::GetMany, Some(&error), Duration::ZERO);
        }
        at_fault(keys, positions, StoreError::TooLarge)
    }

    /// Waits for the reply to a read that its caller has given up: a reply that is too large takes its time, and its
    /// question must not be asked again and again. Ends with the reply, with its connection, or at a time limit.
    pub(super) fn learn_from<A: 'static>(&self, keys: Arc<[String]>, read: PendingRead<A>) {
        let this = self.clone();
        spawn_local(async move {
            let patience = read.handle.link.policy.patience;
            // The connection ended because of this reply. For other reads on it, it is simply lost.
            if let Ok(Err(BackendError::Protocol)) = timeout(patience, read.reply).await {
                let sizes = timeout(patience, this.sizes(&keys, &mut None)).await.ok().and_then(Result::ok);
                let suspicion = Suspicion { losses: 1, sizes, ..Suspicion::default() };
                if suspicion.is_proven() {
                    let (error, now) = (BackendError::TooLarge, Instant::now());
                    this.blame(&keys, &error, suspicion.sizes, now).await;
                }
            }
        });
    }
}

fn at_fault(keys: &[String], positions: Vec<usize>, cause: StoreError) -> StoreError {
    if keys.len() == 1 { cause } else { StoreError::AtFault { positions, cause: Box::new(cause) } }
}

fn everyone(count: usize) -> Vec<usize> {
    (0..count).collect()
}

fn bytes(size: Option<Size>) -> u64 {
    match size {
        Some(Size::Bytes(bytes)) => bytes,
        Some(Size::OtherKind) | None => 0,
    }
}

fn total(sizes: &[Option<Size>]) -> u64 {
    sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(bytes(*size)))
}

/// The keys at fault: those of another kind; those that are too large alone; the largest one, if it makes up most of
/// an answer that is too large; else all of them.
fn culprits(sizes: &[Option<Size>], cause: &StoreError) -> Vec<usize> {
    let half = total(sizes) / 2;
    let those = |fits: &dyn Fn(Option<Size>) -> bool| -> Vec<usize> {
        (0..).zip(sizes).filter(|(_, size)| fits(**size)).map(|(at, _)| at).collect()
    };
    let found = if *cause == StoreError::BadValue {
        those(&|size| size == Some(Size::OtherKind))
    } else {
        let too_large = those(&|size| bytes(size) > ANSWER_LIMIT);
        if too_large.is_empty() { those(&|size| bytes(size) > half) } else { too_large }
    };
    if found.is_empty() { everyone(sizes.len()) } else { found }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn sizes(mib: &[u64]) -> Vec<Option<Size>> {
        mib.iter().map(|mib| Some(Size::Bytes(mib * MIB))).collect()
    }

    #[rstest]
    #[case::one_is_over_the_limit(&[1, 80, 1], &[1])]
    #[case::two_are_over_the_limit(&[80, 1, 90], &[0, 2])]
    #[case::one_is_most_of_it(&[1, 5, 1], &[1])]
    #[case::none_stands_out(&[5, 5, 5], &[0, 1, 2])]
    #[case::nothing_is_there(&[0, 0], &[0, 1])]
    fn the_keys_of_an_answer_that_is_too_large_are_named(#[case] mib: &[u64], #[case] expected: &[usize]) {
        assert_eq!(culprits(&sizes(mib), &StoreError::TooLarge), expected);
    }

    #[rstest]
    #[case::one_is(&[Some(Size::Bytes(9)), Some(Size::OtherKind)], &[1])]
    #[case::the_store_does_not_tell(&[None, None], &[0, 1])]
    fn the_keys_of_another_kind_are_named(#[case] sizes: &[Option<Size>], #[case] expected: &[usize]) {
        assert_eq!(culprits(sizes, &StoreError::BadValue), expected);
    }

    #[rstest]
    #[case::over_the_limit_after_one_loss(1, 80, true)]
    #[case::large_after_one_loss(1, 2, false)]
    #[case::large_after_two_losses(2, 2, true)]
    #[case::small_after_many_losses(9, 0, false)]
    fn a_read_is_at_fault_only_with_large_values(
        #[case] losses: usize,
        #[case] mib: u64,
        #[case] proven: bool,
    ) {
        let unknown = Suspicion { losses, ..Suspicion::default() };
        assert!(!unknown.is_proven());
        assert_eq!(Suspicion { sizes: Some(sizes(&[mib])), ..unknown }.is_proven(), proven);
    }
}
