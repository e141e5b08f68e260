//! A small model of calls on their way through the service: it predicts their latency under a load from the cost of one
//! call.
//!
//! - Calls arrive at random times (a Poisson process), whether or not earlier ones were answered.
//! - Each call uses the next connection in turn. It passes these stations: client, worker, store, worker, client. Client and
//!   worker use half of their CPU time before the store and half after it.
//! - Each worker is a thread with a queue, and so is the store. A connection belongs to one worker, all workers have the same
//!   number of connections, and a connection is busy until its call is answered. (The load generator uses the connection that
//!   has been idle longest; that is the same unless answers overtake each other.)
//! - A thread with work waits for a free core, first come, first served, and keeps the core until that piece of work is done.
//! - The time of a call beyond its CPU time (wake-ups, loopback) is drawn from measurements without load, and keeps no thread
//!   and no core busy.
//!
//! Pure and seeded: the same arguments give the same result. Times are in microseconds.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// Steps of a call, in order; client and worker have two pieces of work each.
const STEPS: [Step; 5] = [Step::Client, Step::Worker, Step::Store, Step::Worker, Step::Client];

/// The share of calls at the start that is not counted, while the queues fill.
const WARM_UP: f64 = 0.1;

/// The store's index among the threads; workers follow it.
const STORE: usize = 0;

/// CPU time of one call at each station, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    pub client: f64,
    pub worker: f64,
    /// 0 if the call does not reach the store.
    pub store: f64,
}

/// The modelled system.
#[derive(Debug, Clone)]
pub struct Model {
    pub workers: usize,
    /// Cores that the threads share.
    pub cores: usize,
    /// Whether clients and store have cores of their own in addition.
    pub is_apart: bool,
    pub connections: usize,
    pub demand: Demand,
    /// Time of a call beyond its demand: quantiles at equal distances, from minimum to maximum.
    pub rest: Vec<f64>,
}

/// Result of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Latencies, sorted.
    pub took: Vec<f64>,
    /// Calls answered a second.
    pub per_second: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Client,
    Worker,
    Store,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives(usize),
    /// A call's piece of work is done.
    Done(usize),
    /// The time of a call beyond its work has passed.
    Rested(usize),
}

#[derive(Debug, Clone, Copy, Default)]
struct Call {
    due: f64,
    begun: f64,
    step: usize,
    waited: bool,
}

#[derive(Debug, Default)]
struct Thread {
    is_busy: bool,
    waiting: VecDeque<usize>,
}

struct Run<'a> {
    model: &'a Model,
    now: f64,
    events: BinaryHeap<Reverse<(u64, usize, Event)>>,
    scheduled: usize,
    calls: Vec<Call>,
    threads: Vec<Thread>,
    /// For each connection its worker, and its calls: the first is in flight.
    connections: Vec<(usize, VecDeque<usize>)>,
    free_cores: usize,
    /// Calls whose thread waits for a core.
    ready: VecDeque<usize>,
    random: fastrand::Rng,
    took: Vec<f64>,
}

// ===== impl Demand =====

impl Demand {
    /// Demand at a share of the peak, interpolated between measurements at some shares, in order: linear between them, and
    /// constant beyond.
    pub fn at(measured: &[(f64, Self)], share: f64) -> Self {
        let above = measured.partition_point(|(at, _)| *at < share).min(measured.len().saturating_sub(1));
        let (Some(&(from, low)), Some(&(to, high))) =
            (measured.get(above.saturating_sub(1)), measured.get(above))
        else {
            return Self { client: 0.0, worker: 0.0, store: 0.0 };
        };
        let part = if to > from { ((share - from) / (to - from)).clamp(0.0, 1.0) } else { 0.0 };
        let between = |low: f64, high: f64| low + (high - low) * part;
        Self {
            client: between(low.client, high.client),
            worker: between(low.worker, high.worker),
            store: between(low.store, high.store),
        }
    }

    /// Sum over all stations.
    pub fn sum(self) -> f64 {
        self.client + self.worker + self.store
    }
}

// ===== impl Predicted =====

