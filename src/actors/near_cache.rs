//! The near cache: scores that this process answered recently, served without a request to a store.
//!
//! By one card, a score is a pure function of the person's data and age, so these are the key: it is not hashed to a
//! digest, and two persons cannot share an entry. Another card has another near cache. An entry can be out of date: if the score is changed in the store, this process
//! does not see it until the entry expires. So the near cache is off by default.

use std::time::{Duration, Instant};

use moka::{Expiry, sync::Cache};

use super::cache_lookups::{CacheLookups, Lookup};
use crate::{
    domain::{OnlineScore, Score},
    store::settings::CacheSettings,
    units::as_u64,
};

/// The maximum fraction by which an entry's lifetime is shortened, so that scores cached together expire at different
/// times.
const JITTER: f64 = 0.1;

/// Maximum bytes of a person's email and names. Only the body's limit bounds them otherwise, and the cache counts
/// entries.
const LONGEST: usize = 512;

/// Scores by person, bounded in number (by W-TinyLFU) and in time. Clones share the entries, on any thread.
#[derive(Debug, Clone)]
pub struct NearCache {
    /// `None` if the near cache is off.
    entries: Option<Cache<NearKey, Score>>,
    capacity: usize,
    ttl: Duration,
    lookups: CacheLookups,
}

/// All inputs of a score by one card.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NearKey {
    /// The person's data.
    pub person: OnlineScore,
    /// See [`Card::age`](crate::domain::Card::age): it changes at midnight.
    pub age: Option<u8>,
}

/// The lifetime of entries.
struct Jittered {
    ttl: Duration,
}

// ===== impl NearCache =====

impl NearCache {
    /// An empty cache of at most `capacity` scores, each for `ttl` or up to a tenth less. A capacity of 0 turns it off.
    ///
    /// An entry takes some 550 bytes.
    pub fn new(capacity: usize, ttl: Duration, lookups: CacheLookups) -> Self {
        let builder = || Cache::builder().max_capacity(as_u64(capacity)).expire_after(Jittered { ttl });
        Self { entries: (capacity > 0).then(|| builder().build()), capacity, ttl, lookups }
    }

    /// An empty cache of the same kind, for the scores of another card.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.capacity, self.ttl, self.lookups.clone())
    }

    /// The near cache of the settings.
    pub fn from_settings(settings: &CacheSettings, lookups: CacheLookups) -> Self {
        Self::new(settings.near_capacity, settings.ttl, lookups)
    }

    /// The score for `key`, if it is cached here. Counts a hit; a miss is left for the cache to count.
    pub fn get(&self, key: &NearKey) -> Option<Score> {
        let score = self.entries.as_ref()?.get(key)?;
        self.lookups.count(Lookup::NearHit);
        Some(score)
    }

    /// Keeps a score, unless the person's email and names take more than 512 bytes.
    pub fn keep(&self, key: NearKey, score: Score) {
        if let Some(entries) = &self.entries
            && length(&key.person) <= LONGEST
        {
            entries.insert(key, score);
        }
    }
}

/// Bytes of the fields that have no limit of their own.
fn length(person: &OnlineScore) -> usize {
    // Without `..`: a new argument must be counted, unless its own rule bounds its length.
    let OnlineScore { phone: _, email, first_name, last_name, birthday: _, gender: _ } = person;
    let email = email.as_ref().map_or(0, |email| email.as_str().len());
    let names = [first_name, last_name];
    email + names.into_iter().flatten().map(|name| name.as_str().len()).sum::<usize>()
}

// ===== impl Jittered =====

impl Jittered {
    fn lifetime(&self) -> Duration {
        self.ttl.mul_f64(1.0 - JITTER * fastrand::f64())
    }
}

impl Expiry<NearKey, Score> for Jittered {
    fn expire_after_create(&self, _: &NearKey, _: &Score, _: Instant) -> Option<Duration> {
        Some(self.lifetime())
    }

