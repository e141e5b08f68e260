use std::{cell::RefCell, future::pending, rc::Weak};

use futures_util::{FutureExt, future::BoxFuture};
use rstest::rstest;
use tokio::{
    sync::oneshot,
    time::{advance, sleep, timeout},
};

use super::*;
use crate::{
    health::{ActorHealth, ActorsHealth},
    report::RestartReason,
    restarts::RestartPolicy,
    supervisor::supervise,
    testing::{Log, paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// From stuck to back: at most one tick until the next beat is due, the patience, and the wait for a restart.
const BACK_WITHIN: Duration = Duration::from_millis(1_300);

/// The actor's instructions for each start.
#[derive(Default)]
struct InStarted {
    waits: bool,
    panics: bool,
}

struct Waiter {
    in_started: Rc<RefCell<InStarted>>,
    _alive: Rc<()>,
}

/// Makes the actor read no messages until this resolves.
#[derive(Message)]
#[rtype(result = "()")]
struct Wait(BoxFuture<'static, ()>);

/// An actor that reads its messages answers this at once.
#[derive(Message)]
#[rtype(result = "()")]
struct Hello;

/// Makes the actor fail.
#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Actor for Waiter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let told = self.in_started.borrow();
        assert!(!told.panics, "as told");
        if told.waits {
            ctx.wait(wrap_future(pending()));
        }
    }
}

impl Supervised for Waiter {}

impl Handler<Wait> for Waiter {
    type Result = ();

    fn handle(&mut self, wait: Wait, ctx: &mut Self::Context) {
        ctx.wait(wrap_future(wait.0));
    }
}

impl Handler<Hello> for Waiter {
    type Result = ();

    fn handle(&mut self, _: Hello, _: &mut Self::Context) {}
}

impl Handler<Panic> for Waiter {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("as told");
    }
}

struct Test {
    address: Addr<Waiter>,
    health: Arc<ActorHealth>,
    in_started: Rc<RefCell<InStarted>>,
    alive: Weak<()>,
}

fn start() -> Test {
    start_told(InStarted::default())
}

fn start_told(told: InStarted) -> Test {
    let health = ActorsHealth::default().of("waiter");
    start_another(told, health)
}

fn start_another(told: InStarted, health: Arc<ActorHealth>) -> Test {
    let (in_started, held) = (Rc::new(RefCell::new(told)), Rc::new(()));
    let alive = Rc::downgrade(&held);
    let actor = Waiter { in_started: in_started.clone(), _alive: held };
    let address = supervise(actor, RestartPolicy::default(), &health).address;
    Test { address, health, in_started, alive }
}

impl Test {
    async fn gets_stuck(&self) {
        self.address.do_send(Wait(Box::pin(pending())));
        settle().await;
    }

    /// Waits until the actor reads its messages.
    async fn says_hello(&self) {
        timeout(60 * SECOND, self.address.send(Hello)).await.expect("the actor is stuck").unwrap();
    }

    fn found_stuck(&self) -> u64 {
        self.health.restarts_by(RestartReason::Stuck)
    }
}

// ===== an actor that reads no messages =====

/// The result is the same at any point between two beats.
#[rstest]
fn row_32_a_stuck_actor_restarts_in_time_and_serves_its_queue(#[values(0, 1, 125, 249, 250)] after_ms: u64) {
    paused(async {
        let test = start();
        sleep(SECOND + Duration::from_millis(after_ms)).await;
        let begun = Instant::now();
        test.gets_stuck().await;
        test.says_hello().await;
        let took = begun.elapsed();
        assert!(took >= SECOND && took <= BACK_WITHIN, "{took:?}");

        sleep(10 * SECOND).await;
        assert_eq!((test.found_stuck(), test.health.restarts()), (1, 1));
    });
}

#[test]
fn an_actor_is_stuck_until_it_answers_a_beat() {
    paused(async {
        let test = start();
        test.gets_stuck().await;
        assert!(!test.health.is_stuck(), "nobody can know yet");
        test.says_hello().await;
        assert!(test.health.is_stuck(), "it has to prove itself first");
        sleep(BEAT_EVERY).await;
        assert!(!test.health.is_stuck());
    });
}

#[test]
fn an_actor_stuck_at_each_start_stays_stuck_then_failing() {
    paused(async {
        let test = start_told(InStarted { waits: true, ..InStarted::default() });
        sleep(BACK_WITHIN).await;
        let marked = Instant::now();
        let (mut failing, mut restarts, mut ever_failing) = (false, 0, false);
        while marked.elapsed() < 20 * SECOND {
            assert!(test.health.is_stuck(), "after {:?}", marked.elapsed());
            // Only a restart shows how often the actor fails. A while without one is not a sign of health.
            let restarted = test.health.restarts() > restarts;
            assert!(
                test.health.is_failing() || !failing || restarted,
                "well again after {:?}",
                marked.elapsed()
            );
            (failing, restarts) = (test.health.is_failing(), test.health.restarts());
            ever_failing |= failing;
            sleep(MILLI).await;
        }
        assert!(ever_failing);
        assert!((10..25).contains(&test.found_stuck()), "{}", test.found_stuck());

        test.in_started.borrow_mut().waits = false;
        let cured = Instant::now();
        test.says_hello().await;
        assert!(cured.elapsed() <= BACK_WITHIN + SECOND, "{:?}", cured.elapsed());
        sleep(SECOND).await;
        assert!(!test.health.is_stuck() && !test.health.is_failing());
    });
}

