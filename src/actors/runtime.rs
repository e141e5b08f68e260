//! The runtime of the actors: mailboxes, the supervisor, and the health that it reports.

pub mod health;
mod health_gauge;
pub mod mailbox;
pub mod restarts;
pub mod supervisor;
mod watchdog;

use std::sync::Arc;

use actix::prelude::*;

use self::{
    health::{ActorHealth, ActorsHealth},
    mailbox::{Mailbox, Sent},
    restarts::RestartPolicy,
    supervisor::supervise,
};

/// An actor with a name for logs, metrics, readiness and traces.
pub trait NamedActor: Actor<Context = Context<Self>> + Supervised {
    /// Its name.
    const NAME: &'static str;
}

/// Starts actors on the current thread, each under a supervisor.
#[derive(Debug, Clone)]
pub struct ActorRuntime {
    /// How actors are restarted.
    pub restarts: RestartPolicy,
    /// The health of the actors.
    pub health: ActorsHealth,
}

/// A running actor.
#[derive(Debug)]
pub struct Spawned<A: Actor> {
    /// Its address.
    pub address: Addr<A>,
    health: Arc<ActorHealth>,
}

// ===== impl ActorRuntime =====

impl ActorRuntime {
    /// Starts `actor`, and keeps it running while any address of it is held.
    pub fn spawn<A: NamedActor>(&self, actor: A) -> Spawned<A> {
        let health = self.health.of(A::NAME);
        Spawned { address: supervise(actor, self.restarts, health.clone()), health }
    }
}

// ===== impl Spawned =====

impl<A: Actor> Spawned<A> {
    /// A mailbox of the actor.
    pub fn mailbox<M>(&self) -> Mailbox<M>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        Addr<A>: Into<Recipient<Sent<M>>>,
    {
        Mailbox::new(self.address.clone(), &self.health)
    }
}
