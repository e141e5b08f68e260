use std::time::Duration;

use rstest::rstest;
use tokio::time::Instant;

use super::*;
use crate::{
    actors::testing::{Act, Peer},
    testing::paused,
};

const BUDGET: Duration = Duration::from_millis(500);

async fn look_up(store: &Peer<GetMany>, clients: &[i64]) -> Result<InterestsByClient, InterestsError> {
    let actor = InterestsActor::new(store.mailbox()).start();
    actor
        .send(LookUpInterests {
            clients: clients.iter().copied().map(ClientId).collect(),
            deadline: Deadline::after(Instant::now(), BUDGET),
        })
        .await
        .unwrap()
}

/// A store with one interest for each key, named after the key, and without a value under `i:3`.
fn named_after_their_keys() -> Act<GetMany> {
    Act::answer(|msg: &GetMany| {
        let value = |key: &String| (key != "i:3").then(|| format!(r#"["{key}"]"#).into());
        Ok(msg.keys.iter().map(value).collect())
    })
}

#[test]
fn every_client_gets_its_own_interests_in_the_requested_order() {
    paused(async {
        let store = Peer::new(named_after_their_keys());
        let answer = look_up(&store, &[20, 3, -1]).await.unwrap();
        assert_eq!(answer.as_json(), r#"{"20":["i:20"],"3":[],"-1":["i:-1"]}"#);
        assert_eq!(store.received.get(), 1, "in one round trip");
    });
}

#[test]
fn the_deadline_travels_on_to_the_store() {
    paused(async {
        let store = Peer::new(named_after_their_keys());
        look_up(&store, &[1]).await.unwrap();
        let deadline = store.last().unwrap().deadline;
        assert_eq!(deadline.remaining(Instant::now()), BUDGET);
    });
}

#[rstest]
#[case::unavailable(Act::answer(|_| Err(StoreError::Unavailable)), StoreError::Unavailable)]
#[case::timed_out(Act::answer(|_| Err(StoreError::TimedOut)), StoreError::TimedOut)]
#[case::bad_value(Act::answer(|_| Err(StoreError::BadValue)), StoreError::BadValue)]
#[case::the_store_actor_is_stuck(Act::Hang, StoreError::TimedOut)]
fn a_silent_store_is_an_error_in_time_never_an_empty_list(
    #[case] act: Act<GetMany>,
    #[case] expected: StoreError,
) {
    paused(async {
        let begun = Instant::now();
        let error = look_up(&Peer::new(act), &[1, 2]).await.unwrap_err();
        assert!(matches!(error, InterestsError::Store(error) if error == expected));
        assert!(begun.elapsed() <= BUDGET + Duration::from_millis(1));
    });
}

#[rstest]
#[case::one_of_three(
    &[1, 7, 9],
    StoreError::AtFault { positions: vec![1], cause: Box::new(StoreError::TooLarge) },
    "interests of client 7 cannot be read: the stored values are too large"
)]
#[case::all_of_two(
    &[1, 7],
    StoreError::AtFault { positions: vec![0, 1], cause: Box::new(StoreError::CrossSlot) },
    "interests of clients 1, 7 cannot be read: the keys belong to several slots of a cluster"
)]
#[case::the_only_one(
    &[7],
    StoreError::BadValue,
    "interests of client 7 cannot be read: a stored value is of the wrong kind"
)]
#[case::all_of_many(
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
    StoreError::AtFault { positions: (0..12).collect(), cause: Box::new(StoreError::TooLarge) },
    "interests of clients 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more cannot be read: the stored values are too large"
)]
fn row_54_a_question_at_fault_names_its_clients_and_the_cause(
    #[case] clients: &[i64],
    #[case] error: StoreError,
    #[case] text: &str,
) {
    paused(async {
        let store = Peer::new(Act::answer(move |_| Err(error.clone())));
        let InterestsError::AtFault { clients, source } = look_up(&store, clients).await.unwrap_err() else {
            panic!("another error")
        };
        let error = InterestsError::AtFault { clients, source: source.clone() };
        assert_eq!(format!("{error}: {source}"), text);
    });
}

#[test]
fn a_store_actor_that_falls_is_an_outage_at_once() {
    paused(async {
        let begun = Instant::now();
        let answer = look_up(&Peer::new(Act::Panic), &[1, 2]).await;
        assert!(matches!(answer, Err(InterestsError::Lost)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_store_actor_that_is_gone_is_an_outage() {
    paused(async {
        let address = {
            let peer = Peer::new(Act::Panic);
            let recipient = peer.mailbox();
            let deadline = Deadline::after(Instant::now(), BUDGET);
            let _ = recipient
                .ask(GetMany { keys: std::sync::Arc::default(), deadline }, deadline.instant())
                .await;
            recipient
        };
        let actor = InterestsActor::new(address).start();
        let answer = actor.send(LookUpInterests {
            clients: vec![ClientId(1)],
            deadline: Deadline::after(Instant::now(), BUDGET),
        });
        assert!(matches!(answer.await.unwrap(), Err(InterestsError::Lost)));
    });
}

#[rstest]
#[case::empty(b"")]
#[case::no_json(b"books")]
#[case::broken_off(br#"["books""#)]
#[case::no_list(br#"{"books": 1}"#)]
#[case::null(b"null")]
#[case::a_list_of_other_things(b"[1, 2]")]
#[case::one_null_among_strings(br#"["books", null]"#)]
#[case::not_utf8(b"[\"\xff\"]")]
fn a_malformed_value_is_an_error_that_names_only_the_client(#[case] value: &[u8]) {
    paused(async {
        let value = value.to_vec();
        let store = Peer::new(Act::answer(move |_| Ok(vec![Some(b"[]".to_vec()), Some(value.clone())])));
        let error = look_up(&store, &[1, 7]).await.unwrap_err();
        assert!(matches!(error, InterestsError::Malformed { client: ClientId(7), .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("books"), "{error:?}");
    });
}
