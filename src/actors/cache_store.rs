//! The cache actor: returns scores that were computed before, if they arrive in time.
//!
//! If the store answers in order, look-ups and writes use separate links: a look-up must not wait behind a write that
//! the server delays. Only the look-ups' link counts for readiness.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use tokio::time::Instant;

use super::{
    cache_lookups::{CacheLookups, Lookup},
    links::{Keepers, RolePlan},
    runtime::{
        NamedActor,
        mailbox::{ActorReply, handle_sent},
    },
};
use crate::{
    deadline::Deadline,
    domain::Score,
    store::{CacheClient, Connector, Link, LinkPolicy, StoreHealth, settings::CacheSettings},
};

/// Asks for the score cached under `key`. On any failure the answer is `None`, by `deadline` at the latest.
#[derive(Debug, Message)]
#[rtype(result = "Option<Score>")]
pub struct CacheGet {
    /// See [`cache_key`](crate::domain::cache_key).
    pub key: String,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// Caches a score. No caller waits for it; errors are dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CachePut {
    /// See [`cache_key`](crate::domain::cache_key).
    pub key: String,
    /// The score to store under it.
    pub score: Score,
    /// When the write becomes useless.
    pub deadline: Deadline,
}

/// The parts of a [`CacheStoreActor`], used at the start and after each restart.
#[derive(Debug, Clone)]
pub struct CacheStorePlan {
    /// Its links.
    pub role: RolePlan,
    /// How long a score is cached.
    pub ttl: Duration,
    /// Counts look-ups.
    pub lookups: CacheLookups,
}

/// See the [module](self).
#[derive(Debug)]
pub struct CacheStoreActor {
    plan: CacheStorePlan,
    requests: CacheClient,
    keepers: Keepers,
    /// Held so that the links end with the actor.
    _links: (Link, Option<Link>),
}

// ===== impl CacheStorePlan =====

impl CacheStorePlan {
    /// The share of `cache.timeout` that a look-up may take. The rest is for sending the answer.
    const WAITING: (u32, u32) = (4, 5);

    /// The parts for a cache behind `connector`.
    pub fn from_settings(
        settings: &CacheSettings,
        connector: Arc<dyn Connector>,
        health: Arc<StoreHealth>,
        lookups: CacheLookups,
    ) -> Self {
        let policy = LinkPolicy::new(settings.timeout * Self::WAITING.0 / Self::WAITING.1);
        Self { role: RolePlan { connector, policy, health }, ttl: settings.ttl, lookups }
    }
}

// ===== impl CacheStoreActor =====

impl CacheStoreActor {
    /// An actor with links of its own, which start to connect at once. It does not wait for the store.
    pub fn new(plan: CacheStorePlan) -> Self {
        let mut keepers = Keepers::default();
        let link = plan.role.link(&mut keepers);
        let writes = plan.role.link_for_writes(&mut keepers);
        let requests = CacheClient::new(&link, writes.as_ref());
        Self { plan, requests, keepers, _links: (link, writes) }
    }
}

impl Actor for CacheStoreActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        std::mem::take(&mut self.keepers).join(self, ctx);
    }
}

impl Supervised for CacheStoreActor {
    fn restarting(&mut self, _: &mut Self::Context) {
        *self = Self::new(self.plan.clone());
    }
}

impl NamedActor for CacheStoreActor {
    const NAME: &'static str = "cache_store";
}

handle_sent!(CacheStoreActor: CacheGet);
handle_sent!(CacheStoreActor: CachePut);

impl Handler<CacheGet> for CacheStoreActor {
    type Result = ActorReply<Option<Score>>;

    fn handle(&mut self, msg: CacheGet, _: &mut Self::Context) -> Self::Result {
        // During an outage a call should cost little.
        if self.requests.refuses_reads() {
            self.plan.lookups.count(Lookup::Degraded);
            return ActorReply::Now(None);
        }
        let (requests, lookups) = (self.requests.clone(), self.plan.lookups.clone());
        ActorReply::Later(Box::pin(async move {
            let deadline = msg.deadline.instant();
            let (score, lookup) = match requests.get(msg.key, deadline).await {
                Ok(found) => match found.as_deref().and_then(Score::from_cached) {
                    Some(score) => (Some(score), Lookup::Hit),
                    None => (None, Lookup::Miss),
                },
                Err(_) => (None, Lookup::Degraded),
            };
            lookups.count(lookup);
            score
        }))
    }
}

impl Handler<CachePut> for CacheStoreActor {
    type Result = ActorReply<()>;

    fn handle(&mut self, msg: CachePut, _: &mut Self::Context) -> Self::Result {
        if msg.deadline.has_passed(Instant::now()) || self.requests.refuses_write() {
            return ActorReply::Now(());
        }
        let (requests, ttl) = (self.requests.clone(), self.plan.ttl);
        ActorReply::Later(Box::pin(async move {
            requests.set(msg.key, msg.score.to_cached().into_bytes(), ttl).await;
        }))
    }
}

#[cfg(test)]
mod tests;
