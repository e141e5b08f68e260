//! A bounded cache inside this process, for stores without a server.
//!
//! A cached score can always be computed again, so nothing is lost with the process, and the embedded store's file is
//! spared a write for each miss.

use std::time::{Duration, Instant};

use moka::{Expiry, sync::Cache};

/// Entries with a lifetime each, evicted by TinyLFU when there are too many. Clones share the entries.
#[derive(Debug, Clone)]
pub struct InProcessCache {
    entries: Cache<String, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    value: Vec<u8>,
    ttl: Duration,
}

struct PerEntry;

impl Expiry<String, Entry> for PerEntry {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.ttl)
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.ttl)
    }
}

impl InProcessCache {
    /// An empty cache for at most `capacity` entries.
    pub fn new(capacity: u64) -> Self {
        Self { entries: Cache::builder().max_capacity(capacity).expire_after(PerEntry).build() }
    }

    /// The value under `key`, unless it has expired or was evicted.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.entries.get(key).map(|entry| entry.value)
    }

    /// Keeps `value` under `key` for `ttl`.
    pub fn set(&self, key: String, value: Vec<u8>, ttl: Duration) {
        self.entries.insert(key, Entry { value, ttl });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_entry_is_found_until_it_expires() {
        let cache = InProcessCache::new(10);
        cache.set("kept".into(), b"1".to_vec(), HOUR);
        cache.set("expired".into(), b"2".to_vec(), Duration::ZERO);
        assert_eq!(cache.get("kept"), Some(b"1".to_vec()));
        assert_eq!(cache.get("expired"), None);
    }

    #[test]
    fn writing_again_replaces_the_value_and_its_lifetime() {
        let cache = InProcessCache::new(10);
        cache.set("key".into(), b"1".to_vec(), Duration::ZERO);
        cache.set("key".into(), b"2".to_vec(), HOUR);
        assert_eq!(cache.get("key"), Some(b"2".to_vec()));
    }

    #[test]
    fn it_never_holds_more_than_its_capacity() {
        let cache = InProcessCache::new(100);
        for key in 0..10_000 {
            cache.set(key.to_string(), vec![0; 8], HOUR);
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.entry_count() <= 100);
    }
}
