//! The tree of actors that each worker has on its own thread.
//!
//! A send to an actor on the same thread costs well under a microsecond; to a sleeping thread, up to a hundred times as
//! much. So every HTTP worker starts its own tree; shared parts are passed in.

use std::{sync::Arc, time::Duration};

use actix::prelude::*;
use prometheus::Registry;

use super::{
    dispatcher::{CallMethod, DispatcherActor, DispatcherPlan},
    interests::InterestsActor,
    mailbox::Mailbox,
    restarts::RestartPolicy,
    scoring::{NearCache, ScoringActor},
    store::{CacheActor, CachePlan, PersistentActor, PersistentPlan},
    supervisor::supervise,
    unwell::UnwellActors,
    vitals::{ActorMetrics, Vitals},
};

/// The parts from which every tree is started.
#[derive(Debug, Clone)]
pub struct TreePlan {
    /// The dispatcher.
    pub dispatcher: DispatcherPlan,
    /// The near cache, shared by all trees.
    pub near: NearCache,
    /// The cache actor.
    pub cache: CachePlan,
    /// The persistent actor.
    pub persistent: PersistentPlan,
    /// How long a score waits for the cache.
    pub cache_timeout: Duration,
    /// How fallen actors are restarted.
    pub restarts: RestartPolicy,
    /// The health of the actors.
    pub vitals: TreeVitals,
}

/// The vitals of each kind of actor, over all workers.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named after the actors")]
pub struct TreeVitals {
    pub dispatcher: Arc<Vitals>,
    pub scoring: Arc<Vitals>,
    pub interests: Arc<Vitals>,
    pub cache_store: Arc<Vitals>,
    pub persistent_store: Arc<Vitals>,
}

/// One worker's actors. They run while their addresses are held.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the fields are named after the actors")]
pub struct Tree {
    pub dispatcher: Addr<DispatcherActor>,
    pub scoring: Addr<ScoringActor>,
    pub interests: Addr<InterestsActor>,
    pub cache_store: Addr<CacheActor>,
    pub persistent_store: Addr<PersistentActor>,
    /// The dispatcher's mailbox, which takes the calls.
    pub calls: Mailbox<CallMethod>,
}

// ===== impl Tree =====

impl Tree {
    /// Starts the actors on the current thread, each with its peers.
    pub fn start(plan: &TreePlan) -> Self {
        let vitals = &plan.vitals;
        let cache_store =
            supervise(CacheActor::new(plan.cache.clone()), plan.restarts, vitals.cache_store.clone());
        let persistent_store = supervise(
            PersistentActor::new(plan.persistent.clone()),
            plan.restarts,
            vitals.persistent_store.clone(),
        );
        let scoring = ScoringActor::new(
            plan.near.clone(),
            Mailbox::new(cache_store.clone(), &vitals.cache_store),
            Mailbox::new(cache_store.clone(), &vitals.cache_store),
            plan.cache_timeout,
        );
        let scoring = supervise(scoring, plan.restarts, vitals.scoring.clone());
        let interests = InterestsActor::new(Mailbox::new(persistent_store.clone(), &vitals.persistent_store));
        let interests = supervise(interests, plan.restarts, vitals.interests.clone());
        let dispatcher = DispatcherActor::new(
            plan.dispatcher.clone(),
            Mailbox::new(scoring.clone(), &vitals.scoring),
            Mailbox::new(interests.clone(), &vitals.interests),
        );
        let dispatcher = supervise(dispatcher, plan.restarts, vitals.dispatcher.clone());
        let calls = Mailbox::new(dispatcher.clone(), &vitals.dispatcher);
        Self { dispatcher, scoring, interests, cache_store, persistent_store, calls }
    }
}

// ===== impl TreeVitals =====

impl TreeVitals {
    /// The vitals of actors that have not been started yet.
    ///
    /// # Errors
    ///
    /// If their metrics are already registered.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = ActorMetrics::register(registry)?;
        let vitals = Self {
            dispatcher: metrics.vitals("dispatcher"),
            scoring: metrics.vitals("scoring"),
            interests: metrics.vitals("interests"),
            cache_store: metrics.vitals("cache_store"),
            persistent_store: metrics.vitals("persistent_store"),
        };
        let unwell = UnwellActors::new(vitals.all().map(Arc::clone).to_vec())?;
        registry.register(Box::new(unwell))?;
        Ok(vitals)
    }

    /// The vitals of all actors.
    pub fn all(&self) -> [&Arc<Vitals>; 5] {
        [&self.dispatcher, &self.scoring, &self.interests, &self.cache_store, &self.persistent_store]
    }
}

#[cfg(test)]
mod tests;
