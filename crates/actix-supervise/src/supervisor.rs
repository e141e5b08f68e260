//! A supervisor that survives panics and restarts stuck actors.
//!
//! actix's own supervisor loses an actor that panics together with its queue, and restarts a stopped actor without
//! delay. This one polls the actor under `catch_unwind`. After a panic or a stop, or when the actor no longer reads
//! messages ([`Watchdog`]), it waits ([`Restarts`]) and restarts the actor in place. The address stays valid and queued
//! messages are handled; only the message being handled is lost, and its sender gets [`MailboxError::Closed`].
//!
//! A restart keeps the actor's struct, which may be half changed after a panic. So actors rebuild their state in
//! [`Supervised::restarting`].

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
};

use actix::{dev::ContextFut, prelude::*};
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    health::ActorHealth,
    instance::Instance,
    report::RestartReason,
    restarts::{RestartPolicy, Restarts},
    runtime::Spawned,
    watchdog::Watchdog,
};

/// Starts `actor` on the current thread and keeps it running while any address of it is held. `health` reports it.
///
/// Futures of the actor's own ([`AsyncContext::spawn`], [`ResponseActFuture`]) end with it: they do not keep it alive.
pub fn supervise<A>(actor: A, policy: RestartPolicy, health: &Arc<ActorHealth>) -> Spawned<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let context = Context::new();
    let address = context.address();
    let supervisor = Supervisor::new(context.into_future(actor), policy, health.clone());
    let instance = supervisor.instance.clone();
    actix::spawn(supervisor);
    Spawned { address, instance }
}

struct Supervisor<A: Actor<Context = Context<A>>> {
    /// `Some` until it is dropped.
    actor: Option<ContextFut<A, Context<A>>>,
    restarts: Restarts,
    policy: RestartPolicy,
    health: Arc<ActorHealth>,
    instance: Arc<Instance>,
    watchdog: Watchdog,
    phase: ActorPhase,
}

enum ActorPhase {
    /// `stable` is set while the actor is marked as failing, and ends that.
    Running {
        stable: Option<Pin<Box<Sleep>>>,
    },
    Waiting {
        until: Pin<Box<Sleep>>,
    },
}

// ===== impl Supervisor =====

impl<A: Actor<Context = Context<A>> + Supervised> Supervisor<A> {
    fn new(actor: ContextFut<A, Context<A>>, policy: RestartPolicy, health: Arc<ActorHealth>) -> Self {
        let instance = health.started();
        Self {
            actor: Some(actor),
            restarts: Restarts::new(policy),
            policy,
            watchdog: Watchdog::new(instance.clone()),
            instance,
            health,
            phase: ActorPhase::Running { stable: None },
        }
    }

    fn schedule_restart(&mut self, reason: RestartReason, panic: Option<&(dyn Any + Send)>) {
        let restart = self.restarts.restarted(Instant::now().into_std(), &mut fastrand::Rng::new());
        self.health.failed(&self.instance, reason, panic, restart.delay);
        if restart.failing {
            // Only some time without a failure ends it.
            self.instance.set_failing(true);
        }
        self.phase = ActorPhase::Waiting { until: Box::pin(sleep(restart.delay)) };
    }
}

impl<A: Actor<Context = Context<A>> + Supervised> Future for Supervisor<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let due = this.watchdog.poll_tick(cx);
        loop {
            let Some(actor) = &mut this.actor else {
                return Poll::Ready(());
            };
            match &mut this.phase {
                ActorPhase::Waiting { until } => {
                    ready!(until.as_mut().poll(cx));
                    let failing = this.instance.is_failing();
                    let stable = failing.then(|| Box::pin(sleep(this.policy.stable_after)));
                    match catch_unwind(AssertUnwindSafe(|| actor.restart())) {
                        Ok(true) => {
                            this.watchdog.restarted();
                            this.instance.restarted();
                            this.phase = ActorPhase::Running { stable };
                        }
                        Ok(false) => return Poll::Ready(()),
                        Err(panic) => this.schedule_restart(RestartReason::Panic, Some(panic.as_ref())),
                    }
                }
                ActorPhase::Running { stable } => {
                    if due {
                        this.watchdog.beat(actor.ctx());
                    }
                    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *actor).poll(cx)));
                    this.instance.end_turn();
                    match polled {
                        // No address is left, so this is the end of the actor, not a failure.
                        Ok(_) if !actor.ctx().connected() => return Poll::Ready(()),
                        Ok(Poll::Pending) if due && this.watchdog.is_stuck() => {
                            this.schedule_restart(RestartReason::Stuck, None);
                        }
                        Ok(Poll::Pending) => {
                            // An actor that reads no messages is not well, even if it has not been restarted for long.
                            if let Some(timer) = stable
                                && this.watchdog.is_answered()
                            {
                                ready!(timer.as_mut().poll(cx));
                                *stable = None;
                                this.instance.set_failing(false);
                            }
                            return Poll::Pending;
                        }
                        Ok(Poll::Ready(())) => this.schedule_restart(RestartReason::Stop, None),
                        Err(panic) => this.schedule_restart(RestartReason::Panic, Some(panic.as_ref())),
                    }
                }
            }
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Supervisor<A> {
    fn drop(&mut self) {
        self.instance.set_failing(false);
        // A dropped context polls its actor once more, to stop it; that may panic as well.
        let actor = self.actor.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(actor)));
        self.health.ended(&self.instance);
    }
}

#[cfg(test)]
mod tests;
