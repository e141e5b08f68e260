use std::sync::Arc;

use futures_util::FutureExt;
use prometheus::Registry;

use super::*;
use crate::{
    actors::{
        testing::{Act, Peer},
        vitals::ActorMetrics,
    },
    testing::{paused, settle},
};

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Ping;

fn vitals() -> Arc<Vitals> {
    ActorMetrics::register(&Registry::new()).unwrap().vitals("peer")
}

#[test]
fn a_message_counts_until_it_is_taken_and_not_until_it_is_answered() {
    paused(async {
        let (vitals, peer) = (vitals(), Peer::new(Act::<Ping>::Hang));
        let mailbox = peer.mailbox_of(&vitals);
        let waiting = [mailbox.send(Ping), mailbox.send(Ping)];
        mailbox.do_send(Ping);
        assert_eq!(vitals.mailbox_depth().get(), 3);
        settle().await;
        assert_eq!((peer.received.get(), vitals.mailbox_depth().get()), (3, 0));
        drop(waiting);
    });
}

#[test]
fn a_message_whose_sender_gave_up_is_dropped_unread_and_counts_no_more() {
    paused(async {
        let (vitals, peer) = (vitals(), Peer::new(Act::<Ping>::Hang));
        let mailbox = peer.mailbox_of(&vitals);
        let mut given_up = Box::pin(mailbox.send(Ping));
        assert!((&mut given_up).now_or_never().is_none());
        assert_eq!(vitals.mailbox_depth().get(), 1);
        drop(given_up);
        settle().await;
        assert_eq!((peer.received.get(), vitals.mailbox_depth().get()), (0, 0));
    });
}

#[test]
fn a_message_to_an_actor_that_fell_does_not_count() {
    paused(async {
        let (vitals, peer) = (vitals(), Peer::new(Act::<Ping>::Panic));
        let mailbox = peer.mailbox_of(&vitals);
        assert!(mailbox.send(Ping).await.is_err());
        // This actor is not supervised.
        assert!(mailbox.send(Ping).await.is_err());
        mailbox.do_send(Ping);
        assert_eq!(vitals.mailbox_depth().get(), 0);
    });
}
