//! Detects an actor that is stuck without a panic: one that no longer reads messages.
//!
//! An actor whose context waits ([`AsyncContext::wait`]) neither reads messages nor polls futures of its own until the
//! wait is over. So its supervisor regularly spawns a future on it, a *beat*: an actor that does not poll the beat does
//! not read its messages either. A beat is not a message: no actor has to handle it, and the supervisor does not have
//! to hold an address, which would keep the actor alive.
//!
//! Patience is counted in ticks of the watchdog's own timer, and each tick comes after the actor was polled. A busy
//! thread delays the watchdog as much as the actor, and missed ticks are not made up for.

use std::{cell::Cell, rc::Rc, sync::Arc, task::Context as Task, time::Duration};

use actix::{fut::wrap_future, prelude::*};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::instance::Instance;

/// Time between beats.
const BEAT_EVERY: Duration = Duration::from_millis(250);

/// An actor is stuck when it has owed a beat for this many ticks: after 1 s, and back well within 2 s.
const PATIENCE: u32 = 4;

/// See the [module](self).
pub(crate) struct Watchdog {
    ticks: Interval,
    answered: Rc<Cell<bool>>,
    owed_for: u32,
    instance: Arc<Instance>,
}

// ===== impl Watchdog =====

impl Watchdog {
    /// A watchdog for an actor that starts now.
    pub(crate) fn new(instance: Arc<Instance>) -> Self {
        let mut ticks = interval_at(Instant::now() + BEAT_EVERY, BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, answered: Rc::new(Cell::new(true)), owed_for: 0, instance }
    }

    /// Whether it is time for [`beat`](Self::beat); wakes the task when it is. The call itself shows that the thread is
    /// not blocked, whether or not the actor reads messages.
    pub(crate) fn poll_tick(&mut self, task: &mut Task<'_>) -> bool {
        let mut due = false;
        while self.ticks.poll_tick(task).is_ready() {
            self.instance.seen();
            due = true;
        }
        due
    }

    /// Gives the actor a beat, to be polled next, unless it owes one.
    pub(crate) fn beat<A: Actor<Context = Context<A>>>(&mut self, ctx: &mut Context<A>) {
        if self.answered.replace(false) {
            self.owed_for = 0;
            let answered = self.answered.clone();
            ctx.spawn(wrap_future::<_, A>(async move { answered.set(true) }));
        }
    }

    /// Whether the actor has answered its last beat.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.get()
    }

    /// Whether the actor is stuck. Call it once for each tick, after the beat and after the actor was polled.
    pub(crate) fn is_stuck(&mut self) -> bool {
        if self.answered.get() {
            self.instance.set_stuck(false);
            return false;
        }
        self.owed_for += 1;
        if self.owed_for > PATIENCE {
            self.instance.set_stuck(true);
        }
        self.owed_for > PATIENCE
    }

    /// The actor was restarted, and no longer owes a beat. If it was stuck, it counts as stuck until it answers a beat.
    pub(crate) fn restarted(&mut self) {
        self.answered.set(true);
    }
}

#[cfg(test)]
mod tests;
