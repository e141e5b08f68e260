//! Questions that were at fault recently, so that callers who repeat them cost the store nothing.
//!
//! A question is the list of keys of one read. A key that is at fault alone makes every question with it faulty.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// Time that a question is rejected before one caller may try it again.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Time that an unused question is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// Maximum questions that are remembered. Above this the oldest is forgotten.
const CAPACITY: usize = 64;

/// A bounded list of questions at fault. Questions are kept as hashes, with a seed of the list's own.
#[derive(Debug, Default)]
pub(super) struct Faulty {
    hasher: RandomState,
    /// The oldest first.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    question: u64,
    refused_until: Instant,
    forgotten_at: Instant,
}

/// The state of a question in the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is not known to be at fault.
    Unknown,
    /// It was at fault, and this caller checks whether it still is.
    TryAgain,
    /// It is at fault because of the keys at these positions.
    AtFault(Vec<usize>),
}

// ===== impl Faulty =====

impl Faulty {
    /// Looks a question up. Costs nothing while no question is at fault.
    pub(super) fn judge(&mut self, keys: &[String], now: Instant) -> Judgement {
        self.entries.retain(|entry| now < entry.forgotten_at);
        if self.entries.is_empty() {
            return Judgement::Unknown;
        }
        if let Some(positions) = self.positions(keys, now) {
            return Judgement::AtFault(positions);
        }
        let all = self.hasher.hash_one(keys);
        let alone: Vec<_> = keys.iter().map(|key| self.hash_alone(key)).collect();
        let mut judgement = Judgement::Unknown;
        for entry in &mut self.entries {
            if entry.question == all || alone.contains(&entry.question) {
                *entry = Entry::new(entry.question, now);
                judgement = Judgement::TryAgain;
            }
        }
        judgement
    }

    /// The positions of the keys because of which a question is rejected now, if it is.
    pub(super) fn positions(&self, keys: &[String], now: Instant) -> Option<Vec<usize>> {
        let is_refused = |question: u64| {
            self.entries.iter().any(|entry| entry.question == question && now < entry.refused_until)
        };
        if self.entries.is_empty() {
            return None;
        }
        if is_refused(self.hasher.hash_one(keys)) {
            return Some((0..keys.len()).collect());
        }
        let alone = (0..).zip(keys).filter(|(_, key)| is_refused(self.hash_alone(key)));
        let positions: Vec<_> = alone.map(|(at, _)| at).collect();
        (!positions.is_empty()).then_some(positions)
    }

    /// The keys at `positions` are at fault: each alone, or all of them together.
    pub(super) fn remember(&mut self, keys: &[String], positions: &[usize], now: Instant) {
        if positions.len() == keys.len() {
            self.add(self.hasher.hash_one(keys), now);
            return;
        }
        for key in positions.iter().filter_map(|&at| keys.get(at)) {
            self.add(self.hash_alone(key), now);
        }
    }

    /// The question was answered: neither it nor any of its keys is at fault any more.
    pub(super) fn forget(&mut self, keys: &[String]) {
        let all = self.hasher.hash_one(keys);
        let alone: Vec<_> = keys.iter().map(|key| self.hash_alone(key)).collect();
        self.entries.retain(|entry| entry.question != all && !alone.contains(&entry.question));
    }

    fn hash_alone(&self, key: &String) -> u64 {
        self.hasher.hash_one(std::slice::from_ref(key))
    }

    fn add(&mut self, question: u64, now: Instant) {
        self.entries.retain(|entry| entry.question != question);
        if self.entries.len() >= CAPACITY {
            self.entries.remove(0);
        }
        self.entries.push(Entry::new(question, now));
    }
}

impl Entry {
    fn new(question: u64, now: Instant) -> Self {
        Self { question, refused_until: now + REFUSED_FOR, forgotten_at: now + REFUSED_FOR + REMEMBERED_FOR }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn row_54_a_key_at_fault_spoils_its_questions_and_no_others() {
        let (mut faulty, now) = (Faulty::default(), Instant::now());
        faulty.remember(&keys(&["a", "b", "c"]), &[1], now);
        assert_eq!(faulty.judge(&keys(&["b"]), now), Judgement::AtFault(vec![0]));
        assert_eq!(faulty.judge(&keys(&["x", "y", "b"]), now), Judgement::AtFault(vec![2]));
        assert_eq!(faulty.judge(&keys(&["a", "c"]), now), Judgement::Unknown);
    }

    #[test]
    fn row_54_keys_at_fault_together_can_be_asked_for_alone() {
        let (mut faulty, now) = (Faulty::default(), Instant::now());
        faulty.remember(&keys(&["a", "b"]), &[0, 1], now);
        assert_eq!(faulty.judge(&keys(&["a", "b"]), now), Judgement::AtFault(vec![0, 1]));
        assert_eq!(faulty.judge(&keys(&["a"]), now), Judgement::Unknown);
    }

    #[test]
    fn row_54_one_caller_a_second_tries_a_refused_question_again() {
        let (mut faulty, now) = (Faulty::default(), Instant::now());
        let question = keys(&["a"]);
        faulty.remember(&question, &[0], now);
        let later = now + REFUSED_FOR;
        assert_eq!(faulty.judge(&question, later), Judgement::TryAgain);
        assert_eq!(faulty.judge(&question, later), Judgement::AtFault(vec![0]));
        faulty.forget(&question);
        assert_eq!(faulty.judge(&question, later), Judgement::Unknown);
    }

    #[test]
    fn the_list_is_bounded_and_forgets() {
        let (mut faulty, now) = (Faulty::default(), Instant::now());
        for key in 0..10 * CAPACITY {
            faulty.remember(&keys(&[&key.to_string()]), &[0], now);
        }
        assert_eq!(faulty.entries.len(), CAPACITY);
        assert_eq!(faulty.judge(&keys(&["639"]), now), Judgement::AtFault(vec![0]));
        let much_later = now + REFUSED_FOR + REMEMBERED_FOR;
        assert_eq!(faulty.judge(&keys(&["639"]), much_later), Judgement::Unknown);
        assert!(faulty.entries.is_empty());
    }
}
