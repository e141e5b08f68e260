//! Row 13: a network that loses packets.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use testkit::{Conditions, INTERESTS_BOUND, Loss, Person, Proxy, SCORE_BOUND, TestApp, alone};
use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};

use super::seeded;

/// Services, each with one worker and its own network, so that chance evens out.
const SERVICES: u64 = 4;
/// Of each method for each service. A busier connection is stalled nearly always.
const CALLS_A_SECOND: u64 = 20;
const LASTS: Duration = Duration::from_secs(5);

#[tokio::test]
async fn row_13_packets_are_lost() {
    alone();
    // One after the other: all at once, they would be starved by each other on a machine that has little time.
    let (mut right, mut all) = (0, 0);
    for seed in 0..SERVICES {
        let (right_here, all_here) = answered(seed).await;
        (right, all) = (right + right_here, all + all_here);
    }
    assert!(right * 100 >= all * 97, "{right} of {all} interests were answered");
}

/// How many interests one service answered, of how many.
async fn answered(seed: u64) -> (usize, usize) {
    let store = seeded();
    let proxy = Proxy::seeded(store.addr(), seed);
    let app = Arc::new(TestApp::on(&format!("redis://{}", proxy.addr())).await);
    app.recovers().await;
    let loss = Some(Loss { chance: 0.05, stall: Duration::from_millis(200) });
    proxy.set(Conditions { loss, ..Conditions::default() });

    let mut calls = JoinSet::new();
    let mut pace = interval(Duration::from_secs(1) / CALLS_A_SECOND as u32);
    let begun = Instant::now();
    while begun.elapsed() < LASTS {
        pace.tick().await;
        let app = app.clone();
        calls.spawn(async move {
            let person = Person::any();
            let (score, interests) = tokio::join!(app.online_score(&person), app.interests(&[1, 2]));
            assert_eq!(score.score(), person.score());
            assert!(score.took <= SCORE_BOUND, "a score took {:?}", score.took);
            assert!(interests.took <= INTERESTS_BOUND, "interests took {:?}", interests.took);
            match interests.status {
                200 => assert_eq!(*interests.response(), json!({"1": ["books", "hi-tech"], "2": []})),
                status => assert_eq!(status, 503),
            }
            interests.status == 200
        });
    }
    let answers = calls.join_all().await;
    proxy.heal();
    app.recovers().await;
    (answers.iter().filter(|right| **right).count(), answers.len())
}
