//! The demo can fail: a service with a wrong score, and one that shows no fault, are found.

use std::time::Duration;

use futures_util::FutureExt;

use super::*;
use crate::{
    domain::Card,
    store::{Connection, Memory},
    wall_clock,
};

async fn played(memory: Memory, phases: &[Phase], patience: Duration) -> Result<(Vec<Row>, String), Failure> {
    let mut demo = Demo::start(SwitchedStore::new(memory), Pace::Short, Table::hidden()).await.unwrap();
    demo.patience = patience;
    let played = demo.play(phases).await;
    demo.finish(played).await
}

#[tokio::test]
async fn a_wrong_score_out_of_the_cache_makes_it_fail() {
    let memory = truth::memory();
    let service_day = crate::domain::Authenticator::new(crate::domain::AuthPolicy::public()).unwrap();
    let today = service_day.today(wall_clock::now());
    for number in 0..20 {
        let person = truth::read(&truth::person(number), today).unwrap();
        let key = Card::built_in().cache_key(&person, today);
        memory.set(key, b"0.25".to_vec(), Duration::from_secs(600)).now_or_never().unwrap().unwrap();
    }
    let [well, ..] = SCRIPT;
    let failure = played(memory, &[well], PATIENCE).await.unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("calls were answered wrongly; the first: online_score: another score"), "{text}");
    assert_eq!(failure.exit_code(), 1);
}

#[tokio::test]
async fn a_missing_fault_makes_it_fail() {
    let [_, killed, ..] = SCRIPT;
    let healthy = Phase { mode: Mode::Serving, ..killed };
    let patience = Duration::from_millis(500);
    let failure = played(truth::memory(), &[healthy], patience).await.unwrap_err();
    let expected = "the store is killed: a degraded service with right scores, and 503 for interests was not seen within \
                    1s; readiness: \"ready\"";
    assert_eq!((failure.to_string().as_str(), failure.exit_code()), (expected, 1));
}
