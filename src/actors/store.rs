//! The store actor: owns one role's [`Link`] to the store, and with it the connection, its time limits and its breaker.
//!
//! There is one for each role, so that a store too slow to be a cache goes on serving reads. The reply types hold the
//! failure policy: a cached score is there or not, and nothing can be made of why not; persistent values are a `Result`.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{task::JoinHandle, time::Instant};

use super::mailbox::handle_sent;
use crate::{
    domain::{Deadline, Score},
    store::{
        CacheRequests, Connector, Link, LinkPolicy, Monitor, PersistentRequests, RoleStatus, StoreError,
    },
};

/// Asks for the score cached under `key`. Whatever goes wrong, the answer is "none", by `deadline` at the latest.
#[derive(Debug, Message)]
#[rtype(result = "Option<Score>")]
pub struct CacheGet {
    /// See [`cache_key`](crate::domain::cache_key).
    pub key: String,
    /// When the answer is of no use any more.
    pub deadline: Deadline,
}

/// Caches a score. Nobody waits for it, and what fails is dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CachePut {
    /// See [`cache_key`](crate::domain::cache_key).
    pub key: String,
    /// The score to be found under it.
    pub score: Score,
    /// When it is not worth writing any more.
    pub deadline: Deadline,
}

/// Asks for the persistent values of all `keys`, in their order, in one round trip.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Option<Vec<u8>>>, StoreError>")]
pub struct GetMany {
    /// What to read.
    pub keys: Arc<[String]>,
    /// When the answer is of no use any more.
    pub deadline: Deadline,
}

/// What a [`StoreActor`] is built from, and built again from after a fall.
#[derive(Debug, Clone)]
pub struct StorePlan {
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
    /// How the connection is kept.
    pub policy: LinkPolicy,
    /// How often a persistent read is tried.
    pub attempts: usize,
    /// How long a score is cached.
    pub ttl: Duration,
    /// Where the role's state is told.
    pub status: Arc<RoleStatus>,
    /// Where cache look-ups are counted.
    pub lookups: CacheLookups,
}

/// Counts cache look-ups by their result. Clones share the counts.
#[derive(Debug, Clone)]
pub struct CacheLookups(IntCounterVec);

/// See the [module](self).
#[derive(Debug)]
pub struct StoreActor {
    plan: StorePlan,
    cache: CacheRequests,
    persistent: PersistentRequests,
    keeper: Option<JoinHandle<()>>,
    /// Ends with the actor.
    _link: Link,
}

// ===== impl StoreActor =====

impl StoreActor {
    /// An actor with a link of its own, which starts to connect at once. It does not wait for the store to be there.
    pub fn new(plan: StorePlan) -> Self {
        let (link, keeper) =
            Link::start(plan.connector.clone(), plan.policy, Monitor::new(plan.status.clone()));
        Self {
            cache: CacheRequests::new(&link),
            persistent: PersistentRequests::new(&link, plan.attempts),
            keeper: Some(keeper),
            _link: link,
            plan,
        }
    }

    fn role(&self) -> &'static str {
        self.plan.status.role().as_str()
    }
}

impl Actor for StoreActor {
    type Context = Context<Self>;

    /// The link's keeper only ends by a panic, and that is the actor's own.
    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(keeper) = self.keeper.take() {
            ctx.spawn(keeper.into_actor(self).map(|ended, _, ctx| match ended {
                Err(fallen) if fallen.is_panic() => std::panic::resume_unwind(fallen.into_panic()),
                Ok(()) | Err(_) => ctx.stop(),
            }));
        }
    }
}

impl Supervised for StoreActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::new(self.plan.clone());
    }
}

handle_sent!(StoreActor: CacheGet => "store", role = StoreActor::role);
handle_sent!(StoreActor: CachePut => "store", role = StoreActor::role);
handle_sent!(StoreActor: GetMany => "store", role = StoreActor::role);

impl Handler<CacheGet> for StoreActor {
    type Result = ResponseFuture<Option<Score>>;

    fn handle(&mut self, msg: CacheGet, _: &mut Self::Context) -> Self::Result {
        let (cache, lookups) = (self.cache.clone(), self.plan.lookups.clone());
        Box::pin(async move {
            let deadline = Instant::from_std(msg.deadline.instant());
            let (score, result) = match cache.get(msg.key, deadline).await {
                Ok(found) => match found.as_deref().and_then(Score::from_cached) {
                    Some(score) => (Some(score), "hit"),
                    None => (None, "miss"),
                },
                Err(_) => (None, "degraded"),
            };
            lookups.0.with_label_values(&[result]).inc();
            score
        })
    }
}

impl Handler<CachePut> for StoreActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, msg: CachePut, _: &mut Self::Context) -> Self::Result {
        let (cache, ttl) = (self.cache.clone(), self.plan.ttl);
        Box::pin(async move {
            if !msg.deadline.has_passed(Instant::now().into_std()) {
                cache.set(msg.key, msg.score.to_cached().into_bytes(), ttl).await;
            }
        })
    }
}

impl Handler<GetMany> for StoreActor {
    type Result = ResponseFuture<<GetMany as Message>::Result>;

    fn handle(&mut self, msg: GetMany, _: &mut Self::Context) -> Self::Result {
        let persistent = self.persistent.clone();
        Box::pin(async move {
            let deadline = Instant::from_std(msg.deadline.instant());
            persistent.get_many(msg.keys, deadline).await
        })
    }
}

// ===== impl CacheLookups =====

impl CacheLookups {
    /// Makes the counter and registers it.
    ///
    /// # Errors
    ///
    /// If it is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let lookups = IntCounterVec::new(
            Opts::new(
                "scoring_cache_lookups_total",
                "Look-ups of cached scores: hit, miss, or degraded when the cache could not be asked.",
            ),
            &["result"],
        )?;
        for result in ["hit", "miss", "degraded"] {
            lookups.with_label_values(&[result]);
        }
        registry.register(Box::new(lookups.clone()))?;
        Ok(Self(lookups))
    }
}

#[cfg(test)]
mod tests;
