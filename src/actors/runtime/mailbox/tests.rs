use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;

use prometheus::Registry;
use rstest::rstest;
use tokio::time::Instant;

use super::*;
use crate::{
    actors::{
        runtime::{NamedActor, health::ActorsHealth},
        testing::{Act, Peer},
    },
    testing::{paused, settle},
};

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Ping;

fn health() -> Arc<ActorHealth> {
    ActorsHealth::register(&Registry::new(), &[]).unwrap().of("peer")
}

#[test]
fn a_message_counts_until_it_is_taken_not_until_it_is_answered() {
    paused(async {
        let (health, peer) = (health(), Peer::new(Act::<Ping>::Hang));
        let mailbox = peer.mailbox_of(&health);
        let waiting = [mailbox.send(Ping, Asker::Outside), mailbox.send(Ping, Asker::Outside)];
        mailbox.do_send(Ping);
        assert_eq!(health.mailbox_depth().get(), 3);
        settle().await;
        assert_eq!((peer.received.get(), health.mailbox_depth().get()), (3, 0));
        drop(waiting);
    });
}

#[test]
fn a_message_is_dropped_and_uncounted_when_its_sender_gives_up() {
    paused(async {
        let (health, peer) = (health(), Peer::new(Act::<Ping>::Hang));
        let mailbox = peer.mailbox_of(&health);
        let mut given_up = Box::pin(mailbox.send(Ping, Asker::Outside));
        assert!((&mut given_up).now_or_never().is_none());
        assert_eq!(health.mailbox_depth().get(), 1);
        drop(given_up);
        settle().await;
        assert_eq!((peer.received.get(), health.mailbox_depth().get()), (0, 0));
    });
}

#[test]
fn a_message_to_an_actor_that_fell_does_not_count() {
    paused(async {
        let (health, peer) = (health(), Peer::new(Act::<Ping>::Panic));
        let mailbox = peer.mailbox_of(&health);
        assert!(mailbox.send(Ping, Asker::Outside).await.is_err());
        // This actor is not supervised.
        assert!(mailbox.send(Ping, Asker::Outside).await.is_err());
        mailbox.do_send(Ping);
        assert_eq!(health.mailbox_depth().get(), 0);
    });
}

/// Answers after a second, and counts the answers that it began and those that it ended.
#[derive(Debug, Clone, Default)]
struct Slow {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

#[derive(Debug, Message)]
#[rtype(result = "ThreadId")]
struct Work {
    panics: bool,
}

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Supervised for Slow {}

impl NamedActor for Slow {
    const NAME: &'static str = "slow";
}

handle_sent!(Slow: Work);

impl Handler<Work> for Slow {
    type Result = ActorReply<ThreadId>;

    fn handle(&mut self, Work { panics }: Work, _: &mut Self::Context) -> Self::Result {
        let Self { begun, ended } = self.clone();
        ActorReply::Later(Box::pin(async move {
            begun.fetch_add(1, Relaxed);
            tokio::time::sleep(SECOND).await;
            assert!(!panics, "as told");
            ended.fetch_add(1, Relaxed);
            thread::current().id()
        }))
    }
}

impl Slow {
    fn mailbox(&self) -> Mailbox<Work> {
        Mailbox::new(self.clone().start(), &health())
    }

    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Relaxed), self.ended.load(Relaxed))
    }
}

const SECOND: Duration = Duration::from_secs(1);

fn in_seconds(seconds: u64) -> Deadline {
    Deadline::after(Instant::now(), Duration::from_secs(seconds))
}

type Ask = fn(&Mailbox<Work>, Work, Deadline) -> LocalBoxFuture<'static, Result<ThreadId, Unanswered>>;

const OUTSIDE: Ask = |mailbox, work, deadline| Box::pin(mailbox.ask(work, deadline));
const ACTOR: Ask = |mailbox, work, deadline| Box::pin(mailbox.delegate(work, deadline));

#[rstest]
fn work_for_an_asker_ends_with_the_asker_and_other_work_goes_on(#[values(OUTSIDE, ACTOR)] ask: Ask) {
    paused(async {
        let slow = Slow::default();
        let mailbox = slow.mailbox();
        let mut leaves = ask(&mailbox, Work { panics: false }, in_seconds(10));
        let mut late = ask(&mailbox, Work { panics: false }, Deadline::after(Instant::now(), SECOND / 2));
        mailbox.do_send(Work { panics: false });
        settle().await;
        assert!((&mut leaves).now_or_never().is_none() && (&mut late).now_or_never().is_none());
        settle().await;
        assert_eq!(slow.counts(), (3, 0));
        drop(leaves);
        assert_eq!(late.await, Err(Unanswered::Late));
        tokio::time::sleep(2 * SECOND).await;
        assert_eq!(slow.counts(), (3, 1));
    });
}

#[rstest]
fn a_panic_of_a_reply_reaches_neither_the_asker_nor_the_actor(#[values(OUTSIDE, ACTOR)] ask: Ask) {
    paused(async {
        let slow = Slow::default();
        let mailbox = slow.mailbox();
        let lost = ask(&mailbox, Work { panics: true }, in_seconds(10));
        assert_eq!(lost.await, Err(Unanswered::Lost));
        assert!(ask(&mailbox, Work { panics: false }, in_seconds(10)).await.is_ok());
    });
}

/// The operators' listener asks the workers' dispatchers.
#[test]
fn work_for_another_thread_is_done_on_the_actors_own() {
    paused(async {
        let slow = Slow::default();
        let mailbox = slow.mailbox();
        let asker = thread::spawn(move || {
            System::new().block_on(async { mailbox.ask(Work { panics: false }, in_seconds(10)).await })
        });
        while !asker.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(asker.join().unwrap(), Ok(thread::current().id()));
    });
}
