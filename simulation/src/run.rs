//! One run: the service in its world, the faults of a script, and the oracles that look on.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use fastrand::Rng;
use scoring_api::{actors::Tree, deadline::Deadline};
use tokio::{
    runtime::{Builder, Handle},
    task::{LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};
use tracing::Level;

use crate::{
    callers,
    log::Log,
    script::{Excuses, Fault, Script, StoreKind},
    seed::Seed,
    service::{Fail, IN_FLIGHT, Service},
    world::{CLIENTS, FAILOVER, OLD_NEWS, SimulatedDisk, Stored, World, set_wall_clock, start_of_time},
};

/// The service has this long to start.
const START: Duration = Duration::from_millis(500);

/// The time without a fault and without an excuse, at the end of each run.
const CALM: Duration = Duration::from_secs(2);

/// The interval at which health is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A longer run is one in which memory is looked at: after a tenth of it, and at its end.
const LONG: Duration = Duration::from_secs(1_000);

/// The most bytes that memory may grow in that time. The log of the run is a part of it.
const MOST_GROWTH: u64 = 32 << 20;

/// A measured time may exceed its bound by the clock's resolution.
const RESOLUTION: Duration = Duration::from_millis(2);

/// The most changes of a store's state in a second.
const MOST_CHANGES: usize = 2;

/// The outcome of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The failures, each with its simulated time.
    pub failures: Vec<String>,
    /// The log, which is the same for the same seed and script.
    pub log: String,
    /// The simulated time.
    pub simulated: Duration,
}

/// A run under way.
pub struct Run {
    /// The world.
    pub world: World,
    /// The service.
    pub service: Service,
    /// The excuses of the script.
    pub excuses: Excuses,
    log: Log,
    start: Instant,
    end: Instant,
    failures: RefCell<Vec<String>>,
}

/// Runs `script`. Everything that it leaves open is drawn from `seed`.
pub fn run(script: &Script, seed: Seed, level: Level) -> Outcome {
    run_with(script, seed, level, |_| {})
}

/// As [`run`], after `change` has changed the world without the oracles' knowledge.
fn run_with(script: &Script, seed: Seed, level: Level, change: impl FnOnce(&World)) -> Outcome {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.unwrap_or_else(|error| unreachable!("{error}"));
    LocalSet::new().block_on(&runtime, play(script, seed, level, change))
}

async fn play(script: &Script, seed: Seed, level: Level, change: impl FnOnce(&World)) -> Outcome {
    fastrand::seed(seed.generator(1).u64(..));
    let (log, _guard) = Log::capture(level);
    set_wall_clock(start_of_time());
    let (start, excuses) = (Instant::now(), Excuses::of(script));
    let world = World::new(&script.plan);
    let at_once = script.happenings.iter().filter(|happening| happening.at.is_zero());
    at_once.for_each(|happening| world.begin(&happening.fault));
    let service = Service::start(&script.plan, &world);
    let end = start + excuses.last_end().max(script.last_end()).max(START) + CALM;
    let run = Rc::new(Run { world, service, excuses, log, start, end, failures: RefCell::default() });

    let mut tasks = vec![
        spawn_local(bring_about(run.clone(), script.clone())),
        spawn_local(change_interests(run.clone(), seed.generator(2))),
        spawn_local(look_on(run.clone())),
    ];
    sleep(START).await;
    change(&run.world);
    for number in 0..script.plan.callers + script.plan.impatient_callers {
        let random = seed.generator(3 + number as u64);
        tasks.push(spawn_local(callers::call_on(run.clone(), random, number < script.plan.callers)));
    }
    for task in tasks {
        if task.await.is_err() {
            run.failed("the simulation itself panicked");
        }
    }
    run.check_changes();
    let log = run.log.clone();
    let folder = run.world.disk.as_ref().map(SimulatedDisk::folder);
    let (mut failures, simulated) = (run.failures.take(), run.now());
    match Rc::try_unwrap(run) {
        Ok(run) => failures.extend(leftovers(run).await),
        Err(_) => failures.push("a task of the simulation goes on".to_owned()),
    }
    // The system chose its name.
    let log = folder.map_or_else(|| log.text(), |folder| log.text().replace(&folder, "FOLDER"));
    Outcome { failures, log, simulated }
}

/// Begins and ends the faults.
async fn bring_about(run: Rc<Run>, script: Script) {
    let mut events = Vec::new();
    for happening in &script.happenings {
        let (fault, at, end) = (&happening.fault, happening.at, happening.end());
        // The service has been started among the first ones.
        if !at.is_zero() {
            events.push((at, Event::Begins(fault)));
        }
        if let Some(server) =
            fault.server().filter(|_| fault.is_replaced(&script.plan) && at + FAILOVER < end)
        {
            events.push((at + FAILOVER, Event::FailsOver(server)));
        }
        events.push((end, Event::Ends(fault)));
        if script.plan.kind != StoreKind::One {
            events.push((end + OLD_NEWS, Event::NewsSpreads));
        }
    }
    events.sort_by_key(|(at, ..)| *at);
    for (at, event) in events {
        sleep_until(run.start + at).await;
        match event {
            Event::Begins(fault) => {
                run.log.say(&format_args!("begins: {fault}"));
                match fault {
                    Fault::Panic(actor) => run.service.fail(*actor, Fail::Panic),
                    Fault::Stuck(actor) => run.service.fail(*actor, Fail::GetStuck),
                    _ => run.world.begin(fault),
                }
            }
            Event::FailsOver(server) => {
                run.log.say(&format_args!("a replica takes the place of server {}", server + 1));
                run.world.fail_over(server);
            }
            Event::Ends(fault) => {
                run.log.say(&format_args!("ends: {fault}"));
                run.world.end(fault);
            }
            Event::NewsSpreads => run.world.spread_news(),
        }
    }
}

