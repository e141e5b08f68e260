//! `memory:` — a store that ends with the process. For trials and tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, pending, ready},
};

use super::{BackendError, Connection, Connector, InProcessCache, ReplyFuture};

/// A store in memory. Clones share it.
#[derive(Debug, Clone)]
pub struct Memory {
    // A std lock: there is no await while it is held.
    persistent: Arc<RwLock<BTreeMap<String, Vec<u8>>>>,
    cache: InProcessCache,
}

impl Memory {
    /// An empty store, whose cache holds at most `cache_capacity` entries.
    pub fn new(cache_capacity: u64) -> Self {
        Self { persistent: Arc::default(), cache: InProcessCache::new(cache_capacity) }
    }

    /// Stores a persistent value.
    pub fn insert(&self, key: String, value: Vec<u8>) {
        self.persistent.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
    }

    fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.persistent.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

impl Connector for Memory {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connection: Arc<dyn Connection> = Arc::new(self.clone());
        ready(Ok(connection)).boxed()
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}

impl Connection for Memory {
    fn get(&self, key: String) -> ReplyFuture<Option<Vec<u8>>> {
        ready(Ok(self.cache.get(&key))).boxed()
    }

    fn get_many(&self, keys: Arc<[String]>) -> ReplyFuture<Vec<Option<Vec<u8>>>> {
        ready(Ok(keys.iter().map(|key| self.read(key)).collect())).boxed()
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> ReplyFuture<()> {
        self.cache.set(key, value, ttl);
        ready(Ok(())).boxed()
    }

    fn silent_for(&self) -> Duration {
        Duration::ZERO
    }

    fn closed(&self) -> BoxFuture<'static, BackendError> {
        pending().boxed()
    }

    fn close(&self) {}
}

#[cfg(test)]
mod tests;
