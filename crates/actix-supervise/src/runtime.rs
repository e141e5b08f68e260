//! Starts actors by their names.

use std::sync::Arc;

use actix::prelude::*;

use crate::{
    health::ActorsHealth,
    instance::Instance,
    mailbox::{Mailbox, Origin, Sent},
    restarts::RestartPolicy,
    supervisor::supervise,
};

/// An actor with a name for logs, health and traces.
pub trait NamedActor: Actor<Context = Context<Self>> + Supervised {
    /// Its name.
    const NAME: &'static str;
}

/// Starts actors on the current thread, each under a supervisor.
#[derive(Debug, Clone, Default)]
pub struct ActorRuntime {
    /// How actors are restarted.
    pub restarts: RestartPolicy,
    /// The health of the actors.
    pub health: ActorsHealth,
}

/// A running actor under its supervisor.
#[derive(Debug)]
pub struct Spawned<A: Actor> {
    /// Its address, which stays valid over restarts. The actor runs while an address or a mailbox of it is held.
    pub address: Addr<A>,
    pub(crate) instance: Arc<Instance>,
}

// ===== impl ActorRuntime =====

impl ActorRuntime {
    /// Starts `actor`, and keeps it running while any address of it is held.
    pub fn spawn<A: NamedActor>(&self, actor: A) -> Spawned<A> {
        supervise(actor, self.restarts, &self.health.of(A::NAME))
    }
}

// ===== impl Spawned =====

impl<A: Actor> Spawned<A> {
    /// A mailbox of the actor.
    pub fn mailbox<M, O>(&self) -> Mailbox<M, O>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        O: Origin,
        Addr<A>: Into<Recipient<Sent<M, O>>>,
    {
        Mailbox::new(self.address.clone(), self.instance.clone())
    }
}
