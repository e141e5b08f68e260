//! `demo`: shows in one minute how the service fails and recovers, with the real service and the real client.
//!
//! # Layout
//!
//! - `phases`: the script, with a goal for each phase
//! - `store`: the store behind a switch, which injects every fault
//! - `service`: the service, in this process
//! - `load`: calls at a steady pace; `truth`: their questions and the right answers; `check`: the judgement of the answers
//! - `readiness`: the service's readiness, asked over HTTP
//! - `table`, `picture`: the measured numbers, for a terminal and for a page; `recording`: the file of the picture
//!
//! The faults come in by the store alone, which the demo hands to [`Application::assemble`](crate::app::Application::assemble)
//! as tests do. A panic in a look-up of the cache is a panic of the cache's actor, because the actor makes the look-up while
//! it handles the message.

mod check;
mod load;
mod phases;
mod picture;
mod readiness;
mod recording;
mod service;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod truth;

use std::{panic, path::PathBuf, time::Duration};

use clap::Args;
use tokio::{
    runtime::Builder,
    select,
    time::{Instant, MissedTickBehavior, interval},
};

pub(super) use self::check::Disproved;
use self::{
    check::Counts,
    load::{Load, RATE, RunningLoad},
    phases::{Goal, PATIENCE, Pace, Phase, Progress, SCRIPT, STOP, Seen},
    recording::Recording,
    service::Service,
    store::{INJECTED, Mode, SwitchedStore},
    table::{Row, Table},
};
use super::{failure::Failure, signals::Signals};
use crate::actors::runtime::note_panic;

/// The interval at which readiness is asked, and goals are judged.
const TICK: Duration = Duration::from_millis(100);

/// Ticks for a row of the table.
const ROW: u32 = 10;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Shorten every phase, and print a line for each: a smoke test of about ten seconds.
    #[arg(long)]
    check: bool,
    /// Write a picture of the run to this file, as SVG.
    #[arg(long, value_name = "FILE.svg")]
    record: Option<PathBuf>,
}

/// A service under load, and the rows that were measured so far.
struct Demo {
    service: Service,
    store: SwitchedStore,
    running: RunningLoad,
    pace: Pace,
    /// Maximum time beyond a phase's own until its goal is seen.
    patience: Duration,
    table: Table,
    begun: Instant,
    rows: Vec<Row>,
}

/// Runs the demo. Reads no settings of the user.
///
/// # Errors
///
/// If an answer was wrong, or a phase did not reach its goal.
pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    // A minute later would be too late to report a place that cannot be written.
    let recording = args.record.as_deref().map(Recording::open).transpose()?;
    report_other_panics();
    let pace = if args.check { Pace::Short } else { Pace::Full };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::Start)?;
    runtime.block_on(async {
        let mut signals = Signals::listen().map_err(Failure::Start)?;
        let store = SwitchedStore::new(truth::memory());
        select! {
            ended = play(store, pace, Table::on_stdout(), recording) => ended,
            stop = signals.next() => Err(Failure::Stopped { stop, consequence: " before the demo was over" }),
        }
    })
}

async fn play(
    store: SwitchedStore,
    pace: Pace,
    table: Table,
    recording: Option<Recording>,
) -> Result<(), Failure> {
    let mut demo = Demo::start(store, pace, table).await?;
    let played = demo.play(&SCRIPT).await;
    let (rows, last_line) = demo.finish(played).await?;
    recording.map_or(Ok(()), |recording| recording.write(&picture::svg(&rows, &last_line)))
}

/// Panics that the demo injects are a part of it, so only others are reported. The status page has the place of each.
fn report_other_panics() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        note_panic(panic);
        if panic.payload().downcast_ref::<&'static str>() != Some(&INJECTED) {
            report(panic);
        }
    }));
}

// ===== impl Demo =====

