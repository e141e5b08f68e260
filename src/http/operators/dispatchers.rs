//! The workers' dispatchers, for the operators' listener: its own thread does not have one.

use std::sync::{Arc, Mutex, PoisonError};

use actix::{Actor, Addr, WeakAddr};

use crate::actors::{Tree, dispatcher::DispatcherActor};

/// The workers' dispatchers. Does not keep them alive. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Dispatchers(Arc<WeakAddrs<DispatcherActor>>);

/// Weak addresses of actors.
#[derive(Debug)]
struct WeakAddrs<A: Actor>(Mutex<Vec<WeakAddr<A>>>);

// ===== impl Dispatchers =====

impl Dispatchers {
    /// Adds the dispatcher of a worker.
    pub fn add(&self, tree: &Tree) {
        self.0.add(&tree.dispatcher);
    }

    /// A random one that is alive.
    pub(super) fn any(&self) -> Option<Addr<DispatcherActor>> {
        self.0.any()
    }
}

// ===== impl WeakAddrs =====

impl<A: Actor> WeakAddrs<A> {
    fn add(&self, actor: &Addr<A>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.upgrade().is_some());
        known.push(actor.downgrade());
    }

    fn any(&self) -> Option<Addr<A>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weak: Vec<_> = known.iter().filter_map(WeakAddr::upgrade).collect();
        fastrand::choice(weak)
    }
}

impl<A: Actor> Default for WeakAddrs<A> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use actix::Context;
    use tokio::task::yield_now;

    use super::*;

    struct Idle;

    impl Actor for Idle {
        type Context = Context<Self>;
    }

    /// An actor ends some time after its last address is gone.
    async fn end(actor: Addr<Idle>) {
        let weak = actor.downgrade();
        drop(actor);
        while weak.upgrade().is_some() {
            yield_now().await;
        }
    }

    #[actix_web::test]
    async fn only_live_actors_are_chosen_and_any_of_them() {
        let weak = WeakAddrs::default();
        assert!(weak.any().is_none());
        let [gone, one, other] = [(); 3].map(|()| Idle.start());
        [&gone, &one, &other].into_iter().for_each(|actor| weak.add(actor));
        end(gone).await;
        let chosen: Vec<_> = (0..200).map(|_| weak.any().unwrap()).collect();
        assert!(chosen.contains(&one) && chosen.contains(&other));
        assert!(chosen.iter().all(|chosen| [&one, &other].contains(&chosen)));
    }

    /// A worker that was started again adds its dispatcher each time.
    #[actix_web::test]
    async fn those_that_are_gone_are_forgotten() {
        let weak = WeakAddrs::default();
        for _ in 0..10 {
            let actor = Idle.start();
            weak.add(&actor);
            end(actor).await;
        }
        assert_eq!(weak.0.lock().unwrap().len(), 1);
    }
}
