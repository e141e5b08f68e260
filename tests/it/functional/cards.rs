//! Scorecards over HTTP: reasons, keys, metrics, a shadow, and cards that are rejected.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use testkit::{Person, Reply, RespServer, TestApp, eventually};

use crate::cli::process::Sandbox;

const SOON: Duration = Duration::from_secs(5);

/// By this card a woman scores 190, and anyone else 130.
const CARD: &str = r#"
version = "2026-11-a"
base = 130
[[characteristic]]
name = "gender"
reason = "R-GENDER"
baseline = 60
bin = [{ when = { gender = [2] }, points = 60 }]
[[characteristic]]
name = "phone"
reason = "R-PHONE"
baseline = 10
bin = [{ points = 0 }]
"#;

/// The shadow gives all but women 6 points more: a tenth of the distance between lowest and highest score.
const OTHER: &str = r#"
version = "2026-12-a"
base = 136
max = 190
[[characteristic]]
name = "gender"
bin = [{ when = { gender = [2] }, points = 60 }]
"#;

/// Three people, of whom one is a woman.
fn people() -> [Value; 3] {
    [1, 2, 0].map(|gender| json!({ "gender": gender, "birthday": "01.01.1990" }))
}

async fn app(sandbox: &Sandbox, settings: &[&str]) -> TestApp {
    sandbox.write("card.toml", CARD);
    sandbox.write("other.toml", OTHER);
    let path = |name: &str| sandbox.path(name).display().to_string();
    let card = format!("scoring.card={}", path("card.toml"));
    let shadow = format!("scoring.shadow_card={}", path("other.toml"));
    let mut all = vec!["store.url=memory:", card.as_str()];
    if settings.contains(&"shadow") {
        all.push(&shadow);
    }
    all.extend(settings.iter().copied().filter(|setting| *setting != "shadow"));
    TestApp::with_settings(&all).await
}

async fn explained(app: &TestApp, mut person: Value, explain: Value) -> Reply {
    person["explain"] = explain;
    app.call("online_score", person).await
}

#[tokio::test]
async fn reasons_are_given_to_those_who_ask_where_they_may() {
    let sandbox = Sandbox::new();
    let app = app(&sandbox, &["scoring.explain=true"]).await;
    let [man, woman, _] = people();
    let reply = explained(&app, man.clone(), json!(true)).await;
    let expected = json!({"score": 130.0, "reasons": ["R-GENDER", "R-PHONE"], "card": "2026-11-a"});
    assert_eq!((reply.status, reply.response()), (200, &expected));
    let reply = explained(&app, woman.clone(), json!(true)).await;
    assert_eq!(reply.response(), &json!({"score": 190.0, "reasons": ["R-PHONE"], "card": "2026-11-a"}));
    for not_wanted in [json!(false), json!(null)] {
        let reply = explained(&app, woman.clone(), not_wanted).await;
        assert_eq!(reply.response(), &json!({"score": 190.0}));
    }
    for wrong in [json!(1), json!("true"), json!([]), json!("")] {
        let mut arguments = man.clone();
        arguments["gender"] = json!(3);
        let reply = explained(&app, arguments, wrong).await;
        let faults = "gender: must be 0, 1 or 2; explain: must be true or false";
        assert_eq!((reply.status, reply.error()), (422, faults));
    }
}

#[rstest]
#[case::not_switched_on(&[])]
#[case::switched_off(&["scoring.explain=false"])]
#[tokio::test]
async fn explain_is_ignored_where_it_is_off(#[case] settings: &[&str]) {
    let sandbox = Sandbox::new();
    let app = app(&sandbox, settings).await;
    let [man, ..] = people();
    for anything in [json!(true), json!(1), json!("true"), json!({})] {
        let reply = explained(&app, man.clone(), anything).await;
        assert_eq!(reply.response(), &json!({"score": 130.0}));
    }
}

/// Reasons are computed, even if the cache has a score.
#[tokio::test]
async fn a_score_with_reasons_is_never_that_of_the_cache() {
    let (sandbox, store) = (Sandbox::new(), RespServer::start());
    sandbox.write("card.toml", CARD);
    let card = format!("scoring.card={}", sandbox.path("card.toml").display());
    let url = format!("store.url={}", store.url());
    let app = TestApp::with_settings(&[&url, &card, "scoring.explain=true"]).await;
    eventually(SOON, "the store is in use", async || app.readiness().await == "ready").await;
    let [man, ..] = people();
    assert_eq!(app.call("online_score", man.clone()).await.score(), 130.0);
    eventually(SOON, "the score is cached", async || !store.seen("SET").is_empty()).await;
    let key = store.seen("SET")[0].args[0].clone();
    eventually(SOON, "the score is there", async || store.stored(&key).is_some()).await;
    store.put(&key, "4.25");
    assert_eq!(app.call("online_score", man.clone()).await.score(), 4.25);
    assert_eq!(explained(&app, man, json!(true)).await.score(), 130.0);
}

