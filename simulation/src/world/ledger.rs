//! All stored values with their times: the model that every answer is compared with.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::Duration,
};

use tokio::time::Instant;

use super::Value;

/// A client's stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// No value is stored.
    Nothing,
    /// A JSON array of strings, without blanks.
    Interests(String),
    /// A value of another kind, which no call can answer.
    OtherKind,
}

/// A replaced file, or primary, is asked for this long at most.
const STALE: Duration = Duration::from_secs(1);

/// All values of each client, with the times from which they were stored.
#[derive(Debug, Default)]
pub struct Ledger {
    values: RefCell<BTreeMap<i64, Vec<(Instant, Stored)>>>,
    /// From the first to the second time, answers may come from a file or a primary that was replaced at the first.
    stale: Cell<Option<(Instant, Instant)>>,
}

// ===== impl Stored =====

impl Stored {
    /// One interest.
    pub fn interests(interest: &str) -> Self {
        Self::Interests(format!("[\"{interest}\"]"))
    }

    /// The value under the client's key on a server.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::Interests(interests) => Some(Value::Text(interests.clone().into_bytes())),
            Self::OtherKind => Some(Value::OtherKind),
        }
    }
}

// ===== impl Ledger =====

impl Ledger {
    /// From now on, `stored` is stored for `client`.
    pub(super) fn record(&self, client: i64, stored: Stored) {
        self.values.borrow_mut().entry(client).or_default().push((Instant::now(), stored));
    }

    /// The file or a primary was replaced: for a moment, answers may still come from the old one.
    pub(super) fn replaced(&self) {
        let now = Instant::now();
        let since = self.stale.get().filter(|(_, until)| now < *until).map_or(now, |(since, _)| since);
        self.stale.set(Some((since, now + STALE)));
    }

    /// A client whose value cannot be answered now.
    pub fn at_fault(&self) -> Option<i64> {
        self.now().into_iter().find(|(_, stored)| *stored == Stored::OtherKind).map(|(client, _)| client)
    }

    /// The values that are stored now.
    pub(super) fn now(&self) -> Vec<(i64, Stored)> {
        let values = self.values.borrow();
        values.iter().filter_map(|(client, values)| Some((*client, values.last()?.1.clone()))).collect()
    }

    /// The values that were stored for `client` at any time from `begun` to now.
    pub fn since(&self, client: i64, begun: Instant) -> Vec<Stored> {
        let values = self.values.borrow();
        let begun = match self.stale.get() {
            Some((since, until)) if begun < until => begun.min(since),
            _ => begun,
        };
        let values = values.get(&client).map_or(&[][..], Vec::as_slice);
        // The last one from before is the first that counts. A value stored at `begun` itself may be seen or not.
        let (before, since) = values.split_at(values.iter().take_while(|(at, _)| *at < begun).count());
        let first = before.last().map_or(Stored::Nothing, |(_, stored)| stored.clone());
        [first].into_iter().chain(since.iter().map(|(_, stored)| stored.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_replaced_file_may_be_read_for_a_moment() {
        let ledger = Ledger::default();
        let [one, two, three] = ["one", "two", "three"].map(Stored::interests);
        for value in [&one, &two, &three] {
            ledger.record(1, value.clone());
            advance(Duration::from_millis(100)).await;
            ledger.replaced();
        }
        let now = Instant::now();
        assert_eq!(ledger.since(1, now), [one, two, three.clone()]);
        advance(STALE).await;
        assert_eq!(ledger.since(1, Instant::now()), [three]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_value_of_the_time_of_a_call_counts() {
        let ledger = Ledger::default();
        let [one, two, three] = ["one", "two", "three"].map(Stored::interests);
        for value in [&one, &two, &three] {
            ledger.record(1, value.clone());
            advance(Duration::from_secs(1)).await;
        }
        let now = Instant::now();
        assert_eq!(ledger.since(1, now), std::slice::from_ref(&three));
        assert_eq!(ledger.since(1, now - Duration::from_millis(1_500)), [two.clone(), three.clone()]);
        let all = [one, two, three];
        assert_eq!(ledger.since(1, now - Duration::from_millis(2_500)), all);
        let before_all = [&[Stored::Nothing], &all[..]].concat();
        assert_eq!(ledger.since(1, now - Duration::from_secs(3)), before_all);
        assert_eq!(ledger.since(2, now), [Stored::Nothing]);
    }
}
