//! The links of a store actor: each owns its role's [`Link`]s to the store: their connections, time limits and breakers.
//!
//! There is one actor for each role, so that a store too slow to be a cache still serves reads.

use std::{panic::resume_unwind, sync::Arc};

use actix::{fut::wrap_stream, prelude::*};
use tokio::task::JoinHandle;

use crate::store::{Connector, Link, LinkHealth, LinkPolicy, Shard, Shards, StoreHealth};

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

/// The tasks that keep an actor's links. Each ends with its link, or by a panic, which counts as the actor's panic.
#[derive(Debug, Default)]
pub(super) struct Keepers(Vec<JoinHandle<()>>);

// ===== impl RolePlan =====

impl RolePlan {
    /// A link that starts to connect at once. It does not wait for the store.
    pub(super) fn link(&self, shard: Shard<'_>, keepers: &mut Keepers) -> Link {
        let health = match shard {
            Shard::Unknown => LinkHealth::new(self.health.clone()),
            Shard::Primary(place) => LinkHealth::of_shard(self.health.clone(), &place.to_string()),
            Shard::Guest(_) => LinkHealth::uncounted(self.health.clone()),
        };
        self.start(shard, health, keepers)
    }

    /// A separate link for writes, if the store answers in order: a delayed write would delay the reads behind it.
    pub(super) fn link_for_writes(&self, shard: Shard<'_>, keepers: &mut Keepers) -> Option<Link> {
        let health = || LinkHealth::uncounted(self.health.clone());
        self.connector.is_one_stream().then(|| self.start(shard, health(), keepers))
    }

    /// Two links, if the store answers in order: a delayed read would delay the reads behind it.
    pub(super) fn links(&self, shard: Shard<'_>, keepers: &mut Keepers) -> Vec<Link> {
        let count = if self.connector.is_one_stream() { 2 } else { 1 };
        (0..count).map(|_| self.link(shard, keepers)).collect()
    }

    fn start(&self, shard: Shard<'_>, health: LinkHealth, keepers: &mut Keepers) -> Link {
        let connector = match shard {
            Shard::Unknown => None,
            Shard::Primary(place) | Shard::Guest(place) => {
                self.connector.cluster().map(|cluster| cluster.primary(place))
            }
        };
        let connector = connector.unwrap_or_else(|| self.connector.clone());
        let (link, keeper) = Link::start(connector, self.policy, health);
        keepers.0.push(keeper);
        link
    }
}

// ===== impl Keepers =====

impl Keepers {
    /// From now on, the actor panics when one of its keepers does.
    pub(super) fn join<A: Actor<Context = Context<A>>>(mut self, actor: &A, ctx: &mut Context<A>) {
        for keeper in self.0.drain(..) {
            ctx.spawn(keeper.into_actor(actor).map(|ended, _, _| match ended {
                Err(ended) if ended.is_panic() => resume_unwind(ended.into_panic()),
                // Its link has ended: a node has left the cluster.
                Ok(()) | Err(_) => {}
            }));
        }
    }
}

/// Calls `follow` at the start, and each time that a cluster's nodes change.
pub(super) fn follow<A, C>(
    shards: &Shards<C>,
    ctx: &mut Context<A>,
    follow: impl Fn(&mut A, &mut Context<A>) + 'static,
) where
    A: Actor<Context = Context<A>>,
    C: 'static,
{
    let changes = Box::pin(shards.changes());
    ctx.spawn(wrap_stream::<_, A>(changes).map(move |(), act, ctx| follow(act, ctx)).finish());
}
