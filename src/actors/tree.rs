//! The tree of actors that each worker has on its own thread.
//!
//! A send to an actor on the same thread costs well under a microsecond; to a sleeping thread, up to a hundred times as
//! much. So every HTTP worker starts its own tree; shared parts are passed in.

use actix::prelude::*;

use super::{
    cache_store::{CacheStoreActor, CacheStorePlan},
    dispatcher::{CallMethod, DispatcherActor, DispatcherPlan},
    interests::InterestsActor,
    persistent_store::{PersistentStoreActor, PersistentStorePlan},
    runtime::{ActorRuntime, Mailbox, NamedActor},
    scoring::ScoringActor,
};

/// The parts from which every tree is started.
#[derive(Debug, Clone)]
pub struct TreePlan {
    /// The dispatcher.
    pub dispatcher: DispatcherPlan,
    /// The cache actor.
    pub cache: CacheStorePlan,
    /// The persistent actor.
    pub persistent: PersistentStorePlan,
    /// Restarts the actors, and reports their health.
    pub runtime: ActorRuntime,
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
    /// The names of all actors.
    pub const NAMES: [&'static str; 5] = [
        DispatcherActor::NAME,
        ScoringActor::NAME,
        InterestsActor::NAME,
        CacheStoreActor::NAME,
        PersistentStoreActor::NAME,
    ];

    /// Starts the actors on the current thread, each with its peers.
    pub fn start(plan: &TreePlan) -> Self {
        let runtime = &plan.runtime;
        let cache_timeout = plan.cache.role.policy.timeout;
        let cache_store = runtime.spawn(CacheStoreActor::new(plan.cache.clone()));
        let persistent_store = runtime.spawn(PersistentStoreActor::new(plan.persistent.clone()));
        let scoring =
            runtime.spawn(ScoringActor::new(cache_store.mailbox(), cache_store.mailbox(), cache_timeout));
        let interests = runtime.spawn(InterestsActor::new(persistent_store.mailbox()));
        let dispatcher = runtime.spawn(DispatcherActor::new(
            plan.dispatcher.clone(),
            scoring.mailbox(),
            interests.mailbox(),
        ));
        Self {
            calls: dispatcher.mailbox(),
            dispatcher: dispatcher.address,
            scoring: scoring.address,
            interests: interests.address,
            cache_store: cache_store.address,
            persistent_store: persistent_store.address,
        }
    }
}

#[cfg(test)]
mod tests;
