//! The fault table's own words, as assertions: degraded, all OK, and the bounds.

use std::time::Duration;

use serde_json::json;

use crate::{Person, TestApp, eventually};

/// The bounds hold on a machine that has nothing else to do. Tests share theirs, so they are given four times as long;
/// the outcome is the same.
pub const SLACK: u32 = 4;

/// Maximum time of `online_score`, during any fault of the store.
pub const SCORE_BOUND: Duration = Duration::from_millis(100 * SLACK as u64);

/// The longest that `clients_interests` may take to be answered or refused.
pub const INTERESTS_BOUND: Duration = Duration::from_millis(600 * SLACK as u64);

/// After the end of a fault, the time until all is OK again.
pub const ALL_IS_OK_WITHIN: Duration = Duration::from_millis(1_000 * SLACK as u64);

/// A refusal while the breaker is open.
const REFUSED_AT_ONCE: Duration = Duration::from_millis(5 * SLACK as u64);

/// How long it may take until the breaker is open.
const NOTICED_WITHIN: Duration = Duration::from_millis(2_000 * SLACK as u64);

impl TestApp {
    /// A score, right and in time.
    pub async fn scores_right(&self) {
        let person = Person::any();
        let reply = self.online_score(&person).await;
        assert_eq!(reply.score(), person.score(), "{person:?}");
        assert!(reply.took <= SCORE_BOUND, "a score took {:?}", reply.took);
    }

    /// Interests of clients 1 and 2, right and in time. The store must have been given [`seeds`](Self::seeds).
    pub async fn interests_right(&self) {
        let reply = self.interests(&[1, 2]).await;
        assert_eq!(*reply.response(), json!({"1": ["books", "hi-tech"], "2": []}));
        assert!(reply.took <= INTERESTS_BOUND, "interests took {:?}", reply.took);
    }

    /// Interests are refused, in time and in the right shape.
    pub async fn interests_refused(&self) -> Duration {
        let reply = self.interests(&[1, 2]).await;
        assert_eq!(reply.status, 503, "{reply:?}");
        assert_eq!(reply.error(), "Service Unavailable");
        assert!(reply.headers.contains_key("retry-after"));
        assert!(reply.took <= INTERESTS_BOUND, "a refusal took {:?}", reply.took);
        reply.took
    }

    /// The stored interests for [`interests_right`](Self::interests_right).
    pub fn seeds() -> [(&'static str, &'static str); 1] {
        [("i:1", r#"["books", "hi-tech"]"#)]
    }

    /// "D": scores as if nothing were wrong, refused interests, a readiness that says degraded; and, once that has been
    /// noticed, refusals at once.
    pub async fn is_degraded(&self) {
        self.scores_right().await;
        self.interests_refused().await;
        eventually(NOTICED_WITHIN, "readiness says degraded and the gauge is 0", async || {
            self.readiness().await == "degraded" && !self.store_is_up().await
        })
        .await;
        eventually(NOTICED_WITHIN, "interests are refused at once", async || {
            self.interests_refused().await <= REFUSED_AT_ONCE
        })
        .await;
        for _ in 0..10 {
            self.scores_right().await;
            self.interests_refused().await;
        }
    }

    /// "R1": all is OK again.
    pub async fn recovers(&self) {
        self.recovers_within(ALL_IS_OK_WITHIN).await;
    }

    /// All is OK again, by then.
    pub async fn recovers_within(&self, bound: Duration) {
        eventually(bound, "all is OK again", async || {
            self.interests(&[1, 2]).await.status == 200
                && self.readiness().await == "ready"
                && self.store_is_up().await
        })
        .await;
        self.is_ok().await;
    }

    /// Whether the gauge of each of the persistent store's shards is 1, and there is one.
    pub async fn store_is_up(&self) -> bool {
        let text = self.scrape().await;
        let mut shards =
            text.lines().filter(|line| line.starts_with(r#"scoring_store_up{role="persistent""#)).peekable();
        shards.peek().is_some() && shards.all(|line| line.ends_with(" 1"))
    }

    /// "OK": both methods answer right and in time.
    pub async fn is_ok(&self) {
        for _ in 0..10 {
            self.scores_right().await;
            self.interests_right().await;
        }
    }
}
