use std::{cell::RefCell, rc::Rc, time::Duration};

use futures_util::future::{join_all, pending};
use prometheus::Registry;
use rstest::rstest;

use super::*;
use crate::{
    actors::vitals::ActorMetrics,
    testing::{Log, paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);
const AT_ONCE: Duration = Duration::from_millis(100);

/// How to fall, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fall {
    Panic,
    Stop,
}

/// What the test sees of the actor, whichever of its lives it is in.
#[derive(Default)]
struct World {
    /// What the next calls of `started` and `restarting` do; `true` in `always` repeats it for ever.
    in_started: Option<Fall>,
    in_restarting: Option<Fall>,
    always: bool,
    panics_when_dropped: bool,
    panics_in_stopped: bool,
    starts: Vec<Instant>,
    dropped: bool,
}

/// Falls on demand.
struct Faller {
    world: Rc<RefCell<World>>,
    /// Half of it changes before a fall in a handler: both are equal unless that is seen.
    state: (u32, u32),
    served: Vec<u32>,
}

#[derive(Message)]
#[rtype(result = "Vec<u32>")]
struct Serve(u32);

#[derive(Message)]
#[rtype(result = "(u32, u32)")]
struct State;

#[derive(Message)]
#[rtype(result = "()")]
struct FallInHandler(Fall);

#[derive(Message)]
#[rtype(result = "()")]
struct FallInActorFuture(Fall);

#[derive(Message)]
#[rtype(result = "()")]
struct PanicInFuture;

/// With a text that is made at run time, as one that holds personal data would be.
#[derive(Message)]
#[rtype(result = "()")]
struct PanicAbout(String);

/// An answer that needs the actor, and never comes.
#[derive(Message)]
#[rtype(result = "()")]
struct Hang;

impl World {
    fn shared() -> Rc<RefCell<Self>> {
        Rc::default()
    }
}

fn fall(fall: Fall, ctx: &mut Context<Faller>) {
    match fall {
        Fall::Panic => panic!("as told"),
        Fall::Stop => ctx.stop(),
    }
}

impl Actor for Faller {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let told = {
            let mut world = self.world.borrow_mut();
            world.starts.push(Instant::now());
            if world.always { world.in_started } else { world.in_started.take() }
        };
        if let Some(told) = told {
            fall(told, ctx);
        }
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        let panics = self.world.borrow().panics_in_stopped;
        assert!(!panics, "as told, in stopped");
    }
}

impl Supervised for Faller {
    fn restarting(&mut self, ctx: &mut Self::Context) {
        self.state = (0, 0);
        let told = {
            let mut world = self.world.borrow_mut();
            if world.always { world.in_restarting } else { world.in_restarting.take() }
        };
        if let Some(told) = told {
            fall(told, ctx);
        }
    }
}

impl Drop for Faller {
    fn drop(&mut self) {
        self.world.borrow_mut().dropped = true;
        let panics = self.world.borrow().panics_when_dropped;
        assert!(!panics, "as told, when dropped");
    }
}

impl Handler<Serve> for Faller {
    type Result = MessageResult<Serve>;

    fn handle(&mut self, msg: Serve, _: &mut Self::Context) -> Self::Result {
        self.served.push(msg.0);
        MessageResult(self.served.clone())
    }
}

impl Handler<State> for Faller {
    type Result = MessageResult<State>;

    fn handle(&mut self, _: State, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state)
    }
}

impl Handler<FallInHandler> for Faller {
    type Result = ();

    fn handle(&mut self, msg: FallInHandler, ctx: &mut Self::Context) {
        self.state.0 += 1;
        fall(msg.0, ctx);
        self.state.1 += 1;
    }
}

impl Handler<FallInActorFuture> for Faller {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, msg: FallInActorFuture, _: &mut Self::Context) -> Self::Result {
        let later = sleep(Duration::from_millis(1));
        Box::pin(later.into_actor(self).map(move |(), actor, ctx| {
            actor.state.0 += 1;
            fall(msg.0, ctx);
            actor.state.1 += 1;
        }))
    }
}