impl Demo {
    /// Starts service and load, and prints the head of the table.
    async fn start(store: SwitchedStore, pace: Pace, mut table: Table) -> Result<Self, Failure> {
        let service = Service::start(store.clone(), pace).await?;
        table.print(&format!(
            "The real service with two workers, on a store in this process that fails on command, and the real client: {RATE} calls a\n\
             second of each method. Each score is compared with the domain's own, interests with those that were stored.\n\
             Status page: http://{}/\n\n",
            service.admin
        ))?;
        table.begin()?;
        let running = Load::start(service.address, &service.authenticator)?;
        let (patience, begun, rows) = (PATIENCE, Instant::now(), Vec::new());
        Ok(Self { service, store, running, pace, patience, table, begun, rows })
    }

    /// Plays the phases, one after another.
    async fn play(&mut self, phases: &[Phase]) -> Result<(), Failure> {
        for phase in phases {
            self.phase(phase).await?;
        }
        Ok(())
    }

    /// Stops the service under load, waits for the last answers and for the service's end, and prints the result. The outcome is
    /// the rows and the last line.
    ///
    /// # Errors
    ///
    /// The failure of the phases before, a wrong answer, or a service that did not stop.
    async fn finish(mut self, played: Result<(), Failure>) -> Result<(Vec<Row>, String), Failure> {
        let stopped = match played {
            Ok(()) => {
                self.service.stop();
                self.phase(&STOP).await
            }
            Err(failure) => {
                self.service.stop();
                Err(failure)
            }
        };
        // As a load balancer does within the grace period: no further calls for a service that is not ready. Those that were made are
        // all answered.
        let load = self.running.stop().await;
        let ended = self.service.ended().await.map_err(Disproved::Stop);
        let last_line = load.tally().last_line();
        self.table.print(&format!("\n{last_line}\n"))?;
        load.tally().verdict()?;
        stopped?;
        ended?;
        Ok((self.rows, last_line))
    }

    /// Plays a phase for its time, and then until its goal is seen.
    async fn phase(&mut self, phase: &Phase) -> Result<(), Failure> {
        let load = self.running.load();
        // Before the store is: a call that is under way may be the first one to be refused.
        if phase.goal == Goal::StoreAway {
            load.set_away(true);
        }
        load.tally().forget_streak();
        let (begun, least) = (Instant::now(), phase.least(self.pace));
        let before = Progress::now(&self.store, &readiness::ask(self.service.admin).await);
        self.store.switch_to(phase.mode);

        let (mut seen, mut row, mut row_begun) = (Seen::default(), Counts::default(), begun);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        ticks.tick().await;
        for tick in 1u32.. {
            ticks.tick().await;
            let counts = load.take();
            seen.scores += counts.scores;
            seen.away += counts.away;
            row.add(&counts);
            seen.streak = load.tally().streak();
            seen.readiness = readiness::ask(self.service.admin).await;
            seen.progress = Progress::now(&self.store, &seen.readiness).since(before);

            let is_row = self.pace == Pace::Full && tick.is_multiple_of(ROW);
            let may_end = (is_row || self.pace == Pace::Short) && begun.elapsed() + TICK / 2 >= least;
            let is_over = may_end && phase.goal.is_met(&seen);
            if is_row || is_over {
                let (phase, at, took) = (phase.name, self.begun.elapsed(), row_begun.elapsed());
                let readiness = seen.readiness.status.clone();
                let measured = Row { phase, at, took, counts: std::mem::take(&mut row), readiness };
                row_begun = Instant::now();
                self.table.row(&measured)?;
                self.rows.push(measured);
            }
            if is_over {
                break;
            }
            if begun.elapsed() >= least + self.patience {
                let (name, goal) = (phase.name, phase.goal.as_str());
                return Err(Disproved::phase(name, goal, least + self.patience, &seen.readiness).into());
            }
        }
        if phase.mode == Mode::Serving {
            load.set_away(false);
        }
        Ok(())
    }
}
