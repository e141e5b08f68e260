//! How look-ups of cached scores are counted.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// The result of a look-up of a cached score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// The near cache had it, and the cache was not asked.
    NearHit,
    /// The cache had it.
    Hit,
    /// The cache did not have it.
    Miss,
    /// The cache could not be asked.
    Degraded,
}

/// Counts cache look-ups by their result. Clones share the counts.
#[derive(Debug, Clone)]
pub struct CacheLookups(Arc<Counts>);

/// The series, looked up once instead of for each request.
#[derive(Debug)]
struct Counts {
    near: IntCounter,
    hit: IntCounter,
    miss: IntCounter,
    degraded: IntCounter,
}

// ===== impl CacheLookups =====

impl CacheLookups {
    /// Creates and registers the counter.
    ///
    /// # Errors
    ///
    /// If it is already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let lookups = IntCounterVec::new(
            Opts::new(
                "scoring_cache_lookups_total",
                "Look-ups of cached scores: near when this process had it, else hit, miss, or degraded when the cache \
                 could not be asked.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(lookups.clone()))?;
        let of = |result| lookups.with_label_values(&[result]);
        let (near, hit, miss, degraded) = (of("near"), of("hit"), of("miss"), of("degraded"));
        Ok(Self(Arc::new(Counts { near, hit, miss, degraded })))
    }

    /// Counts one look-up.
    pub fn count(&self, lookup: Lookup) {
        self.counter(lookup).inc();
    }

    /// The number of look-ups with this result.
    pub fn counted(&self, lookup: Lookup) -> u64 {
        self.counter(lookup).get()
    }

    fn counter(&self, lookup: Lookup) -> &IntCounter {
        match lookup {
            Lookup::NearHit => &self.0.near,
            Lookup::Hit => &self.0.hit,
            Lookup::Miss => &self.0.miss,
            Lookup::Degraded => &self.0.degraded,
        }
    }
}