impl Handler<PanicInFuture> for Faller {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PanicInFuture, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("as told, in a future") })
    }
}

impl Handler<PanicAbout> for Faller {
    type Result = ();

    fn handle(&mut self, msg: PanicAbout, _: &mut Self::Context) {
        panic!("cannot handle {}", msg.0);
    }
}

impl Handler<Hang> for Faller {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Hang, _: &mut Self::Context) -> Self::Result {
        Box::pin(pending().into_actor(self))
    }
}

struct Test {
    address: Addr<Faller>,
    vitals: Arc<Vitals>,
    world: Rc<RefCell<World>>,
}

fn start() -> Test {
    start_in(World::shared())
}

fn start_in(world: Rc<RefCell<World>>) -> Test {
    let vitals = ActorMetrics::register(&Registry::new()).unwrap().vitals("faller");
    let actor = Faller { world: world.clone(), state: (0, 0), served: Vec::new() };
    let address = supervise(actor, RestartPolicy::default(), vitals.clone());
    Test { address, vitals, world }
}

impl Test {
    fn starts(&self) -> usize {
        self.world.borrow().starts.len()
    }
}

// ===== a fall =====

#[rstest]
#[case::panic_in_a_handler(Fall::Panic)]
#[case::stop_in_a_handler(Fall::Stop)]
fn an_actor_that_falls_in_a_handler_runs_again_at_once_and_serves_its_queue_in_order(#[case] how: Fall) {
    paused(async {
        let test = start();
        let begun = Instant::now();
        let falling = test.address.send(FallInHandler(how));
        let queued: Vec<_> = (1..=5).map(|number| test.address.send(Serve(number))).collect();

        // One that stops has handled its message; one that panics has not.
        assert_eq!(falling.await, if how == Fall::Panic { Err(MailboxError::Closed) } else { Ok(()) });
        let served: Vec<_> = join_all(queued).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(served.last().unwrap(), &[1, 2, 3, 4, 5]);
        assert!(begun.elapsed() <= AT_ONCE, "{:?}", begun.elapsed());
        assert_eq!((test.vitals.restarts(), test.starts()), (1, 2));
        assert!(!test.vitals.is_failing());
    });
}

#[rstest]
fn an_actor_that_falls_in_a_future_of_its_own_runs_again_at_once(
    #[values(Fall::Panic, Fall::Stop)] how: Fall,
) {
    paused(async {
        let test = start();
        let (falling, hanging) = (test.address.send(FallInActorFuture(how)), test.address.send(Hang));
        settle().await;
        let begun = Instant::now();
        let fallen = falling.await;
        assert!(how == Fall::Stop || fallen == Err(MailboxError::Closed));
        assert_eq!(test.address.send(Serve(1)).await.unwrap(), [1]);
        assert!(begun.elapsed() <= AT_ONCE, "{:?}", begun.elapsed());
        // What was under way in the actor itself is lost with it, and its caller knows.
        assert_eq!(hanging.await, Err(MailboxError::Closed));
        assert_eq!((test.vitals.restarts(), test.starts()), (1, 2));
    });
}

#[rstest]
#[case::in_started(true)]
#[case::in_restarting(false)]
fn an_actor_that_falls_while_it_starts_is_started_again(
    #[case] in_started: bool,
    #[values(Fall::Panic, Fall::Stop)] how: Fall,
) {
    paused(async {
        let test = start();
        if in_started {
            test.world.borrow_mut().in_started = Some(how);
        } else {
            settle().await;
            test.world.borrow_mut().in_restarting = Some(how);
            assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
        }
        let begun = Instant::now();
        assert_eq!(test.address.send(Serve(1)).await.unwrap(), [1]);
        assert!(begun.elapsed() <= 2 * AT_ONCE, "{:?}", begun.elapsed());
        assert_eq!(test.vitals.restarts(), if in_started { 1 } else { 2 });
    });
}

#[test]
fn a_panic_in_a_future_costs_only_its_caller() {
    paused(async {
        let test = start();
        let panicking = test.address.send(PanicInFuture);
        let beside = test.address.send(Serve(1));
        assert_eq!(panicking.await, Err(MailboxError::Closed));
        assert_eq!(beside.await.unwrap(), [1]);
        assert_eq!((test.vitals.restarts(), test.starts()), (0, 1));
    });
}