#[test]
fn the_restart_of_a_stuck_actor_is_logged_once_with_its_reason() {
    let (log, _guard) = Log::capture();
    paused(async {
        let test = start();
        test.gets_stuck().await;
        test.says_hello().await;
    });
    assert_eq!(log.lines_with("actor restarts"), 1, "{}", log.text());
    assert_eq!(log.lines_with("reason=\"stuck\""), 1, "{}", log.text());
}

// ===== what is no fault of the actor's =====

#[test]
fn waits_that_end_in_time_are_no_fault_however_many() {
    paused(async {
        let test = start();
        for _ in 0..50 {
            test.address.do_send(Wait(Box::pin(sleep(900 * MILLI))));
            test.says_hello().await;
            assert!(!test.health.is_stuck());
        }
        assert_eq!(test.health.restarts(), 0);
    });
}

/// The actor waits for another task of its thread, and cannot be polled: the clock jumps over seconds.
#[test]
fn a_thread_that_is_busy_is_not_held_against_its_actors() {
    paused(async {
        let test = start();
        let (tell, told) = oneshot::channel::<()>();
        test.address.do_send(Wait(Box::pin(async { _ = told.await })));
        settle().await;
        for _ in 0..3 {
            advance(10 * SECOND).await;
            settle().await;
        }
        tell.send(()).unwrap();
        test.says_hello().await;
        sleep(10 * SECOND).await;
        assert_eq!(test.health.restarts(), 0);
    });
}

#[test]
fn an_actor_that_waits_to_be_restarted_is_not_stuck() {
    paused(async {
        let test = start_told(InStarted { panics: true, ..InStarted::default() });
        let begun = Instant::now();
        while begun.elapsed() < 30 * SECOND {
            assert!(!test.health.is_stuck(), "after {:?}", begun.elapsed());
            sleep(10 * MILLI).await;
        }
        assert_eq!(test.found_stuck(), 0);
        assert!(test.health.restarts_by(RestartReason::Panic) > 10);
    });
}

/// A beat that was owed when the actor failed is not owed by the restarted actor.
#[test]
fn a_fall_while_a_beat_is_owed_leaves_no_trace() {
    paused(async {
        let test = start();
        for _ in 0..10 {
            test.address.do_send(Wait(Box::pin(sleep(900 * MILLI))));
            assert!(test.address.send(Panic).await.is_err());
            sleep(2 * SECOND).await;
        }
        assert_eq!((test.found_stuck(), test.health.restarts()), (0, 10));
    });
}

// ===== a thread that is blocked =====

#[test]
fn row_32_a_blocked_thread_is_reported_without_a_restart() {
    paused(async {
        let test = start();
        sleep(SECOND).await;
        advance(1_900 * MILLI).await;
        settle().await;
        assert!(!test.health.is_stuck(), "late is not blocked");
        // No task runs while the clock is advanced, and only this task asks.
        for _ in 0..2 {
            _ = advance(900 * MILLI).now_or_never();
            assert!(!test.health.is_stuck());
        }
        _ = advance(500 * MILLI).now_or_never();
        assert!(test.health.is_stuck());
        settle().await;
        assert!(!test.health.is_stuck());
        assert_eq!(test.health.restarts(), 0);
    });
}

// ===== the end =====

#[rstest]
#[case::a_healthy_one(false)]
#[case::one_that_is_stuck(true)]
fn a_watched_actor_ends_with_its_last_address(#[case] stuck: bool) {
    paused(async {
        let test = start();
        if stuck {
            test.gets_stuck().await;
        }
        sleep(BEAT_EVERY * 2).await;
        assert_eq!(test.alive.strong_count(), 1);
        drop(test.address);
        sleep(BEAT_EVERY + MILLI).await;
        assert_eq!(test.alive.strong_count(), 0);
        assert_eq!(test.health.restarts(), 0);
    });
}

/// All workers share the health: an actor that ends removes its own mark, and hides no other actor's.
#[test]
fn readiness_looks_at_every_actor_that_runs_and_at_no_other() {
    paused(async {
        let healthy = start();
        let stuck = start_another(InStarted { waits: true, ..InStarted::default() }, healthy.health.clone());
        let ends = start_another(InStarted::default(), healthy.health.clone());
        drop(ends);
        sleep(BACK_WITHIN).await;
        assert!(healthy.health.is_stuck());
        drop(stuck.address);
        sleep(3 * SECOND).await;
        assert!(!healthy.health.is_stuck());
    });
}
