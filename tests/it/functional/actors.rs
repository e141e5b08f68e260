//! Actors that fall or get stuck, in a service that is being used: rows 28 to 32 of the fault table.
//!
//! The messages that make an actor fall are of this crate, so nothing of the kind ships in the service.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use actix::prelude::*;
use rstest::rstest;
use scoring_api::{
    actors::{
        cache_store::CacheStoreActor, dispatcher::DispatcherActor, interests::InterestsActor,
        persistent_store::PersistentStoreActor, scoring::ScoringActor,
    },
    app::Stores,
    store::{Connection, Connector, Memory, ReplyFuture},
};
use testkit::{ALL_IS_OK_WITHIN, INTERESTS_BOUND, Load, Person, SLACK, Stopwatch, TestApp, eventually};

/// An actor that fell is back within this.
const BACK_WITHIN: Duration = Duration::from_millis(100 * SLACK as u64);

/// An actor that was stuck is back within this.
const STUCK_IS_OVER_WITHIN: Duration = Duration::from_millis(2_000 * SLACK as u64);

/// Makes an actor fall.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(super) enum Fall {
    Stop,
    PanicInHandler,
    PanicInFuture,
    /// Reads no messages any more.
    GetStuck,
    /// Blocks the thread, for a time.
    Block(Duration),
}

macro_rules! can_fall {
    ($($actor:ty),+) => {$(
        impl Handler<Fall> for $actor {
            type Result = ();

            fn handle(&mut self, fall: Fall, ctx: &mut Context<Self>) {
                match fall {
                    Fall::Stop => ctx.stop(),
                    Fall::PanicInHandler => panic_quietly("told to panic"),
                    Fall::PanicInFuture => {
                        ctx.spawn(async { panic_quietly("told to panic in a future") }.into_actor(self));
                    }
                    Fall::GetStuck => ctx.wait(pending().into_actor(self)),
                    Fall::Block(time) => block_thread(time),
                }
            }
        }
    )+};
}

can_fall!(CacheStoreActor, PersistentStoreActor, ScoringActor, InterestsActor, DispatcherActor);

/// Panics without a report: its backtrace takes longer than a restart may, on a busy machine.
fn panic_quietly(message: &'static str) {
    std::panic::resume_unwind(Box::new(message));
}

/// A fault that no actor should ever have.
fn block_thread(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()) {
        thread::park_timeout(left);
    }
}

pub(super) fn tell(app: &TestApp, actor: &str, fall: Fall) {
    let tree = app.tree();
    match actor {
        "persistent_store" => tree.persistent_store.do_send(fall),
        "cache_store" => tree.cache_store.do_send(fall),
        "scoring" => tree.scoring.do_send(fall),
        "interests" => tree.interests.do_send(fall),
        "dispatcher" => tree.dispatcher.do_send(fall),
        other => panic!("{other}"),
    }
}

async fn seeded_app() -> Arc<TestApp> {
    let memory = Memory::new(100);
    for (key, value) in TestApp::seeds() {
        memory.insert(key.to_owned(), value.into());
    }
    Arc::new(
        TestApp::with_stores(Stores { cache: Arc::new(memory.clone()), persistent: Arc::new(memory) }).await,
    )
}

#[rstest]
#[case::row_28_store_stops("persistent_store", Fall::Stop)]
#[case::row_28_store_panics_in_a_handler("persistent_store", Fall::PanicInHandler)]
#[case::row_28_store_panics_in_a_future("persistent_store", Fall::PanicInFuture)]
#[case::row_28_cache_stops("cache_store", Fall::Stop)]
#[case::row_28_cache_panics_in_a_handler("cache_store", Fall::PanicInHandler)]
#[case::row_28_cache_panics_in_a_future("cache_store", Fall::PanicInFuture)]
#[case::row_30_scoring_stops("scoring", Fall::Stop)]
#[case::row_30_scoring_panics("scoring", Fall::PanicInHandler)]
#[case::row_30_interests_panics("interests", Fall::PanicInHandler)]
#[case::row_31_dispatcher_stops("dispatcher", Fall::Stop)]
#[case::row_31_dispatcher_panics("dispatcher", Fall::PanicInHandler)]
#[case::row_31_dispatcher_panics_in_a_future("dispatcher", Fall::PanicInFuture)]
#[tokio::test]
async fn an_actor_that_falls_is_back_under_the_same_address(#[case] actor: &str, #[case] fall: Fall) {
    let app = seeded_app().await;
    app.is_ok().await;

    tell(&app, actor, fall);
    let fell = Stopwatch::start();
    let back = async || {
        app.interests(&[1]).await.status == 200 && app.online_score(&Person::any()).await.status == 200
    };
    eventually(BACK_WITHIN, "both methods answer again", back).await;
    fell.assert_within(BACK_WITHIN, "the restart");
    app.is_ok().await;
    assert_eq!(app.restarts(actor).await, 1);
}

