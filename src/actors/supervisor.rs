//! A supervisor that survives panics.
//!
//! actix's own supervisor loses an actor that panics, its queue with it, and restarts one that stops as fast as it can.
//! This one polls the actor under `catch_unwind`; after a panic or a stop it waits ([`Restarts`]) and restarts the actor
//! in place. The address stays valid and messages that were queued are handled; only what was being handled is lost,
//! and whoever sent that gets [`MailboxError::Closed`].
//!
//! A restart keeps the actor's struct, so actors rebuild their state in [`Supervised::restarting`]: after a panic it may
//! be half changed.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Poll, ready},
};

use actix::{dev::ContextFut, prelude::*};
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::time::{Instant, Sleep, sleep};

use super::restarts::{RestartPolicy, Restarts};

/// Why an actor was restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It panicked.
    Panic,
    /// It stopped.
    Stop,
}

impl Reason {
    /// The reason's name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
        }
    }
}

/// How the actors of one name fare, over all workers.
pub struct Vitals {
    name: &'static str,
    restarts: AtomicU64,
    failing: AtomicUsize,
    counter: IntCounterVec,
}

/// The metrics that all actors share.
#[derive(Debug, Clone)]
pub struct ActorMetrics {
    restarts: IntCounterVec,
}

/// Starts `actor` on the current worker's thread and keeps it running for as long as anyone holds its address.
///
/// Futures of the actor's own ([`AsyncContext::spawn`], [`ResponseActFuture`]) end with it: they do not keep it alive.
pub fn supervise<A>(actor: A, policy: RestartPolicy, vitals: Arc<Vitals>) -> Addr<A>
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let context = Context::new();
    let address = context.address();
    actix::spawn(Supervisor {
        actor: Some(context.into_future(actor)),
        restarts: Restarts::new(policy),
        policy,
        vitals,
        phase: Phase::Running { stable: None },
    });
    address
}

struct Supervisor<A: Actor<Context = Context<A>>> {
    /// Always there, until it is dropped.
    actor: Option<ContextFut<A, Context<A>>>,
    restarts: Restarts,
    policy: RestartPolicy,
    vitals: Arc<Vitals>,
    phase: Phase,
}

enum Phase {
    /// `stable` is there while the actor is marked as failing, and ends that.
    Running {
        stable: Option<Pin<Box<Sleep>>>,
    },
    Waiting {
        until: Pin<Box<Sleep>>,
        failing: bool,
    },
}

// ===== impl Supervisor =====

impl<A: Actor<Context = Context<A>> + Supervised> Supervisor<A> {
    fn fell(&mut self, reason: Reason, panic: Option<&(dyn Any + Send)>) {
        let restart = self.restarts.fell(Instant::now().into_std(), &mut fastrand::Rng::new());
        let was_failing =
            matches!(self.phase, Phase::Running { stable: Some(_) } | Phase::Waiting { failing: true, .. });
        self.vitals.restarted(reason, panic, restart.delay);
        self.vitals.set_failing(was_failing, restart.failing);
        self.phase = Phase::Waiting { until: Box::pin(sleep(restart.delay)), failing: restart.failing };
    }
}

impl<A: Actor<Context = Context<A>> + Supervised> Future for Supervisor<A> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            let Some(actor) = &mut this.actor else {
                return Poll::Ready(());
            };
            match &mut this.phase {
                Phase::Waiting { until, failing } => {
                    ready!(until.as_mut().poll(cx));
                    let stable = failing.then(|| Box::pin(sleep(this.policy.stable_after)));
                    match catch_unwind(AssertUnwindSafe(|| actor.restart())) {
                        Ok(true) => this.phase = Phase::Running { stable },
                        Ok(false) => return Poll::Ready(()),
                        Err(panic) => this.fell(Reason::Panic, Some(panic.as_ref())),
                    }
                }
                Phase::Running { stable } => {
                    match catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *actor).poll(cx))) {
                        // Nobody is left to send it anything: that is the end, not a fall.
                        Ok(_) if !actor.ctx().connected() => return Poll::Ready(()),
                        Ok(Poll::Pending) => {
                            if let Some(timer) = stable {
                                ready!(timer.as_mut().poll(cx));
                                *stable = None;
                                this.vitals.set_failing(true, false);
                            }
                            return Poll::Pending;
                        }
                        Ok(Poll::Ready(())) => this.fell(Reason::Stop, None),
                        Err(panic) => this.fell(Reason::Panic, Some(panic.as_ref())),
                    }
                }
            }
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Supervisor<A> {
    fn drop(&mut self) {
        if matches!(self.phase, Phase::Running { stable: Some(_) } | Phase::Waiting { failing: true, .. }) {
            self.vitals.set_failing(true, false);
        }
        // A dropped context polls its actor once more, to stop it; that may panic as well.
        let actor = self.actor.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(actor)));
    }
}

// ===== impl Vitals =====

impl ActorMetrics {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// If one of them is registered already.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let restarts = IntCounterVec::new(
            Opts::new("scoring_actor_restarts_total", "Restarts of actors, by the reason."),
            &["actor", "reason"],
        )?;
        registry.register(Box::new(restarts.clone()))?;
        Ok(Self { restarts })
    }

    /// The vitals of the actors called `name`.
    pub fn vitals(&self, name: &'static str) -> Arc<Vitals> {
        for reason in [Reason::Panic, Reason::Stop] {
            self.restarts.with_label_values(&[name, reason.as_str()]);
        }
        Arc::new(Vitals {
            name,
            restarts: AtomicU64::new(0),
            failing: AtomicUsize::new(0),
            counter: self.restarts.clone(),
        })
    }
}

impl Vitals {
    /// The actors' name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How often an actor of this name was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Relaxed)
    }

    /// Whether any actor of this name falls too often.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Relaxed) > 0
    }

    fn restarted(&self, reason: Reason, panic: Option<&(dyn Any + Send)>, delay: std::time::Duration) {
        self.restarts.fetch_add(1, Relaxed);
        self.counter.with_label_values(&[self.name, reason.as_str()]).inc();
        // Only a message that stands in the source is logged: one made at run time could hold personal data.
        let panic = panic.and_then(|panic| panic.downcast_ref::<&'static str>()).copied();
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::error!(actor = self.name, reason = reason.as_str(), panic, delay_ms, "actor restarts");
    }

    fn set_failing(&self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => {
                self.failing.fetch_add(1, Relaxed);
                tracing::error!(actor = self.name, "actor is failing");
            }
            (true, false) => {
                self.failing.fetch_sub(1, Relaxed);
                tracing::info!(actor = self.name, "actor is well again");
            }
            (true, true) | (false, false) => {}
        }
    }
}

impl fmt::Debug for Vitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vitals")
            .field("name", &self.name)
            .field("restarts", &self.restarts())
            .field("failing", &self.is_failing())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
