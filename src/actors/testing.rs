//! A peer that answers as a test tells it to, and the parts of a dispatcher.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix::prelude::*;
use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use prometheus::Registry;
use tracing::Span;

use super::runtime::{ActorReply, Mailbox, Sent};
use crate::{
    actors::{
        active_card::ActiveCard,
        cache_lookups::CacheLookups,
        card_metrics::{CardMetrics, Source},
        dispatcher::DispatcherPlan,
        near_cache::NearCache,
        scoring::Rated,
    },
    admission::Admission,
    domain::{self, AuthPolicy, Authenticator, Card, Score, TimeZoneChoice},
};

/// The contract's salts.
pub(crate) fn authenticator(timezone: chrono_tz::Tz, admin_grace: Duration) -> Authenticator {
    Authenticator::new(AuthPolicy {
        timezone: TimeZoneChoice::Named(timezone),
        admin_grace,
        ..AuthPolicy::public()
    })
    .unwrap()
}

/// A score that was computed.
pub(crate) fn rated(score: f64) -> Rated {
    Rated { answer: domain::Answer::Score(Score::new(score).unwrap()), source: Source::Computed }
}

/// The built-in card, with a near cache of this capacity.
pub(crate) fn built_in_card(near_capacity: usize) -> ActiveCard {
    active(Card::built_in(), near_capacity)
}

/// This card, with a near cache of this capacity.
pub(crate) fn active(card: Arc<Card>, near_capacity: usize) -> ActiveCard {
    let registry = Registry::new();
    let lookups = CacheLookups::register(&registry).unwrap();
    let near = NearCache::new(near_capacity, Duration::from_secs(3600), lookups);
    ActiveCard::new(card, near, CardMetrics::register(&registry).unwrap())
}

/// The parts of a dispatcher with this authenticator.
pub(crate) fn dispatcher_plan(
    authenticator: Authenticator,
    admission: Arc<Admission>,
    deadline: Duration,
    clock: fn() -> DateTime<Utc>,
) -> DispatcherPlan {
    DispatcherPlan {
        card: built_in_card(0).into_switch(),
        authenticator: Arc::new(ArcSwap::from_pointee(authenticator)),
        admission,
        deadline,
        max_client_ids: 10,
        clock,
    }
}

type Answer<M> = Box<dyn Fn(&M) -> <M as Message>::Result>;

/// A peer's reaction to a message.
pub(crate) enum Act<M: Message> {
    Answer(Answer<M>),
    /// Panics while it handles the message.
    Panic,
    /// Keeps the message and never answers.
    Hang,
}

/// An actor that stands in for another one, for one message type, and keeps the messages that it was sent.
pub(crate) struct Peer<M: Message> {
    act: Rc<RefCell<Act<M>>>,
    pub(crate) received: Rc<Cell<usize>>,
    last: Rc<RefCell<Option<M>>>,
}

impl<M: Message> Act<M> {
    pub(crate) fn answer(answer: impl Fn(&M) -> M::Result + 'static) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl<M: Message> Clone for Peer<M> {
    fn clone(&self) -> Self {
        Self { act: self.act.clone(), received: self.received.clone(), last: self.last.clone() }
    }
}

impl<M> Peer<M>
where
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    pub(crate) fn new(act: Act<M>) -> Self {
        Self { act: Rc::new(RefCell::new(act)), received: Rc::default(), last: Rc::default() }
    }

    /// Its mailbox.
    pub(crate) fn mailbox(&self) -> Mailbox<M> {
        Mailbox::unsupervised(self.clone().start())
    }

    pub(crate) fn act(&self, act: Act<M>) {
        self.act.replace(act);
    }

    /// The last message that it was sent.
    pub(crate) fn last(&self) -> Option<M> {
        self.last.take()
    }
}

impl<M: Message + Unpin + 'static> Actor for Peer<M> {
    type Context = Context<Self>;
}

impl<M> Handler<Sent<M>> for Peer<M>
where
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    type Result = ();

    fn handle(&mut self, sent: Sent<M>, _: &mut Self::Context) {
        sent.handled(|_| Span::current(), |msg| self.take(msg));
    }
}

impl<M> Peer<M>
where
    M: Message + Send + Unpin + 'static,
    M::Result: Send,
{
    fn take(&mut self, msg: M) -> ActorReply<M::Result> {
        self.received.set(self.received.get() + 1);
        let reply = match &*self.act.borrow() {
            Act::Answer(answer) => ActorReply::Now(answer(&msg)),
            Act::Panic => panic!("as told"),
            Act::Hang => ActorReply::Later(Box::pin(std::future::pending())),
        };
        self.last.replace(Some(msg));
        reply
    }
}
