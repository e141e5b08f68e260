//! The questions of the demo and their right answers: scores by the domain's own card, and the interests that are stored.

use chrono::NaiveDate;

use crate::{
    client::{Call, InterestsById, Person},
    domain::{Card, ClientId, Interests, Json, OnlineScore, Rules, Score},
    store::Memory,
};

/// Clients with stored interests, from 1 to this.
const CLIENTS: i64 = 100;

/// Maximum cached scores: more than a run asks for.
const CACHED: u64 = 100_000;

const INTERESTS: [&str; 8] = ["books", "cars", "cinema", "hi-tech", "music", "pets", "sport", "travel"];

/// The invented person with this number. Each has one, two or three of the pairs that a score is made of.
pub(super) fn person(number: u32) -> Person {
    let pairs = number % 7 + 1;
    let has = |pair: u32| pairs & pair != 0;
    Person {
        phone: has(1).then(|| format!("7917{:07}", number % 10_000_000)),
        email: has(1).then(|| format!("client{number}@example.com")),
        first_name: has(2).then(|| "Client".to_owned()),
        last_name: has(2).then(|| format!("Number {number}")),
        birthday: has(4).then(|| format!("01.02.{}", 1980 + number % 20)),
        gender: has(4).then(|| i64::from(number % 3)),
    }
}

/// The person of the call with this number: half of the calls ask for an earlier person again, whose score may be cached.
pub(super) fn asked(call: u32) -> u32 {
    if call.is_multiple_of(2) { call } else { (call / 2) & !1 }
}

/// The person as the domain reads it from a call; `None` if the contract refuses it.
pub(super) fn read(person: &Person, today: NaiveDate) -> Option<OnlineScore> {
    let arguments = Call::score_arguments(person);
    let Ok(Json::Object(arguments)) = Json::parse(arguments.get().as_bytes()) else { return None };
    OnlineScore::parse(arguments, &Rules { today, max_client_ids: 1, explain: false }).ok()
}

/// The right score.
pub(super) fn score(person: &Person, today: NaiveDate) -> Option<Score> {
    Some(Card::built_in().score(&read(person, today)?, today))
}

/// The clients of the call with this number: two that are stored, and one that is not.
pub(super) fn clients(call: u32) -> [i64; 3] {
    let call = i64::from(call);
    [1 + call % CLIENTS, 1 + call * 7 % CLIENTS, CLIENTS + 1 + call]
}

/// The right interests of these clients.
pub(super) fn interests(clients: &[i64]) -> InterestsById {
    clients.iter().map(|id| (*id, stored(*id))).collect()
}

/// The interests of a client; empty if nothing is stored.
fn stored(client: i64) -> Vec<String> {
    let Some(first) = usize::try_from(client).ok().filter(|_| (1..=CLIENTS).contains(&client)) else {
        return Vec::new();
    };
    INTERESTS.iter().cycle().skip(first % INTERESTS.len()).take(2).map(ToString::to_string).collect()
}

/// A store with the interests.
pub(super) fn memory() -> Memory {
    let memory = Memory::new(CACHED);
    for client in 1..=CLIENTS {
        memory.insert(ClientId(client).key(), Interests(stored(client)).to_json().into_bytes());
    }
    memory
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();

    #[test]
    fn every_person_has_a_score_and_scores_differ() {
        let scores: Vec<_> = (0..1_000).map(|number| score(&person(number), TODAY).unwrap()).collect();
        let different: BTreeSet<_> = scores.iter().map(|score| score.to_cached()).collect();
        assert!(different.len() >= 7, "{different:?}");
    }

    #[test]
    fn half_of_the_calls_ask_for_a_person_of_an_earlier_call() {
        let mut seen = BTreeSet::new();
        let again = (0..1_000).filter(|call| !seen.insert(asked(*call))).count();
        assert!((450..=500).contains(&again), "{again}");
    }

    #[test]
    fn stored_clients_have_two_interests_and_others_have_an_empty_list() {
        let answer = interests(&clients(7));
        let counts: Vec<_> = answer.values().map(Vec::len).collect();
        assert_eq!(counts, [2, 2, 0]);
    }
}
