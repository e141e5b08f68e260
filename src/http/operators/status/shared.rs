//! A body that all watchers share: it is made at most twice a second, however many of them ask.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

/// All watchers get the same body for this long.
const SHARED_FOR: Duration = Duration::from_millis(500);

/// The last body, and when it was made.
// A std lock: it is held while a body is made, and never by a call.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Option<(Instant, Bytes)>>);

// ===== impl Shared =====

impl Shared {
    /// The last body, or the one that `make` makes if the last one is too old.
    pub(super) fn get<E>(&self, make: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made, body)) = &*last
            && made.elapsed() < SHARED_FOR
        {
            return Ok(body.clone());
        }
        let body = make()?;
        *last = Some((Instant::now(), body.clone()));
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_is_made_again_only_after_half_a_second() {
        let (shared, mut made) = (Shared::default(), 0);
        let mut get = || {
            let body = shared.get::<Infallible>(|| {
                made += 1;
                Ok(made.to_string().into())
            });
            body.unwrap()
        };
        assert_eq!(get(), "1");
        advance(SHARED_FOR - Duration::from_millis(1)).await;
        assert_eq!(get(), "1");
        advance(Duration::from_millis(1)).await;
        assert_eq!(get(), "2");
    }
}