/// Answers with a shadow are byte for byte those without.
#[tokio::test]
async fn a_shadow_card_is_counted_and_changes_no_answer() {
    let sandbox = Sandbox::new();
    let (with, without) = (app(&sandbox, &["shadow"]).await, app(&sandbox, &[]).await);
    for person in people() {
        let [one, two] =
            [with.call("online_score", person.clone()).await, without.call("online_score", person).await];
        assert_eq!((one.status, &one.body), (two.status, &two.body));
    }
    let count = async |app: &TestApp, result: &str| {
        app.metric(&format!(r#"scoring_shadow_total{{result="{result}"}}"#)).await
    };
    assert_eq!((count(&with, "same").await, count(&with, "different").await), (1.0, 2.0));
    assert_eq!((count(&without, "same").await, count(&without, "different").await), (0.0, 0.0));
    // 6 points of 60.
    let below = async |bound: &str| {
        with.metric(&format!(r#"scoring_shadow_difference_ratio_bucket{{le="{bound}"}}"#)).await
    };
    assert_eq!((below("0.05").await, below("0.1").await), (0.0, 2.0));

    let off = app(&sandbox, &["shadow", "scoring.shadow_share=0.0"]).await;
    for person in people() {
        off.call("online_score", person).await;
    }
    assert_eq!((count(&off, "same").await, count(&off, "different").await), (0.0, 0.0));
}

#[tokio::test]
async fn scores_are_counted_by_source_and_by_place_in_the_range() {
    let sandbox = Sandbox::new();
    let app = app(&sandbox, &["cache.near_capacity=10"]).await;
    let [man, woman, _] = people();
    for person in [&man, &man, &woman] {
        app.call("online_score", person.clone()).await;
    }
    let count =
        async |source: &str| app.metric(&format!(r#"scoring_scores_total{{source="{source}"}}"#)).await;
    assert_eq!((count("near").await, count("cache").await, count("computed").await), (1.0, 0.0, 2.0));
    let up_to =
        async |bound: &str| app.metric(&format!(r#"scoring_score_ratio_bucket{{le="{bound}"}}"#)).await;
    assert_eq!((up_to("0.1").await, up_to("0.9").await, up_to("1").await), (2.0, 2.0, 3.0));
    let scrape = app.scrape().await;
    let infos: Vec<_> = scrape.lines().filter(|line| line.starts_with("scoring_card_info{")).collect();
    assert!(
        infos.len() == 1 && infos[0].contains(r#"version="2026-11-a""#) && infos[0].ends_with(" 1"),
        "{infos:?}"
    );
}

#[tokio::test]
async fn the_built_in_card_is_in_effect_unless_another_is_named() {
    let app = TestApp::spawn().await;
    assert_eq!(app.online_score(&Person::full()).await.score(), Person::full().score());
    let scrape = app.scrape().await;
    assert!(scrape.contains(r#"version="built-in""#));
}

#[tokio::test]
async fn every_fault_of_a_card_ends_the_start_with_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write("card.toml", "version = \"\"\nbase = nan\ncolour = 1\n");
    sandbox.write("shadow.toml", "");
    let ended = sandbox
        .run(&[
            "serve",
            "--set",
            "scoring.card=card.toml",
            "--set",
            "scoring.shadow_card=shadow.toml",
            "--set",
            "log.level=loud",
        ])
        .await;
    let errors = ended.failed(2);
    let expected = [
        "card.toml:1: version: must have 1 to 64 characters, and no control characters",
        "card.toml:2: base: must be a number such as 12.5",
        "card.toml:3: colour: unknown key",
        "shadow.toml: the file is empty; a card has at least version, base and one [[characteristic]]",
    ];
    for fault in expected {
        assert!(errors.iter().any(|line| line.ends_with(fault)), "{fault}: {errors:?}");
    }
    assert!(errors.iter().any(|line| line.contains("log.level")), "{errors:?}");
    let ended = sandbox.run(&["check-config", "--set", "scoring.card=nowhere.toml"]).await;
    let errors = ended.failed(2);
    assert!(
        errors.len() == 1 && errors[0].contains("scoring.card: nowhere.toml: cannot be read"),
        "{errors:?}"
    );
}
