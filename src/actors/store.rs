//! The store actors: each owns its role's [`Link`]s to the store, and with them the connections, their time limits and
//! their breakers.
//!
//! There is one for each role, so that a store too slow to be a cache goes on serving reads. Their reply types hold the
//! failure policy: a cached score is there or not ([`CacheActor`]), and nothing can be made of why not; persistent values
//! are a `Result` ([`PersistentActor`]). Here is what the two share.

mod cache;
mod lookups;
mod persistent;

use std::{panic::resume_unwind, sync::Arc};

use actix::prelude::*;
use tokio::task::JoinHandle;

pub use self::{
    cache::{CacheActor, CacheGet, CachePlan, CachePut},
    lookups::{CacheLookups, Lookup},
    persistent::{GetMany, PersistentActor, PersistentPlan},
};
use crate::store::{Connector, Link, LinkPolicy, Monitor, RoleStatus};

/// What a role's links are started from, and started again from after a fall.
#[derive(Debug, Clone)]
pub struct RolePlan {
    /// Makes the connections.
    pub connector: Arc<dyn Connector>,
    /// How a connection is kept.
    pub policy: LinkPolicy,
    /// Where the role's state is told.
    pub status: Arc<RoleStatus>,
}

/// The tasks that keep an actor's links. They only end by a panic, and that is the actor's own.
#[derive(Debug, Default)]
struct Keepers(Vec<JoinHandle<()>>);

// ===== impl RolePlan =====

impl RolePlan {
    /// A link that starts to connect at once. It does not wait for the store to be there.
    fn link(&self, keepers: &mut Keepers) -> Link {
        self.start(Monitor::new(self.status.clone()), keepers)
    }

    /// One for writes alone, where a write that is held up would hold up the reads behind it.
    fn link_for_writes(&self, keepers: &mut Keepers) -> Option<Link> {
        self.connector
            .answers_in_order()
            .then(|| self.start(Monitor::for_writes(self.status.clone()), keepers))
    }

    /// Two, where a read that is held up would hold up the reads behind it.
    fn links(&self, keepers: &mut Keepers) -> Vec<Link> {
        let count = if self.connector.answers_in_order() { 2 } else { 1 };
        (0..count).map(|_| self.link(keepers)).collect()
    }

    fn start(&self, monitor: Monitor, keepers: &mut Keepers) -> Link {
        let (link, keeper) = Link::start(self.connector.clone(), self.policy, monitor);
        keepers.0.push(keeper);
        link
    }
}

// ===== impl Keepers =====

impl Keepers {
    /// From now on the actor falls when one of its keepers does.
    fn join<A: Actor<Context = Context<A>>>(&mut self, actor: &A, ctx: &mut Context<A>) {
        for keeper in self.0.drain(..) {
            ctx.spawn(keeper.into_actor(actor).map(|ended, _, ctx| match ended {
                Err(fallen) if fallen.is_panic() => resume_unwind(fallen.into_panic()),
                Ok(()) | Err(_) => ctx.stop(),
            }));
        }
    }
}
