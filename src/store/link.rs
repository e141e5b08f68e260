//! The link: one role's connection to its store, kept alive.
//!
//! The keeper is a task that owns the connection. It connects, waits for the connection's end, sends probes, drops a
//! connection that is silent, and makes a new one, with backoff. Requests use the current connection. The breaker counts
//! every success and failure and decides whether requests may be sent; only the keeper's probes close it again.
//!
//! A link is bound to one thread, like the actor that owns it, so it has no locks.

mod keeper;
mod policy;
mod state;

use std::{rc::Rc, sync::Arc};

use tokio::task::{AbortHandle, JoinHandle, spawn_local};

pub use self::policy::LinkPolicy;
pub(super) use self::state::{LinkState, LiveConnection};
use super::{Connector, LinkHealth};

/// See the [module](self). Dropping it ends the keeper and the connection.
#[derive(Debug)]
pub struct Link {
    state: Rc<LinkState>,
    keeper: AbortHandle,
}

// ===== impl Link =====

impl Link {
    /// Starts a keeper on the current thread. Returns its handle too, because the link ends when the keeper ends.
    ///
    /// Needs a `LocalSet`, which every actix worker is.
    pub fn start(
        connector: Arc<dyn Connector>,
        policy: LinkPolicy,
        health: LinkHealth,
    ) -> (Self, JoinHandle<()>) {
        let state = Rc::new(LinkState::new(policy, health));
        let keeper = spawn_local(keeper::keep(state.clone(), connector));
        (Self { state, keeper: keeper.abort_handle() }, keeper)
    }

    pub(super) fn state(&self) -> Rc<LinkState> {
        self.state.clone()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
        self.state.detach();
    }
}

#[cfg(test)]
mod tests;