#[test]
fn a_restarted_actor_shows_no_half_changed_state() {
    paused(async {
        let test = start();
        assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
        assert_eq!(test.address.send(State).await.unwrap(), (0, 0));
    });
}

#[test]
fn an_address_outlives_any_number_of_falls() {
    paused(async {
        let test = start();
        for _ in 0..50 {
            assert!(test.address.send(FallInHandler(Fall::Panic)).await.is_err());
            assert_eq!(test.address.send(State).await.unwrap(), (0, 0));
        }
        assert_eq!(test.vitals.restarts(), 50);
    });
}

#[test]
fn restarts_are_counted_by_their_reason() {
    paused(async {
        let test = start();
        for how in [Fall::Panic, Fall::Stop, Fall::Panic] {
            let _ = test.address.send(FallInHandler(how)).await;
            test.address.send(State).await.unwrap();
        }
        assert_eq!((test.vitals.restarts_by(Reason::Panic), test.vitals.restarts_by(Reason::Stop)), (2, 1));
        assert_eq!(test.vitals.restarts(), 3);
    });
}

// ===== falling again and again =====

#[rstest]
fn an_actor_that_cannot_start_backs_off_is_marked_and_answers_within_a_second_of_the_cures(
    #[values(Fall::Panic, Fall::Stop)] how: Fall,
    #[values(true, false)] in_started: bool,
) {
    paused(async {
        let world = World::shared();
        {
            let mut world = world.borrow_mut();
            world.always = true;
            if in_started {
                world.in_started = Some(how);
            } else {
                world.in_restarting = Some(how);
            }
        }
        let test = start_in(world);
        settle().await;
        if !in_started {
            let _ = test.address.send(FallInHandler(how)).await;
        }
        let queued = test.address.send(Serve(1));

        sleep(30 * SECOND).await;
        let restarts = test.vitals.restarts();
        assert!((30..150).contains(&restarts), "{restarts} restarts in 30 s");
        assert!(test.vitals.is_failing());

        let cured = Instant::now();
        test.world.borrow_mut().always = false;
        test.world.borrow_mut().in_started = None;
        test.world.borrow_mut().in_restarting = None;
        assert_eq!(queued.await.unwrap(), [1]);
        assert!(cured.elapsed() <= SECOND, "{:?}", cured.elapsed());

        assert!(test.vitals.is_failing(), "it has to prove itself first");
        sleep(RestartPolicy::default().stable_after + Duration::from_millis(1)).await;
        assert!(!test.vitals.is_failing());
    });
}

#[test]
fn the_wait_between_restarts_grows() {
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let test = start_in(world);
        sleep(30 * SECOND).await;
        let starts = test.world.borrow().starts.clone();
        let first = starts[4] - starts[0];
        let last = starts[starts.len() - 1] - starts[starts.len() - 9];
        assert!(first < 300 * Duration::from_millis(1), "{first:?}");
        assert!(last > SECOND, "{last:?}");
    });
}

#[test]
fn falls_that_are_far_apart_do_not_mark_an_actor_as_failing() {
    paused(async {
        let test = start();
        let policy = RestartPolicy::default();
        for _ in 0..50 {
            let _ = test.address.send(FallInHandler(Fall::Panic)).await;
            test.address.send(State).await.unwrap();
            assert!(!test.vitals.is_failing());
            sleep(policy.window / 4).await;
        }
    });
}

#[test]
fn one_fall_more_than_the_window_allows_marks_an_actor_as_failing() {
    paused(async {
        let test = start();
        for falls in 1..=RestartPolicy::default().max_restarts + 1 {
            assert!(!test.vitals.is_failing(), "after {} falls", falls - 1);
            let _ = test.address.send(FallInHandler(Fall::Panic)).await;
            settle().await;
        }
        assert!(test.vitals.is_failing());
    });
}

