use std::{
    cell::RefCell,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread::{self, ThreadId},
    time::Duration,
};

use futures_util::future::LocalBoxFuture;
use rstest::rstest;

use super::*;
use crate::{
    runtime::NamedActor,
    testing::{Log, paused, settle},
};

const SECOND: Duration = Duration::from_secs(1);

fn in_seconds(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}

/// Counts the messages that it takes, and never answers.
#[derive(Debug, Default)]
struct Silent(Arc<AtomicUsize>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Ping;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Panic;

impl Actor for Silent {
    type Context = Context<Self>;
}

impl Supervised for Silent {}

impl NamedActor for Silent {
    const NAME: &'static str = "silent";
}

handle_sent!(Silent: Ping);
handle_sent!(Silent: Panic);

impl Handler<Ping> for Silent {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Ping, _: &mut Self::Context) -> Self::Result {
        self.0.fetch_add(1, Relaxed);
        Box::pin(std::future::pending())
    }
}

impl Handler<Panic> for Silent {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Self::Context) {
        panic!("as told");
    }
}

impl Silent {
    /// Mailboxes of an actor that is not supervised, and the number of messages that it took.
    fn start_alone() -> (Mailbox<Ping>, Mailbox<Panic>, Arc<AtomicUsize>) {
        let silent = Self::default();
        let (taken, instance) = (silent.0.clone(), Arc::new(Instance::new(Self::NAME, 0, Arc::default())));
        let address = silent.start();
        (Mailbox::new(address.clone(), instance.clone()), Mailbox::new(address, instance), taken)
    }
}

#[test]
fn a_message_counts_until_it_is_taken_not_until_it_is_answered() {
    paused(async {
        let (mailbox, _, taken) = Silent::start_alone();
        let waiting = [mailbox.send(Ping, Asker::Outside), mailbox.send(Ping, Asker::Outside)];
        mailbox.do_send(Ping);
        assert_eq!(mailbox.instance.mailbox_depth(), 3);
        settle().await;
        assert_eq!((taken.load(Relaxed), mailbox.instance.mailbox_depth()), (3, 0));
        drop(waiting);
    });
}

#[test]
fn a_message_is_dropped_and_uncounted_when_its_sender_gives_up() {
    paused(async {
        let (mailbox, _, taken) = Silent::start_alone();
        let mut given_up = Box::pin(mailbox.send(Ping, Asker::Outside));
        assert!((&mut given_up).now_or_never().is_none());
        assert_eq!(mailbox.instance.mailbox_depth(), 1);
        drop(given_up);
        settle().await;
        assert_eq!((taken.load(Relaxed), mailbox.instance.mailbox_depth()), (0, 0));
    });
}

#[test]
fn a_message_to_an_actor_that_fell_does_not_count() {
    paused(async {
        let (pings, panics, _) = Silent::start_alone();
        assert!(panics.send(Panic, Asker::Outside).await.is_err());
        // This actor is not supervised.
        assert!(pings.send(Ping, Asker::Outside).await.is_err());
        pings.do_send(Ping);
        assert_eq!(pings.instance.mailbox_depth(), 0);
    });
}

#[test]
fn a_weak_mailbox_does_not_keep_its_actor() {
    paused(async {
        let (mailbox, other, _) = Silent::start_alone();
        drop(other);
        let weak = mailbox.downgrade();
        assert!(weak.upgrade().is_some_and(|same| same.is_same(&mailbox)));
        drop(mailbox);
        settle().await;
        assert!(weak.upgrade().is_none());
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
        Mailbox::unsupervised(self.clone().start())
    }

    fn counts(&self) -> (usize, usize) {
        (self.begun.load(Relaxed), self.ended.load(Relaxed))
    }
}

type Ask = fn(&Mailbox<Work>, Work, Instant) -> LocalBoxFuture<'static, Result<ThreadId, Unanswered>>;

const OUTSIDE: Ask = |mailbox, work, deadline| Box::pin(mailbox.ask(work, deadline));
const ACTOR: Ask = |mailbox, work, deadline| Box::pin(mailbox.delegate(work, deadline));

#[rstest]
fn work_for_an_asker_ends_with_the_asker_and_other_work_goes_on(#[values(OUTSIDE, ACTOR)] ask: Ask) {
    paused(async {
        let slow = Slow::default();
        let mailbox = slow.mailbox();
        let mut leaves = ask(&mailbox, Work { panics: false }, in_seconds(10));
        let mut late = ask(&mailbox, Work { panics: false }, Instant::now() + SECOND / 2);
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

// ===== traces =====

thread_local! {
    static ADOPTED: RefCell<Vec<Option<&'static str>>> = const { RefCell::new(Vec::new()) };
}

/// Notes the names of the spans that have an origin.
#[derive(Debug)]
struct Noted;

impl Origin for Noted {
    fn of(span: &Span) -> Option<Self> {
        (!span.is_none()).then_some(Self)
    }

    fn adopt(&self, span: &Span) {
        ADOPTED.with_borrow_mut(|adopted| adopted.push(span.metadata().map(|span| span.name())));
    }
}

handle_sent!(Slow: Work, Noted);

#[test]
fn only_a_message_that_no_one_waits_for_has_an_origin() {
    let (_log, _guard) = Log::capture();
    paused(async {
        let mailbox = Mailbox::<Work, Noted>::unsupervised(Slow::default().start());
        let sender = tracing::info_span!("sender");
        sender.in_scope(|| mailbox.do_send(Work { panics: false }));
        let _asked = sender.in_scope(|| mailbox.ask(Work { panics: false }, in_seconds(10)));
        settle().await;
        assert_eq!(ADOPTED.take(), [Some("slow")]);
    });
}
