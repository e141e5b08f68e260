//! The cache actor: returns scores that were computed before, if they arrive in time.
//!
//! If the store answers in order, look-ups and writes use separate links: a look-up must not wait behind a write that
//! the server delays. Only the look-ups' link counts for readiness.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use futures_util::{FutureExt, future::Either};
use tokio::time::Instant;

use super::{
    cache_lookups::{CacheLookups, Lookup},
    links::{self, Keepers, RolePlan},
    runtime::{ActorReply, NamedActor, handle_sent},
};
use crate::{
    deadline::Deadline,
    domain::Score,
    store::{
        BackendError, CacheClient, Connector, Link, LinkPolicy, Shard, Shards, StoreHealth,
        settings::CacheSettings,
    },
};

/// Asks for the score cached under `key`. On any failure the answer is `None`, by `deadline` at the latest.
#[derive(Debug, Message)]
#[rtype(result = "Option<Score>")]
pub struct CacheGet {
    /// See [`Card::cache_key`](crate::domain::Card::cache_key).
    pub key: String,
    /// When the answer becomes useless.
    pub deadline: Deadline,
}

/// Caches a score. No caller waits for it; errors are dropped.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CachePut {
    /// See [`Card::cache_key`](crate::domain::Card::cache_key).
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
    requests: Requests,
    keepers: Keepers,
    /// Held so that the links end with the actor.
    _links: Vec<Link>,
}

/// Sends the requests to one server, or to those of a cluster.
#[derive(Debug, Clone)]
enum Requests {
    One(CacheClient),
    Cluster(Shards<CacheClient>),
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

    fn client(&self, shard: Shard<'_>, keepers: &mut Keepers) -> (CacheClient, Vec<Link>) {
        let link = self.role.link(shard, keepers);
        let writes = self.role.link_for_writes(shard, keepers);
        let client = CacheClient::new(&link, writes.as_ref());
        (client, [link].into_iter().chain(writes).collect())
    }
}

// ===== impl CacheStoreActor =====

impl CacheStoreActor {
    /// An actor with links of its own, which start to connect at once. It does not wait for the store.
    pub fn new(plan: CacheStorePlan) -> Self {
        let mut keepers = Keepers::default();
        let (requests, links) = match plan.role.connector.cluster() {
            Some(cluster) => (Requests::Cluster(Shards::new(cluster)), Vec::new()),
            None => {
                let (client, links) = plan.client(Shard::Unknown, &mut keepers);
                (Requests::One(client), links)
            }
        };
        Self { plan, requests, keepers, _links: links }
    }

    /// Has a client for each primary.
    fn follow(&mut self, ctx: &mut Context<Self>) {
        if let Requests::Cluster(shards) = &self.requests {
            let mut keepers = Keepers::default();
            shards.follow(|shard| self.plan.client(shard, &mut keepers));
            keepers.join(self, ctx);
        }
    }
}

impl Actor for CacheStoreActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        std::mem::take(&mut self.keepers).join(self, ctx);
        if let Requests::Cluster(shards) = &self.requests {
            links::follow(shards, ctx, Self::follow);
        }
    }
}

impl Requests {
    fn refuses_read(&self, key: &str) -> bool {
        match self {
            Self::One(client) => client.refuses_reads(),
            Self::Cluster(shards) => shards.refuses_read(key),
        }
    }

    fn refuses_write(&self, key: &str) -> bool {
        match self {
            Self::One(client) => client.refuses_write(),
            Self::Cluster(shards) => shards.refuses_write(key),
        }
    }

    fn get(
        &self,
        key: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, BackendError>> + use<> {
        match self {
            Self::One(client) => Either::Left(client.get(key, deadline)),
            Self::Cluster(shards) => {
                let shards = shards.clone();
                Either::Right(async move { shards.get(key, deadline).await })
            }
        }
    }

    fn set(&self, key: String, value: Vec<u8>, ttl: Duration) -> impl Future<Output = ()> + use<> {
        match self {
            Self::One(client) => Either::Left(client.set(key, value, ttl).map(drop)),
            Self::Cluster(shards) => {
                let shards = shards.clone();
                Either::Right(async move { shards.set(key, value, ttl).await })
            }
        }
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
        if self.requests.refuses_read(&msg.key) {
            self.plan.lookups.count(Lookup::Degraded);
            return ActorReply::Now(None);
        }
        // Asked now and not when the reply is polled: all look-ups of this turn are asked for together.
        let found = self.requests.get(msg.key, msg.deadline.instant());
        let lookups = self.plan.lookups.clone();
        ActorReply::Later(Box::pin(found.map(move |found| {
            let (score, lookup) = match found {
                Ok(found) => match found.as_deref().and_then(Score::from_cached) {
                    Some(score) => (Some(score), Lookup::Hit),
                    None => (None, Lookup::Miss),
                },
                Err(_) => (None, Lookup::Degraded),
            };
            lookups.count(lookup);
            score
        })))
    }
}

impl Handler<CachePut> for CacheStoreActor {
    type Result = ActorReply<()>;

    fn handle(&mut self, msg: CachePut, _: &mut Self::Context) -> Self::Result {
        if msg.deadline.has_passed(Instant::now()) || self.requests.refuses_write(&msg.key) {
            return ActorReply::Now(());
        }
        // As for look-ups.
        let written = self.requests.set(msg.key, msg.score.to_cached().into_bytes(), self.plan.ttl);
        ActorReply::Later(Box::pin(written))
    }
}

#[cfg(test)]
mod tests;
