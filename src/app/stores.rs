//! The stores named in the settings.

use std::sync::Arc;

use crate::{
    config::Settings,
    resolver::Resolver,
    store::{
        Connector, EmbeddedConnector, MemcachedConnector, Memory, RedisConnector, TarantoolConnector,
        url::StoreUrl,
    },
    units::as_u64,
};

/// The stores of the two roles. They come from the settings, or from a test that makes them fail.
#[derive(Debug, Clone)]
pub struct Stores {
    /// For scores.
    pub cache: Arc<dyn Connector>,
    /// For interests.
    pub persistent: Arc<dyn Connector>,
}

// ===== impl Stores =====

impl Stores {
    /// The stores named in the settings. Nothing is opened or connected to yet.
    ///
    /// If both roles name a store inside this process, they share it.
    pub fn from_settings(settings: &Settings) -> Self {
        let capacity = as_u64(settings.cache.capacity);
        let resolver = Resolver::system();
        let mut redis: Option<RedisConnector> = None;
        let mut open = |url: &StoreUrl, connect_timeout| -> Arc<dyn Connector> {
            match url {
                StoreUrl::Memory => Arc::new(Memory::new(capacity)),
                StoreUrl::Embedded(path) => Arc::new(EmbeddedConnector::new(path.clone(), capacity)),
                StoreUrl::Memcached(servers) => {
                    Arc::new(MemcachedConnector::new(servers, connect_timeout, resolver.clone()))
                }
                StoreUrl::Tarantool(target) => {
                    Arc::new(TarantoolConnector::new(target.clone(), connect_timeout, resolver.clone()))
                }
                StoreUrl::Redis(target) => {
                    let connector = RedisConnector::new(target.clone(), connect_timeout, resolver.clone());
                    let connector = match &redis {
                        Some(other) => connector.asking_together_with(other),
                        None => connector,
                    };
                    redis = Some(connector.clone());
                    Arc::new(connector)
                }
            }
        };
        let persistent = open(&settings.store.url, settings.store.connect_timeout);
        let shared = settings.store.url.is_in_process() && *settings.cache_url() == settings.store.url;
        let cache = if shared {
            persistent.clone()
        } else {
            open(settings.cache_url(), settings.cache.connect_timeout)
        };
        Self { cache, persistent }
    }
}
