mod endings;
mod failing;
mod falls;

use std::{cell::RefCell, rc::Rc, time::Duration};

use futures_util::future::{join_all, pending};
use rstest::rstest;

use super::*;
use crate::{
    health::ActorsHealth,
    testing::{Log, paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);
const AT_ONCE: Duration = Duration::from_millis(100);

/// How an actor falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fall {
    Panic,
    Stop,
}

/// The test's view of the actor, across its restarts.
#[derive(Default)]
struct World {
    /// The behaviour of the next calls of `started` and `restarting`; `true` in `always` repeats it for ever.
    in_started: Option<Fall>,
    in_restarting: Option<Fall>,
    always: bool,
    panics_when_dropped: bool,
    panics_in_stopped: bool,
    starts: Vec<Instant>,
    dropped: bool,
}

/// An actor that falls on demand.
struct FailingActor {
    world: Rc<RefCell<World>>,
    /// A fall in a handler changes only half of it: if the two differ, the restart kept a half-changed state.
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

/// Panics with a text that is made at run time, as a text with personal data would be.
#[derive(Message)]
#[rtype(result = "()")]
struct PanicAbout(String);

/// An answer that needs the actor, and never resolves.
#[derive(Message)]
#[rtype(result = "()")]
struct Hang;

impl World {
    fn shared() -> Rc<RefCell<Self>> {
        Rc::default()
    }
}

fn fall(fall: Fall, ctx: &mut Context<FailingActor>) {
    match fall {
        Fall::Panic => panic!("as told"),
        Fall::Stop => ctx.stop(),
    }
}

impl Actor for FailingActor {
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

impl Supervised for FailingActor {
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

impl Drop for FailingActor {
    fn drop(&mut self) {
        self.world.borrow_mut().dropped = true;
        let panics = self.world.borrow().panics_when_dropped;
        assert!(!panics, "as told, when dropped");
    }
}

impl Handler<Serve> for FailingActor {
    type Result = MessageResult<Serve>;

    fn handle(&mut self, msg: Serve, _: &mut Self::Context) -> Self::Result {
        self.served.push(msg.0);
        MessageResult(self.served.clone())
    }
}

impl Handler<State> for FailingActor {
    type Result = MessageResult<State>;

    fn handle(&mut self, _: State, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.state)
    }
}

impl Handler<FallInHandler> for FailingActor {
    type Result = ();

    fn handle(&mut self, msg: FallInHandler, ctx: &mut Self::Context) {
        self.state.0 += 1;
        fall(msg.0, ctx);
        self.state.1 += 1;
    }
}

impl Handler<FallInActorFuture> for FailingActor {
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

impl Handler<PanicInFuture> for FailingActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PanicInFuture, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("as told, in a future") })
    }
}

impl Handler<PanicAbout> for FailingActor {
    type Result = ();

    fn handle(&mut self, msg: PanicAbout, _: &mut Self::Context) {
        panic!("cannot handle {}", msg.0);
    }
}

impl Handler<Hang> for FailingActor {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Hang, _: &mut Self::Context) -> Self::Result {
        Box::pin(pending().into_actor(self))
    }
}

struct Test {
    address: Addr<FailingActor>,
    health: Arc<ActorHealth>,
    world: Rc<RefCell<World>>,
}

fn start() -> Test {
    start_in(World::shared())
}

fn start_in(world: Rc<RefCell<World>>) -> Test {
    start_by(world, RestartPolicy::default())
}

fn start_by(world: Rc<RefCell<World>>, policy: RestartPolicy) -> Test {
    let health = ActorsHealth::default().of("failing_actor");
    let actor = FailingActor { world: world.clone(), state: (0, 0), served: Vec::new() };
    let address = supervise(actor, policy, &health).address;
    Test { address, health, world }
}

impl Test {
    fn starts(&self) -> usize {
        self.world.borrow().starts.len()
    }
}
