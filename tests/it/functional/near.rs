//! The near cache: the requests that it saves, and the changes that it hides for a while.

use std::time::Duration;

use rstest::rstest;
use testkit::{Person, RespServer, TestApp, eventually};

const SOON: Duration = Duration::from_secs(5);

/// A score that the formula never gives.
const CHANGED: f64 = 4.25;

async fn app_on(store: &RespServer, settings: &[&str]) -> TestApp {
    let url = format!("store.url={}", store.url());
    let app = TestApp::with_settings(&[&[url.as_str()], settings].concat()).await;
    eventually(SOON, "the store is in use", async || app.readiness().await == "ready").await;
    app
}

async fn lookups(app: &TestApp, result: &str) -> f64 {
    app.metric(&format!(r#"scoring_cache_lookups_total{{result="{result}"}}"#)).await
}

/// Has the score of `person` cached by the service, and then changed in the store by somebody else.
async fn changed_in_the_store(app: &TestApp, store: &RespServer, person: &Person) {
    assert_eq!(app.online_score(person).await.score(), person.score());
    eventually(SOON, "the score is cached", async || !store.seen("SET").is_empty()).await;
    let key = store.seen("SET")[0].args[0].clone();
    eventually(SOON, "the score is there", async || store.stored(&key).is_some()).await;
    store.put(&key, CHANGED.to_string());
}

#[tokio::test]
async fn a_near_hit_needs_no_look_up_and_is_right_without_a_store() {
    let store = RespServer::start();
    let app = app_on(&store, &["cache.near_capacity=10"]).await;
    let (near, far) = (Person::stranger(), Person::any());
    assert_eq!(app.online_score(&near).await.score(), near.score());
    assert_eq!((lookups(&app, "near").await, lookups(&app, "miss").await), (0.0, 1.0));
    assert_eq!(app.online_score(&near).await.score(), near.score());
    assert_eq!((lookups(&app, "near").await, lookups(&app, "miss").await), (1.0, 1.0));

    store.door.shut();
    store.drop_connections();
    eventually(SOON, "the store is out of use", async || app.readiness().await == "degraded").await;
    for person in [&near, &far, &far] {
        assert_eq!(app.online_score(person).await.score(), person.score());
    }
    assert_eq!((lookups(&app, "near").await, lookups(&app, "degraded").await), (3.0, 1.0));
}

#[rstest]
#[case::unless_it_is_near("cache.near_capacity=10", false)]
#[case::as_nothing_is_near_by_default("cache.near_capacity=0", true)]
#[tokio::test]
async fn a_score_that_changes_in_the_store_is_seen(#[case] near: &str, #[case] seen: bool) {
    let store = RespServer::start();
    let app = app_on(&store, &[near]).await;
    let person = Person::stranger();
    changed_in_the_store(&app, &store, &person).await;
    let expected = if seen { CHANGED } else { person.score() };
    assert_eq!(app.online_score(&person).await.score(), expected);
    assert_eq!(lookups(&app, "near").await > 0.0, !seen);
}

#[tokio::test]
async fn a_score_is_near_no_longer_than_it_is_cached() {
    let store = RespServer::start();
    let app = app_on(&store, &["cache.near_capacity=10", "cache.ttl=1s"]).await;
    let person = Person::stranger();
    changed_in_the_store(&app, &store, &person).await;
    eventually(SOON, "the score is looked up again", async || {
        app.online_score(&person).await.score() == CHANGED
    })
    .await;
    assert!(lookups(&app, "near").await > 0.0, "it was near before");
}