    fn expire_after_update(
        &self,
        _: &NearKey,
        _: &Score,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(self.lifetime())
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use rstest::rstest;

    use super::*;
    use crate::domain::{Json, Rules};

    const HOUR: Duration = Duration::from_secs(3600);

    fn cache(capacity: usize, ttl: Duration) -> NearCache {
        NearCache::new(capacity, ttl, CacheLookups::register(&Registry::new()).unwrap())
    }

    fn person(json: &str) -> NearKey {
        let Ok(Json::Object(arguments)) = Json::parse(json.as_bytes()) else { panic!("{json} is no object") };
        let today = chrono::NaiveDate::from_ymd_opt(2026, 6, 15).unwrap();
        let rules = Rules { today, max_client_ids: 1, explain: false };
        NearKey { person: OnlineScore::parse(arguments, &rules).unwrap(), age: Some(26) }
    }

    const FULL: &str = r#"{"phone": "79175002040", "email": "a@b", "first_name": "a", "last_name": "b",
        "birthday": "01.01.2000", "gender": 1}"#;

    #[test]
    fn a_score_is_found_and_counted_until_it_expires() {
        let (kept, expired) = (cache(10, HOUR), cache(10, Duration::ZERO));
        for cache in [&kept, &expired] {
            assert_eq!(cache.get(&person(FULL)), None);
            cache.keep(person(FULL), Score::new(4.25).unwrap());
        }
        assert_eq!(kept.get(&person(FULL)), Score::new(4.25));
        assert_eq!(kept.lookups.counted(Lookup::NearHit), 1);
        assert_eq!(expired.get(&person(FULL)), None);
        assert_eq!(expired.lookups.counted(Lookup::NearHit), 0);
    }

    #[rstest]
    #[case::phone(r#""79175002040""#, r#""79175002041""#)]
    #[case::email("a@b", "a@c")]
    #[case::first_name(r#""first_name": "a""#, r#""first_name": "ab""#)]
    #[case::last_name(r#""last_name": "b""#, r#""last_name": """#)]
    #[case::birthday("01.01.2000", "02.01.2000")]
    #[case::gender(r#""gender": 1"#, r#""gender": 0"#)]
    fn a_person_never_gets_the_score_of_another(#[case] one: &str, #[case] other: &str) {
        let cache = cache(10, HOUR);
        let other = FULL.replace(one, other);
        assert_ne!(other, FULL);
        cache.keep(person(FULL), Score::new(4.25).unwrap());
        assert_eq!(cache.get(&person(&other)), None);
    }

    #[test]
    fn a_birthday_at_midnight_makes_another_key() {
        let cache = cache(10, HOUR);
        cache.keep(person(FULL), Score::new(4.25).unwrap());
        for age in [None, Some(27)] {
            assert_eq!(cache.get(&NearKey { age, ..person(FULL) }), None);
        }
        assert_eq!(cache.emptied().get(&person(FULL)), None);
    }

    #[test]
    fn it_never_exceeds_its_capacity_and_0_turns_it_off() {
        let full = cache(100, HOUR);
        for phone in 79_000_000_000_i64..79_000_010_000 {
            let json = format!(r#"{{"phone": {phone}, "email": "@"}}"#);
            full.keep(person(&json), Score::new(3.0).unwrap());
        }
        let entries = full.entries.as_ref().unwrap();
        entries.run_pending_tasks();
        assert!((1..=100).contains(&entries.entry_count()), "{}", entries.entry_count());

        let off = cache(0, HOUR);
        off.keep(person(FULL), Score::new(3.0).unwrap());
        assert_eq!(off.get(&person(FULL)), None);
    }

    #[rstest]
    #[case::as_long_as_may_be(LONGEST, true)]
    #[case::longer(LONGEST + 1, false)]
    fn a_person_with_texts_that_are_too_long_is_not_cached(#[case] bytes: usize, #[case] kept: bool) {
        let cache = cache(10, HOUR);
        // The first name gets the one byte that is left.
        let (email, name) = ("@".repeat(bytes - 101), "x".repeat(100));
        let json =
            FULL.replace("a@b", &email).replace(r#""last_name": "b""#, &format!(r#""last_name": "{name}""#));
        cache.keep(person(&json), Score::new(4.25).unwrap());
        assert_eq!(cache.get(&person(&json)).is_some(), kept);
    }

    #[test]
    fn lifetimes_of_entries_differ_and_never_exceed_the_ttl() {
        let lifetimes: Vec<_> = (0..1_000).map(|_| Jittered { ttl: HOUR }.lifetime()).collect();
        let (shortest, longest) = (lifetimes.iter().min().unwrap(), lifetimes.iter().max().unwrap());
        assert!(*shortest >= HOUR * 9 / 10 && *longest <= HOUR, "{shortest:?} to {longest:?}");
        assert!(*longest - *shortest > HOUR / 20, "{shortest:?} to {longest:?}");
    }
}