/// The request that an actor falls over is a 500 in the contract's shape, not a broken connection; the next one is fine.
#[rstest]
#[case::row_30_scoring("scoring")]
#[case::row_31_dispatcher("dispatcher")]
#[tokio::test]
async fn requests_queued_behind_a_fall_are_served(#[case] actor: &str) {
    let app = seeded_app().await;
    let load = Load::start(&app, 8);
    for _ in 0..3 {
        let before = app.restarts(actor).await;
        tell(&app, actor, Fall::PanicInHandler);
        eventually(ALL_IS_OK_WITHIN, "the actor is back", async || app.restarts(actor).await > before).await;
    }
    // The message that fell was ours, so not one of the clients' calls was lost.
    let tally = load.end().await;
    assert!(tally.scores > 0 && tally.interests > 0);
    assert_eq!(tally.refused_interests, 0, "{tally:?}");
}

/// A store whose connecting can be made to panic, and that counts how often it was tried.
#[derive(Debug, Clone, Default)]
struct Cursed {
    panics: Arc<AtomicBool>,
    attempts: Arc<AtomicUsize>,
    memory: Option<Memory>,
}

impl Connector for Cursed {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        self.attempts.fetch_add(1, Relaxed);
        assert!(!self.panics.load(Relaxed), "told to panic on connecting");
        self.memory.as_ref().unwrap().connect()
    }

    fn is_one_stream(&self) -> bool {
        false
    }

    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn address(&self) -> String {
        "scripted".to_owned()
    }
}

