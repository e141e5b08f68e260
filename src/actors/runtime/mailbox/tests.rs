use std::sync::Arc;

use futures_util::FutureExt;
use prometheus::Registry;

use super::*;
use crate::{
    actors::{
        runtime::health::ActorsHealth,
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
        let waiting = [mailbox.send(Ping), mailbox.send(Ping)];
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
        let mut given_up = Box::pin(mailbox.send(Ping));
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
        assert!(mailbox.send(Ping).await.is_err());
        // This actor is not supervised.
        assert!(mailbox.send(Ping).await.is_err());
        mailbox.do_send(Ping);
        assert_eq!(health.mailbox_depth().get(), 0);
    });
}