/// Vitals are shared by all workers.
#[test]
fn an_actor_that_ends_while_failing_is_not_failing_for_ever() {
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let Test { address, vitals, .. } = start_in(world);
        sleep(10 * SECOND).await;
        assert!(vitals.is_failing());
        drop(address);
        sleep(SECOND).await;
        assert!(!vitals.is_failing());
    });
}

// ===== the end =====

#[rstest]
#[case::an_idle_actor(false)]
#[case::an_actor_with_a_future_that_never_ends(true)]
fn an_actor_ends_with_its_last_address_and_that_is_no_restart(#[case] busy: bool) {
    paused(async {
        let Test { address, vitals, world } = start();
        if busy {
            address.do_send(Hang);
        }
        settle().await;
        let other = address.clone();
        drop(address);
        settle().await;
        assert!(!world.borrow().dropped);
        drop(other);
        settle().await;
        assert!(world.borrow().dropped);
        assert_eq!(vitals.restarts(), 0);
    });
}

#[test]
fn what_was_sent_before_the_last_address_went_is_handled() {
    paused(async {
        let Test { address, .. } = start();
        let sent = address.send(Serve(1));
        drop(address);
        assert_eq!(sent.await.unwrap(), [1]);
    });
}

#[rstest]
#[case::when_dropped(true, false)]
#[case::when_stopped(false, true)]
fn an_actor_that_panics_at_shutdown_takes_nothing_else_down(#[case] dropped: bool, #[case] stopped: bool) {
    let world = World::shared();
    paused(async {
        let test = start_in(world.clone());
        settle().await;
        world.borrow_mut().panics_when_dropped = dropped;
        world.borrow_mut().panics_in_stopped = stopped;
        // The actor's thread ends while its address is still held.
        std::mem::forget(test.address);
    });
    assert!(world.borrow().dropped);
}

/// Whoever drops the supervisor itself need not catch anything.
#[test]
fn dropping_a_supervisor_does_not_panic() {
    let world = World::shared();
    paused(async {
        world.borrow_mut().panics_when_dropped = true;
        let actor = Faller { world: world.clone(), state: (0, 0), served: Vec::new() };
        let vitals = ActorMetrics::register(&Registry::new()).unwrap().vitals("faller");
        drop(Supervisor::new(Context::new().into_future(actor), RestartPolicy::default(), vitals));
    });
    assert!(world.borrow().dropped);
}

// ===== the log =====

#[test]
fn a_restart_is_logged_once_with_its_reason() {
    let (log, _guard) = Log::capture();
    paused(async {
        let test = start();
        let _ = test.address.send(FallInHandler(Fall::Panic)).await;
        test.address.send(State).await.unwrap();
    });
    assert_eq!(log.lines_with("actor restarts"), 1, "{}", log.text());
    for field in ["actor=\"faller\"", "reason=\"panic\"", "panic=\"as told\"", "delay_ms="] {
        assert_eq!(log.lines_with(field), 1, "{}", log.text());
    }
}

/// It could hold personal data.
#[test]
fn a_panics_text_that_was_made_at_run_time_is_not_logged() {
    let (log, _guard) = Log::capture();
    paused(async {
        let test = start();
        let secret = PanicAbout("79175002040".to_owned());
        let _ = test.address.send(secret).await;
        test.address.send(State).await.unwrap();
    });
    assert_eq!(log.lines_with("actor restarts"), 1, "{}", log.text());
    assert!(!log.text().contains("79175002040"), "{}", log.text());
}

#[test]
fn an_actor_that_starts_to_fail_and_one_that_is_well_again_are_logged_once() {
    let (log, _guard) = Log::capture();
    paused(async {
        let world = World::shared();
        world.borrow_mut().always = true;
        world.borrow_mut().in_started = Some(Fall::Panic);
        let test = start_in(world);
        sleep(10 * SECOND).await;
        test.world.borrow_mut().in_started = None;
        sleep(2 * SECOND).await;
    });
    assert_eq!(log.lines_with("actor is failing"), 1, "{}", log.text());
    assert_eq!(log.lines_with("actor is well again"), 1, "{}", log.text());
}