impl Predicted {
    /// The latency percentile at this share of calls.
    pub fn at(&self, share: f64) -> f64 {
        let index = (self.took.len() as f64 * share).ceil() as usize;
        self.took.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

// ===== impl Model =====

impl Model {
    /// Simulates this many calls at `rate` a second.
    pub fn simulate(&self, rate: f64, calls: usize, seed: u64) -> Predicted {
        let mut run = Run::new(self, rate, calls, seed);
        while let Some(Reverse((at, _, event))) = run.events.pop() {
            run.now = at as f64 / 1e3;
            match event {
                Event::Arrives(call) => run.arrive(call),
                Event::Done(call) => run.done(call),
                Event::Rested(call) => run.proceed(call),
            }
        }
        run.took.sort_by(f64::total_cmp);
        let per_second = calls as f64 / run.now * 1e6;
        Predicted { took: run.took, per_second }
    }
}

// ===== impl Run =====

impl<'a> Run<'a> {
    fn new(model: &'a Model, rate: f64, calls: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut workers: Vec<_> = (0..model.connections).map(|number| number % model.workers).collect();
        random.shuffle(&mut workers);
        let mut run = Self {
            model,
            now: 0.0,
            events: BinaryHeap::new(),
            scheduled: 0,
            calls: vec![Call::default(); calls],
            threads: (0..=model.workers).map(|_| Thread::default()).collect(),
            connections: workers.into_iter().map(|worker| (worker, VecDeque::new())).collect(),
            free_cores: model.cores,
            ready: VecDeque::new(),
            random,
            took: Vec::new(),
        };
        let mut due = 0.0;
        for call in 0..calls {
            due += -(1.0 - run.random.f64()).ln() * 1e6 / rate;
            run.calls[call].due = due;
            run.schedule(due, Event::Arrives(call));
        }
        run
    }

    fn schedule(&mut self, at: f64, event: Event) {
        self.scheduled += 1;
        // Whole nanoseconds have a total order, and the sequence number keeps the order of simultaneous events.
        self.events.push(Reverse(((at * 1e3) as u64, self.scheduled, event)));
    }

    fn connection(&mut self, call: usize) -> &mut (usize, VecDeque<usize>) {
        let number = call % self.connections.len();
        &mut self.connections[number]
    }

    fn arrive(&mut self, call: usize) {
        let (_, carried) = self.connection(call);
        carried.push_back(call);
        let is_first = carried.len() == 1;
        self.calls[call].waited = !is_first;
        if is_first {
            self.enter(call);
        }
    }

    /// The thread of a call's step, if the step has a thread with a queue.
    fn thread(&mut self, call: usize) -> Option<usize> {
        match STEPS[self.calls[call].step] {
            Step::Client => None,
            Step::Store => Some(STORE),
            Step::Worker => Some(1 + self.connection(call).0),
        }
    }

    /// A call has come to its next step.
    fn enter(&mut self, call: usize) {
        let Some(thread) = self.thread(call) else { return self.work(call) };
        let thread = &mut self.threads[thread];
        if thread.is_busy {
            thread.waiting.push_back(call);
        } else {
            thread.is_busy = true;
            self.work(call);
        }
    }

    /// Starts a call's piece of work, or queues it until a core is free.
    fn work(&mut self, call: usize) {
        if self.needs_core(call) {
            if self.free_cores == 0 {
                return self.ready.push_back(call);
            }
            self.free_cores -= 1;
        }
        let Call { due, waited, step, .. } = self.calls[call];
        if step == 0 {
            // As the load generator counts: its own late wake-up does not count, a busy connection does.
            self.calls[call].begun = if waited { due } else { self.now };
        }
        self.schedule(self.now + self.duration(call), Event::Done(call));
    }

    fn needs_core(&self, call: usize) -> bool {
        !self.model.is_apart || STEPS[self.calls[call].step] == Step::Worker
    }

    fn duration(&self, call: usize) -> f64 {
        let Demand { client, worker, store } = self.model.demand;
        match STEPS[self.calls[call].step] {
            Step::Client => client / 2.0,
            Step::Worker => worker / 2.0,
            Step::Store => store,
        }
    }

    fn done(&mut self, call: usize) {
        if self.needs_core(call) {
            self.free_cores += 1;
            if let Some(next) = self.ready.pop_front() {
                self.work(next);
            }
        }
        if let Some(thread) = self.thread(call) {
            let thread = &mut self.threads[thread];
            match thread.waiting.pop_front() {
                Some(next) => self.work(next),
                None => thread.is_busy = false,
            }
        }
        if self.calls[call].step + 2 == STEPS.len() {
            let rest = self.rest();
            return self.schedule(self.now + rest, Event::Rested(call));
        }
        self.proceed(call);
    }

    fn proceed(&mut self, call: usize) {
        self.calls[call].step += 1;
        if self.calls[call].step < STEPS.len() {
            return self.enter(call);
        }
        if call as f64 >= self.calls.len() as f64 * WARM_UP {
            self.took.push(self.now - self.calls[call].begun);
        }
        let (_, carried) = self.connection(call);
        carried.pop_front();
        if let Some(&next) = carried.front() {
            self.enter(next);
        }
    }

    fn rest(&mut self) -> f64 {
        let rest = &self.model.rest;
        let place = self.random.f64() * rest.len().saturating_sub(1) as f64;
        let (low, part) = (place as usize, place.fract());
        let at = |index: usize| rest.get(index).copied().unwrap_or(0.0);
        if part == 0.0 { at(low) } else { at(low) + (at(low + 1) - at(low)) * part }
    }
}

#[cfg(test)]
mod tests;
