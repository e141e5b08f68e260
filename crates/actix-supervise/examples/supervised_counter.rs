//! An actor that panics on each third message. Its address stays valid, and other messages are answered.

#![allow(clippy::print_stdout, reason = "it prints")]

use std::time::Duration;

use actix::prelude::*;
use actix_supervise::{ActorRuntime, NamedActor, handle_sent, record_panic_places};
use tokio::time::Instant;

#[derive(Message)]
#[rtype(result = "u32")]
struct Count;

struct Counter(u32);

impl Actor for Counter {
    type Context = Context<Self>;
}

impl Supervised for Counter {}

impl NamedActor for Counter {
    const NAME: &'static str = "counter";
}

impl Handler<Count> for Counter {
    type Result = u32;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> u32 {
        self.0 += 1;
        assert!(!self.0.is_multiple_of(3), "a third message");
        self.0
    }
}

handle_sent!(Counter: Count);

fn main() {
    record_panic_places();
    System::new().block_on(async {
        let runtime = ActorRuntime::default();
        let counter = runtime.spawn(Counter(0)).mailbox::<Count, ()>();
        for message in 1..=7 {
            let answer = counter.ask(Count, Instant::now() + Duration::from_secs(5)).await;
            println!("message {message}: {answer:?}");
        }
        for actor in runtime.health.report() {
            let restart = actor.last_restart.as_ref();
            let (message, place) =
                (restart.and_then(|last| last.message), restart.and_then(|last| last.place.as_deref()));
            println!("{}: {} restarts, the last by {message:?} in {place:?}", actor.name, actor.restarts);
        }
    });
}
