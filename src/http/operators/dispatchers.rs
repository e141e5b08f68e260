//! The workers' dispatchers, for the operators' listener: its own thread does not have one.

use std::sync::{Arc, Mutex, PoisonError};

use crate::actors::{
    Tree,
    dispatcher::CallMethod,
    runtime::{Mailbox, WeakMailbox},
};

/// The workers' dispatchers. Does not keep them alive. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Dispatchers(Arc<Mutex<Vec<WeakMailbox<CallMethod>>>>);

// ===== impl Dispatchers =====

impl Dispatchers {
    /// Adds the dispatcher of a worker.
    pub fn add(&self, tree: &Tree) {
        self.add_mailbox(&tree.calls);
    }

    fn add_mailbox(&self, calls: &Mailbox<CallMethod>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.upgrade().is_some());
        known.push(calls.downgrade());
    }

    /// A random one that is alive.
    pub(super) fn any(&self) -> Option<Mailbox<CallMethod>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alive: Vec<_> = known.iter().filter_map(WeakMailbox::upgrade).collect();
        fastrand::choice(alive)
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::*;
    use crate::actors::testing::{Act, Peer};

    fn dispatcher() -> Mailbox<CallMethod> {
        Peer::new(Act::Hang).mailbox()
    }

    /// An actor ends some time after its last address is gone.
    async fn end(calls: Mailbox<CallMethod>) {
        let weak = calls.downgrade();
        drop(calls);
        while weak.upgrade().is_some() {
            yield_now().await;
        }
    }

    #[actix_web::test]
    async fn only_live_actors_are_chosen_and_any_of_them() {
        let dispatchers = Dispatchers::default();
        assert!(dispatchers.any().is_none());
        let [gone, one, other] = [(); 3].map(|()| dispatcher());
        [&gone, &one, &other].into_iter().for_each(|calls| dispatchers.add_mailbox(calls));
        end(gone).await;
        let chosen: Vec<_> = (0..200).map(|_| dispatchers.any().unwrap()).collect();
        for expected in [&one, &other] {
            assert!(chosen.iter().any(|chosen| chosen.is_same(expected)));
        }
        assert!(chosen.iter().all(|chosen| [&one, &other].iter().any(|known| chosen.is_same(known))));
    }

    /// A worker that was started again adds its dispatcher each time.
    #[actix_web::test]
    async fn those_that_are_gone_are_forgotten() {
        let dispatchers = Dispatchers::default();
        for _ in 0..10 {
            let calls = dispatcher();
            dispatchers.add_mailbox(&calls);
            end(calls).await;
        }
        assert_eq!(dispatchers.0.lock().unwrap().len(), 1);
    }
}