/// A step of the script.
enum Event<'a> {
    Begins(&'a Fault),
    Ends(&'a Fault),
    /// The primary has been away for long enough.
    FailsOver(usize),
    /// Members that were away learn the news.
    NewsSpreads,
}

/// Stores new interests again and again.
async fn change_interests(run: Rc<Run>, mut random: Rng) {
    let mut number = 0;
    // A file is opened and closed by each writer.
    let most_millis = if run.world.disk.is_some() { 2_000 } else { 400 };
    while !run.is_over() {
        sleep(Duration::from_millis(random.u64(20..most_millis))).await;
        number += 1;
        let client = random.i64(CLIENTS);
        // A value that a fault has put there is its own to change.
        if run.world.ledger.since(client, Instant::now()).last() != Some(&Stored::OtherKind) {
            let one_in_four = random.u8(..4) == 0;
            let stored = Stored::interests(&format!("number {number}"));
            run.world.store(client, if one_in_four { Stored::Nothing } else { stored });
        }
    }
}

/// Compares health with the script.
async fn look_on(run: Rc<Run>) {
    let whole = run.time_of(run.end);
    let mut resident_early = None;
    while !run.is_over() {
        sleep(LOOK_EVERY).await;
        let at = run.now();
        if at > whole / 10 && whole > LONG {
            resident_early.get_or_insert_with(resident);
        }
        if at < START * 2 {
            continue;
        }
        for (role, of_cache) in run.service.roles.iter().zip([true, false]) {
            let report = role.report();
            if !report.up && !run.excuses.wrong(of_cache, at) {
                run.failed(&format!("{} is not up, and nothing is wrong", role.role()));
            }
            if report.up && run.excuses.down(of_cache, at) {
                run.failed(&format!("{} is up, and its server serves nobody", role.role()));
            }
        }
        if !run.excuses.wrong(false, at) {
            for actor in run.service.actors.all() {
                if actor.is_failing() || actor.is_stuck() {
                    run.failed(&format!("{} is not well, and nothing is wrong", actor.name()));
                }
            }
        }
    }
    if let Some(early) = resident_early
        && resident() > early + MOST_GROWTH
    {
        run.failed(&format!("memory grew from {early} to {} bytes", resident()));
    }
}

/// The bytes of memory that this process uses.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// The leftovers once the service has ended.
async fn leftovers(run: Run) -> Vec<String> {
    let mut left = Vec::new();
    for (gauge, expected) in [("scoring_store_up", 1.0), ("scoring_store_breaker_state", 0.0)] {
        let values = run.service.gauge(gauge);
        if values.len() < 2 || values.iter().any(|value| *value != expected) {
            left.push(format!("{gauge} is {values:?} when all is well"));
        }
    }
    // A call that its caller has given up ends by its deadline.
    sleep(Duration::from_secs(1)).await;
    let deadline = Deadline::after(Instant::now(), Duration::from_secs(1));
    let permits: Vec<_> = (0..IN_FLIGHT).filter_map(|_| run.service.admission.admit(deadline).ok()).collect();
    if permits.len() < IN_FLIGHT {
        left.push(format!("{} calls are still admitted", IN_FLIGHT - permits.len()));
    }
    drop(permits);
    for name in Tree::NAMES {
        let waiting = run.service.actors.of(name).mailbox_depth();
        if waiting != 0 {
            left.push(format!("{waiting} messages wait for {name}"));
        }
    }
    let Service { tree, admission, roles, .. } = run.service;
    drop(tree);
    sleep(Duration::from_secs(10)).await;
    for server in run.world.servers.iter().chain(&run.world.sentinels) {
        if server.connections() > 0 {
            left.push(format!("{} connections to {} are open", server.connections(), server.name()));
        }
    }
    let tasks = Handle::current().metrics().num_alive_tasks();
    if tasks > 0 {
        left.push(format!("{tasks} tasks go on"));
    }
    // The links hold the health of their roles, and the dispatcher the admission.
    let held = roles.iter().map(Arc::strong_count).chain([Arc::strong_count(&admission)]);
    if held.clone().any(|count| count > 1) {
        left.push(format!("parts are still held: {:?}", held.collect::<Vec<_>>()));
    }
    left
}

// ===== impl Run =====

impl Run {
    /// The time since the start.
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// A time, from the start.
    pub fn time_of(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    /// Whether callers should stop.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Something was wrong.
    pub fn failed(&self, what: &str) {
        let failure = format!("at {:.3} s: {what}", self.now().as_secs_f64());
        self.log.say(&format_args!("FAILURE {failure}"));
        self.failures.borrow_mut().push(failure);
    }

    /// Fails if a call took longer than it may.
    pub fn check_time(&self, method: &str, begun: Instant, most: Duration) {
        let took = begun.elapsed();
        if took > most + RESOLUTION {
            self.failed(&format!("{method} took {took:?}"));
        }
    }

    /// Fails if the state of a role, or of a shard of it, changed too often in any second: each change is a line of the log.
    fn check_changes(&self) {
        let mut changes: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let text = self.log.text();
        for line in text.lines().filter(|line| line.contains("store is up") || line.contains("store is down"))
        {
            let mut words = line.split_whitespace();
            let Some(at) = words.next().and_then(|at| at.parse().ok()) else { continue };
            let of: Vec<_> =
                words.filter(|word| word.starts_with("role=") || word.starts_with("shard=")).collect();
            changes.entry(of.join(" ")).or_default().push(at);
        }
        for (of, times) in changes {
            for changes in times.windows(MOST_CHANGES + 1) {
                if changes[MOST_CHANGES] - changes[0] < 1.0 {
                    self.failed(&format!("{of} changed its state {} times in a second", changes.len()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
