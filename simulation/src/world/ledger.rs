//! What was stored when: the model that every answer is compared with.

use std::{cell::RefCell, collections::BTreeMap};

use tokio::time::Instant;

/// A client's stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// There is none.
    Nothing,
    /// A JSON array of strings, without blanks.
    Interests(String),
    /// A value of another kind, which no call can answer.
    OtherKind,
}

/// All values of each client, with the times from which they were stored.
#[derive(Debug, Default)]
pub struct Ledger(RefCell<BTreeMap<i64, Vec<(Instant, Stored)>>>);

// ===== impl Stored =====

impl Stored {
    /// One interest.
    pub fn interests(interest: &str) -> Self {
        Self::Interests(format!("[\"{interest}\"]"))
    }
}

// ===== impl Ledger =====

impl Ledger {
    /// From now on, `stored` is stored for `client`.
    pub(super) fn record(&self, client: i64, stored: Stored) {
        self.0.borrow_mut().entry(client).or_default().push((Instant::now(), stored));
    }

    /// The values that were stored for `client` at any time from `begun` to now.
    pub fn since(&self, client: i64, begun: Instant) -> Vec<Stored> {
        let values = self.0.borrow();
        let Some(values) = values.get(&client) else { return vec![Stored::Nothing] };
        // The last one from before is the first that counts. What was stored at `begun` itself may be seen or not.
        let before = values.iter().take_while(|(at, _)| *at < begun).count().saturating_sub(1);
        values[before..].iter().map(|(_, stored)| stored.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_value_of_the_time_of_a_call_counts() {
        let ledger = Ledger::default();
        let [one, two, three] = ["one", "two", "three"].map(Stored::interests);
        for value in [&one, &two, &three] {
            ledger.record(1, value.clone());
            advance(Duration::from_secs(1)).await;
        }
        let now = Instant::now();
        assert_eq!(ledger.since(1, now), [three.clone()]);
        assert_eq!(ledger.since(1, now - Duration::from_millis(1_500)), [two.clone(), three.clone()]);
        assert_eq!(ledger.since(1, now - Duration::from_secs(2)), [one, two, three]);
        assert_eq!(ledger.since(2, now), [Stored::Nothing]);
    }
}
