//! The tree of actors that each worker has on its own thread.
//!
//! A send to an actor on the same thread costs well under a microsecond; to a sleeping thread, up to a hundred times as
//! much. So every HTTP worker starts its own tree; shared parts are passed in.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use prometheus::Registry;

use super::{
    cache_store::{CacheStoreActor, CacheStorePlan},
    dispatcher::{CallMethod, DispatcherActor, DispatcherPlan},
    interests::InterestsActor,
    near_cache::NearCache,
    persistent_store::{PersistentStoreActor, PersistentStorePlan},
    runtime::{
        health::{ActorHealth, ActorMetrics},
        health_gauge::HealthGauge,
        mailbox::Mailbox,
        restarts::RestartPolicy,
        supervisor::supervise,
    },
    scoring::ScoringActor,
};

/// The parts from which every tree is started.
#[derive(Debug, Clone)]
pub struct TreePlan {
    /// The dispatcher.
    pub dispatcher: DispatcherPlan,
    /// The near cache, shared by all trees.
    pub near: NearCache,
    /// The cache actor.
    pub cache: CacheStorePlan,
    /// The persistent actor.
    pub persistent: PersistentStorePlan,
    /// How long a score waits for the cache.
    pub cache_timeout: Duration,
    /// How fallen actors are restarted.
    pub restarts: RestartPolicy,
    /// The health of the actors.
    pub health: TreeHealth,
}

/// The health of each kind of actor, over all workers.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named after the actors")]
pub struct TreeHealth {
    pub dispatcher: Arc<ActorHealth>,
    pub scoring: Arc<ActorHealth>,
    pub interests: Arc<ActorHealth>,
    pub cache_store: Arc<ActorHealth>,
    pub persistent_store: Arc<ActorHealth>,
}

/// One worker's actors. They run while their addresses are held.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named after the actors")]
pub struct Tree {
    pub dispatcher: Addr<DispatcherActor>,
    pub scoring: Addr<ScoringActor>,
    pub interests: Addr<InterestsActor>,
    pub cache_store: Addr<CacheStoreActor>,
    pub persistent_store: Addr<PersistentStoreActor>,
    /// The dispatcher's mailbox, which takes the calls.
    pub calls: Mailbox<CallMethod>,
}

// ===== impl Tree =====

impl Tree {
    /// Starts the actors on the current thread, each with its peers.
    pub fn start(plan: &TreePlan) -> Self {
        let health = &plan.health;
        let cache_store =
            supervise(CacheStoreActor::new(plan.cache.clone()), plan.restarts, health.cache_store.clone());
        let persistent_store = supervise(
            PersistentStoreActor::new(plan.persistent.clone()),
            plan.restarts,
            health.persistent_store.clone(),
        );
        let scoring = ScoringActor::new(
            plan.near.clone(),
            Mailbox::new(cache_store.clone(), &health.cache_store),
            Mailbox::new(cache_store.clone(), &health.cache_store),
            plan.cache_timeout,
        );
        let scoring = supervise(scoring, plan.restarts, health.scoring.clone());
        let interests = InterestsActor::new(Mailbox::new(persistent_store.clone(), &health.persistent_store));
        let interests = supervise(interests, plan.restarts, health.interests.clone());
        let dispatcher = DispatcherActor::new(
            plan.dispatcher.clone(),
            Mailbox::new(scoring.clone(), &health.scoring),
            Mailbox::new(interests.clone(), &health.interests),
        );
        let dispatcher = supervise(dispatcher, plan.restarts, health.dispatcher.clone());
        let calls = Mailbox::new(dispatcher.clone(), &health.dispatcher);
        Self { dispatcher, scoring, interests, cache_store, persistent_store, calls }
    }
}

// ===== impl TreeHealth =====

impl TreeHealth {
    /// The health of actors that have not been started yet.
    ///
    /// # Errors
    ///
    /// If their metrics are already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = ActorMetrics::register(registry)?;
        let health = Self {
            dispatcher: metrics.health("dispatcher"),
            scoring: metrics.health("scoring"),
            interests: metrics.health("interests"),
            cache_store: metrics.health("cache_store"),
            persistent_store: metrics.health("persistent_store"),
        };
        let unwell = HealthGauge::new(health.all().map(Arc::clone).to_vec())?;
        registry.register(Box::new(unwell))?;
        Ok(health)
    }

    /// The health of all actors.
    pub fn all(&self) -> [&Arc<ActorHealth>; 5] {
        [&self.dispatcher, &self.scoring, &self.interests, &self.cache_store, &self.persistent_store]
    }
}

#[cfg(test)]
mod tests;
