//! The links of a store actor: each owns its role's [`Link`]s to the store: their connections, time limits and breakers.
//!
//! There is one actor for each role, so that a store too slow to be a cache still serves reads.

use std::{panic::resume_unwind, sync::Arc};

use actix::prelude::*;
use tokio::task::JoinHandle;

use crate::store::{Connector, Link, LinkHealth, LinkPolicy, StoreHealth};

/// The parts of a role's links, used at the start and after each restart.
#[derive(Debug, Clone)]
pub struct RolePlan {
    /// Opens the connections.
    pub connector: Arc<dyn Connector>,
    /// How a connection is kept open.
    pub policy: LinkPolicy,
    /// The role's published health.
    pub health: Arc<StoreHealth>,
}

/// The tasks that keep an actor's links. They only end by a panic, and that counts as the actor's panic.
#[derive(Debug, Default)]
pub(super) struct Keepers(Vec<JoinHandle<()>>);

// ===== impl RolePlan =====

impl RolePlan {
    /// A link that starts to connect at once. It does not wait for the store.
    pub(super) fn link(&self, keepers: &mut Keepers) -> Link {
        self.start(LinkHealth::new(self.health.clone()), keepers)
    }

    /// A separate link for writes, if the store answers in order: a delayed write would delay the reads behind it.
    pub(super) fn link_for_writes(&self, keepers: &mut Keepers) -> Option<Link> {
        self.connector
            .answers_in_order()
            .then(|| self.start(LinkHealth::for_writes(self.health.clone()), keepers))
    }

    /// Two links, if the store answers in order: a delayed read would delay the reads behind it.
    pub(super) fn links(&self, keepers: &mut Keepers) -> Vec<Link> {
        let count = if self.connector.answers_in_order() { 2 } else { 1 };
        (0..count).map(|_| self.link(keepers)).collect()
    }

    fn start(&self, monitor: LinkHealth, keepers: &mut Keepers) -> Link {
        let (link, keeper) = Link::start(self.connector.clone(), self.policy, monitor);
        keepers.0.push(keeper);
        link
    }
}

// ===== impl Keepers =====

impl Keepers {
    /// From now on, the actor panics when one of its keepers does.
    pub(super) fn join<A: Actor<Context = Context<A>>>(&mut self, actor: &A, ctx: &mut Context<A>) {
        for keeper in self.0.drain(..) {
            ctx.spawn(keeper.into_actor(actor).map(|ended, _, ctx| match ended {
                Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
                Ok(()) | Err(_) => ctx.stop(),
            }));
        }
    }
}
