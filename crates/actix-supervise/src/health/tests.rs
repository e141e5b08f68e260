use std::{thread, time::Duration};

use actix::prelude::*;
use futures_util::FutureExt;
use rstest::rstest;
use tokio::time::{advance, sleep};

use super::*;
use crate::{
    handle_sent,
    mailbox::Mailbox,
    panics::record_panic_places,
    report::{ActorState, LastRestart},
    runtime::{ActorRuntime, NamedActor, Spawned},
    testing::{paused, settle},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

struct Worker;

/// Keeps the thread busy for a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Work(Duration);

#[derive(Debug, Message)]
#[rtype(result = "()")]
enum Fall {
    Panic,
    PanicAbout(String),
    Resume,
    Stop,
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Supervised for Worker {}

impl NamedActor for Worker {
    const NAME: &'static str = "worker";
}

handle_sent!(Worker: Work);
handle_sent!(Worker: Fall);

impl Handler<Work> for Worker {
    type Result = ();

    fn handle(&mut self, Work(time): Work, _: &mut Self::Context) {
        // The clock of the test stands still but for this.
        _ = advance(time).now_or_never();
    }
}

impl Handler<Fall> for Worker {
    type Result = ();

    fn handle(&mut self, fall: Fall, ctx: &mut Self::Context) {
        match fall {
            Fall::Panic => panic!("as told"),
            Fall::PanicAbout(person) => panic!("cannot handle {person}"),
            Fall::Resume => std::panic::resume_unwind(Box::new("resumed")),
            Fall::Stop => ctx.stop(),
        }
    }
}

fn start() -> (ActorRuntime, Spawned<Worker>) {
    let runtime = ActorRuntime::default();
    let worker = runtime.spawn(Worker);
    (runtime, worker)
}

fn report(runtime: &ActorRuntime) -> ActorReport {
    let mut reports = runtime.health.report();
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0)
}

#[test]
fn a_new_actor_has_an_empty_report() {
    paused(async {
        let (runtime, _worker) = start();
        let expected = ActorReport {
            name: "worker",
            worker: 0,
            state: ActorState::Running,
            restarts: 0,
            mailbox: 0,
            handled: 0,
            waited: Duration::ZERO,
            busy: Duration::ZERO,
            last_restart: None,
        };
        assert_eq!(report(&runtime), expected);
    });
}

#[test]
fn a_report_has_the_waits_and_the_work_of_messages() {
    paused(async {
        let (runtime, worker) = start();
        let mailbox: Mailbox<Work> = worker.mailbox();
        settle().await;
        mailbox.do_send(Work(3 * MILLI));
        assert_eq!(report(&runtime).mailbox, 1);
        // The first waits for 5 ms, and the second for the first as well.
        advance(5 * MILLI).await;
        settle().await;
        let seen = report(&runtime);
        assert_eq!((seen.handled, seen.mailbox), (1, 0));
        assert!(seen.busy >= 3 * MILLI && seen.busy < 5 * MILLI, "{seen:?}");

        for _ in 0..2 {
            mailbox.do_send(Work(10 * MILLI));
        }
        let before = seen;
        settle().await;
        let seen = report(&runtime);
        assert_eq!(seen.handled, 3);
        let (waited, busy) = (seen.waited - before.waited, seen.busy - before.busy);
        assert!(waited >= 10 * MILLI && waited < 13 * MILLI, "{waited:?}");
        assert!(busy >= 20 * MILLI && busy < 23 * MILLI, "{busy:?}");
        assert_eq!(runtime.health.of("worker").totals().handled, 3);
    });
}

#[test]
fn work_before_a_panic_counts() {
    paused(async {
        let (runtime, worker) = start();
        worker.mailbox::<Work, ()>().do_send(Work(10 * MILLI));
        worker.mailbox::<Fall, ()>().do_send(Fall::Panic);
        settle().await;
        let seen = report(&runtime);
        assert_eq!(seen.handled, 2);
        assert!(seen.busy >= 10 * MILLI, "{seen:?}");
    });
}

#[rstest]
#[case::panic(Fall::Panic, RestartReason::Panic, Some("as told"), true)]
#[case::a_message_made_at_run_time(Fall::PanicAbout("79175002040".into()), RestartReason::Panic, None, true)]
#[case::a_panic_without_a_hook(Fall::Resume, RestartReason::Panic, Some("resumed"), false)]
#[case::stop(Fall::Stop, RestartReason::Stop, None, false)]
fn the_last_restart_has_its_reason_place_and_literal(
    #[case] fall: Fall,
    #[case] reason: RestartReason,
    #[case] literal: Option<&str>,
    #[case] has_place: bool,
) {
    record_panic_places();
    paused(async {
        let (runtime, worker) = start();
        worker.mailbox::<Fall, ()>().do_send(fall);
        settle().await;
        let seen = report(&runtime);
        assert_eq!(seen.restarts, 1);
        let LastRestart { reason: found, place, message, .. } = seen.last_restart.unwrap();
        assert_eq!((found, message), (reason, literal));
        assert_eq!(place.is_some(), has_place, "{place:?}");
        if let Some(place) = place {
            let file = file!();
            assert!(place.starts_with(&format!("{file}:")), "{place} is not in {file}");
        }
    });
}

#[rstest]
#[case::just_before(Duration::ZERO, true)]
#[case::long_before(2 * SECOND, false)]
fn a_resumed_panic_has_no_place_of_an_older_panic(#[case] before: Duration, #[case] has_place: bool) {
    record_panic_places();
    paused(async {
        let (runtime, worker) = start();
        // As a task of the actor's thread does.
        assert!(std::panic::catch_unwind(|| panic!("as told")).is_err());
        advance(before).await;
        worker.mailbox::<Fall, ()>().do_send(Fall::Resume);
        settle().await;
        assert_eq!(report(&runtime).last_restart.unwrap().place.is_some(), has_place);
    });
}

#[test]
fn an_actor_is_restarting_until_it_runs_again() {
    paused(async {
        let (runtime, worker) = start();
        let falls = worker.mailbox::<Fall, ()>();
        let mut states = Vec::new();
        // The wait before a restart is random, and may be short.
        for _ in 0..5 {
            falls.do_send(Fall::Stop);
            for _ in 0..200 {
                states.push(report(&runtime).state);
                sleep(MILLI).await;
            }
        }
        assert!(states.contains(&ActorState::Restarting), "{states:?}");
        assert_eq!(states.last(), Some(&ActorState::Running));
        falls.do_send(Fall::Stop);
        settle().await;
        assert_eq!(report(&runtime).state, ActorState::Failing);
        sleep(3 * SECOND).await;
        assert_eq!(report(&runtime).state, ActorState::Running);
    });
}

#[test]
fn an_actor_on_a_blocked_thread_is_stuck_in_its_report() {
    paused(async {
        let (runtime, _worker) = start();
        sleep(SECOND).await;
        // No task runs while the clock is advanced. Other threads read the health meanwhile.
        for _ in 0..3 {
            _ = advance(SECOND).now_or_never();
            report(&runtime);
        }
        assert_eq!(report(&runtime).state, ActorState::Stuck);
        assert!(runtime.health.longest_block() > 2 * SECOND);
        settle().await;
        assert!(runtime.health.longest_block() < SECOND / 2);
    });
}

/// It was stopped, or its machine was moved: no thread could give a sign of life, and none is blocked.
#[test]
fn a_process_that_stood_still_has_no_stuck_actors() {
    paused(async {
        let (runtime, _worker) = start();
        sleep(SECOND).await;
        _ = advance(600 * SECOND).now_or_never();
        assert_eq!(report(&runtime).state, ActorState::Running);
        assert!(runtime.health.longest_block() < 2 * SECOND);
    });
}

#[test]
fn an_actor_that_ends_leaves_its_work_in_the_totals() {
    paused(async {
        let (runtime, worker) = start();
        worker.mailbox::<Work, ()>().do_send(Work(MILLI));
        settle().await;
        drop(worker);
        settle().await;
        assert!(runtime.health.report().is_empty());
        let totals = runtime.health.of("worker").totals();
        assert_eq!((totals.handled, totals.busy >= MILLI), (1, true), "{totals:?}");

        let again = runtime.spawn(Worker);
        again.mailbox::<Work, ()>().do_send(Work(MILLI));
        settle().await;
        assert_eq!(runtime.health.of("worker").totals().handled, 2);
        assert_eq!(report(&runtime).handled, 1);
    });
}

#[test]
fn actors_of_one_thread_have_one_number() {
    let runtime = ActorRuntime::default();
    let workers = |runtime: &ActorRuntime| {
        let mut workers: Vec<_> = runtime.health.report().iter().map(|actor| actor.worker).collect();
        workers.sort_unstable();
        workers
    };
    paused(async {
        let here = [runtime.spawn(Worker), runtime.spawn(Worker)];
        for _ in 0..2 {
            let (there, told) = (runtime.clone(), workers);
            let seen = thread::spawn(move || {
                paused(async {
                    let _worker = there.spawn(Worker);
                    settle().await;
                    told(&there)
                })
            });
            // The second thread gets the number of the first, which has ended.
            assert_eq!(seen.join().unwrap(), [0, 0, 1]);
        }
        assert_eq!(workers(&runtime), [0, 0]);
        drop(here);
    });
}

#[test]
fn names_are_reported_before_their_actors_start() {
    let health = ActorsHealth::of_names(&["one", "other"]);
    let names: Vec<_> = health.all().iter().map(|actor| actor.name()).collect();
    assert_eq!(names, ["one", "other"]);
    assert!(health.report().is_empty());
}