#[tokio::test]
async fn row_29_a_store_that_panics_at_each_start_is_degraded() {
    let memory = Memory::new(100);
    for (key, value) in TestApp::seeds() {
        memory.insert(key.to_owned(), value.into());
    }
    let cursed = Cursed { memory: Some(memory), ..Cursed::default() };
    cursed.panics.store(true, Relaxed);
    let app = TestApp::with_stores(Stores {
        cache: Arc::new(cursed.clone()),
        persistent: Arc::new(cursed.clone()),
    })
    .await;

    eventually(Duration::from_secs(20), "it is marked as failing", async || {
        app.admin("/readyz").await.body["parts"]["persistent_store"]["status"] == "failing"
    })
    .await;
    assert_eq!(app.readiness().await, "degraded");
    assert_eq!(app.metric(r#"scoring_store_up{role="persistent"}"#).await, 0.0);
    assert_eq!(unwell(&app, "persistent_store", "failing").await, 1.0);
    let (attempts, begun) = (cursed.attempts.load(Relaxed), Instant::now());
    for _ in 0..5 {
        app.scores_right().await;
        app.interests_refused().await;
    }
    // Full jitter up to 800 ms makes about five starts a second for the two roles together; chance may double that.
    let (attempts, seconds) = (cursed.attempts.load(Relaxed) - attempts, begun.elapsed().as_secs_f64());
    assert!(attempts as f64 <= 20.0 * seconds + 10.0, "{attempts} starts in {seconds} s");

    cursed.panics.store(false, Relaxed);
    app.recovers_within(2 * ALL_IS_OK_WITHIN).await;
    eventually(Duration::from_secs(30), "it is well again", async || {
        unwell(&app, "persistent_store", "failing").await == 0.0
    })
    .await;
}

/// How many actors of this name are in this state, as Prometheus sees it.
async fn unwell(app: &TestApp, actor: &str, state: &str) -> f64 {
    app.metric(&format!(r#"scoring_actors_unwell{{actor="{actor}",state="{state}"}}"#)).await
}

/// The parts that `/readyz` calls stuck. It must refuse if there are any, and only then.
async fn stuck_parts(app: &TestApp) -> Vec<String> {
    let ready = app.admin("/readyz").await;
    let stuck: Vec<_> = ready.body["parts"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, part)| part["status"] == "stuck")
        .collect();
    assert_eq!(ready.status == 503, !stuck.is_empty(), "{ready:?}");
    assert_eq!(ready.body["status"] == "stuck", !stuck.is_empty(), "{ready:?}");
    stuck.into_iter().map(|(name, _)| name.clone()).collect()
}

/// Calls that need the actor are refused by their deadline; those that do not are answered as ever. Readiness says which
/// actor it is, and then it is back with nothing to show for it but the count.
#[rstest]
#[case::row_32_dispatcher("dispatcher", 503, 503)]
#[case::row_32_scoring("scoring", 503, 200)]
#[case::row_32_interests("interests", 200, 503)]
#[case::row_32_cache("cache_store", 200, 200)]
#[case::row_32_store("persistent_store", 200, 503)]
#[tokio::test]
async fn an_actor_that_is_stuck_is_noticed_and_comes_back(
    #[case] actor: &str,
    #[case] score: u16,
    #[case] interests: u16,
) {
    let app = seeded_app().await;
    app.is_ok().await;
    tell(&app, actor, Fall::GetStuck);
    let stuck = Stopwatch::start();

    let person = Person::any();
    let (scored, looked_up) = tokio::join!(app.online_score(&person), app.interests(&[1, 2]));
    assert_eq!((scored.status, looked_up.status), (score, interests));
    assert!(scored.took.max(looked_up.took) <= INTERESTS_BOUND, "{scored:?}, {looked_up:?}");

    eventually(STUCK_IS_OVER_WITHIN, "readiness says so", async || stuck_parts(&app).await == [actor]).await;
    eventually(STUCK_IS_OVER_WITHIN, "readiness takes it back", async || stuck_parts(&app).await.is_empty())
        .await;
    stuck.assert_within(STUCK_IS_OVER_WITHIN, "the restart");
    app.recovers().await;
    assert_eq!(
        app.metric(&format!(r#"scoring_actor_restarts_total{{actor="{actor}",reason="stuck"}}"#)).await,
        1.0
    );
    assert_eq!(app.restarts(actor).await, 1);
}

/// Nothing can be done about it from inside the process. But readiness, which is answered on another thread, can tell.
#[tokio::test]
async fn row_32_a_blocked_thread_shows_in_readiness_without_a_restart() {
    let app = seeded_app().await;
    app.is_ok().await;
    tell(&app, "scoring", Fall::Block(Duration::from_secs(4)));
    eventually(STUCK_IS_OVER_WITHIN, "readiness says so", async || {
        stuck_parts(&app).await == ["cache_store", "dispatcher", "interests", "persistent_store", "scoring"]
    })
    .await;
    assert_eq!(unwell(&app, "scoring", "stuck").await, 1.0);
    eventually(STUCK_IS_OVER_WITHIN, "readiness takes it back", async || stuck_parts(&app).await.is_empty())
        .await;
    assert_eq!(unwell(&app, "scoring", "stuck").await, 0.0);
    assert_eq!(app.admin("/healthz").await.status, 200, "admin.liveness_patience is far longer");
    app.recovers().await;
    for actor in ["cache_store", "dispatcher", "interests", "persistent_store", "scoring"] {
        assert_eq!(app.restarts(actor).await, 0, "{actor}");
    }
}

/// The process does not recover by itself, so an orchestrator must be told to restart it.
#[tokio::test]
async fn a_thread_that_is_blocked_for_too_long_makes_the_process_count_as_dead() {
    let app = TestApp::with_settings(&["admin.liveness_patience=2s"]).await;
    tell(&app, "scoring", Fall::Block(Duration::from_secs(6)));
    eventually(Duration::from_secs(5), "the process counts as dead", async || {
        app.admin("/healthz").await.status == 503
    })
    .await;
    eventually(Duration::from_secs(20), "the thread runs again", async || {
        app.admin("/healthz").await.status == 200
    })
    .await;
}
