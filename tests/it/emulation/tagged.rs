//! memcached's and Tarantool's protocols, with answers that real servers do not give.

use std::{cell::Cell, sync::Arc, time::Duration};

use proptest::{prelude::*, test_runner::TestRunner};
use rstest::rstest;
use testkit::{
    ALL_IS_OK_WITHIN, Conditions, Load, Proxy, SCORE_BOUND, TaggedServer, TestApp, Wrong, alone, eventually,
};
use tokio::{runtime::Builder, task::LocalSet, time::sleep};

use super::interleavings::{Upset, any_step, entries, take};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// The cache only; interests are in memory.
    Memcached,
    /// Both roles.
    Tarantool,
}

impl Kind {
    fn server(self) -> TaggedServer {
        let server = match self {
            Self::Memcached => TaggedServer::memcached(),
            Self::Tarantool => TaggedServer::tarantool(),
        };
        for (key, value) in TestApp::seeds() {
            server.put(key, value);
        }
        server
    }

    /// A service on the server at this URL.
    async fn app(self, url: &str) -> Arc<TestApp> {
        let app = match self {
            Self::Memcached => TestApp::with_cache(url).await,
            Self::Tarantool => TestApp::on(url).await,
        };
        is_up(&app).await;
        Arc::new(app)
    }
}

async fn is_up(app: &TestApp) {
    eventually(ALL_IS_OK_WITHIN, "ready", async || app.readiness().await == "ready").await;
    app.recovers().await;
}

/// All scores are right and in time; interests are right or refused.
#[rstest]
#[case::twice(Wrong::Twice)]
#[case::earlier_tag(Wrong::EarlierTag)]
#[case::unknown_tag(Wrong::UnknownTag)]
#[case::swapped(Wrong::Swapped)]
#[case::garbage(Wrong::Garbage)]
#[case::cut_before_the_answer(Wrong::CutAfter(0))]
#[case::cut_in_the_head(Wrong::CutAfter(3))]
#[case::cut_before_the_end(Wrong::CutAfter(9))]
#[case::silent_in_the_head(Wrong::StopAfter(3))]
#[case::silent_before_the_end(Wrong::StopAfter(9))]
#[case::huge_length(Wrong::HugeLength)]
#[case::wrong_length(Wrong::WrongLength)]
#[case::no_answer(Wrong::Nothing)]
#[case::error(Wrong::Error(116))]
#[tokio::test]
async fn row_08_wrong_answers_cost_no_right_one(
    #[values(Kind::Memcached, Kind::Tarantool)] kind: Kind,
    #[case] wrong: Wrong,
) {
    cost_no_right_one(kind, wrong).await;
}

/// Tarantool's always have one.
#[tokio::test]
async fn row_08_answers_without_a_tag_cost_no_right_one() {
    cost_no_right_one(Kind::Memcached, Wrong::NoTag).await;
}

async fn cost_no_right_one(kind: Kind, wrong: Wrong) {
    let server = kind.server();
    let app = kind.app(&server.url()).await;
    let load = Load::start(&app, 4);
    for _ in 0..3 {
        server.answer_wrongly(wrong.clone(), 3);
        sleep(Duration::from_millis(60)).await;
    }
    server.answer_wrongly(wrong, usize::MAX);
    sleep(Duration::from_millis(400)).await;
    server.heal();
    is_up(&app).await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
    if kind == Kind::Memcached {
        assert_eq!(tally.refused_interests, 0, "{tally:?}");
    }
    let ready = app.admin("/readyz").await.body.to_string();
    assert!(!ready.contains("must not be in any log") && !ready.contains("secret"), "{ready}");
}

#[rstest]
#[tokio::test]
async fn row_09_answers_come_one_byte_at_a_time(#[values(Kind::Memcached, Kind::Tarantool)] kind: Kind) {
    let server = kind.server();
    let app = kind.app(&server.url()).await;
    server.answer_wrongly(Wrong::Slices, usize::MAX);
    app.is_ok().await;
    assert_eq!(app.readiness().await, "ready");
}

#[rstest]
#[tokio::test]
async fn row_14_an_error_of_the_server_keeps_the_connection(
    #[values(Kind::Memcached, Kind::Tarantool)] kind: Kind,
) {
    let server = kind.server();
    let app = kind.app(&server.url()).await;
    let accepted = server.door.accepted();
    server.answer_wrongly(Wrong::Error(116), usize::MAX);
    match kind {
        Kind::Memcached => {
            eventually(ALL_IS_OK_WITHIN, "degraded", async || {
                app.scores_right().await;
                app.readiness().await == "degraded"
            })
            .await;
        }
        Kind::Tarantool => app.is_degraded().await,
    }
    let ready = app.admin("/readyz").await;
    let role = if kind == Kind::Memcached { "cache" } else { "persistent" };
    assert_eq!(ready.body["parts"][role]["last_error"], "not_serving", "{ready:?}");
    server.heal();
    is_up(&app).await;
    assert_eq!(server.door.accepted(), accepted, "the connections were not kept");
}

#[rstest]
#[tokio::test]
async fn row_05_dead_connections_are_replaced(#[values(Kind::Memcached, Kind::Tarantool)] kind: Kind) {
    let server = kind.server();
    let app = kind.app(&server.url()).await;
    let accepted = server.door.accepted();
    let load = Load::start(&app, 4);
    server.door.freeze_existing();
    eventually(ALL_IS_OK_WITHIN, "new connections", async || server.door.accepted() > accepted).await;
    is_up(&app).await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
}

#[rstest]
#[tokio::test]
async fn row_12_a_second_of_latency(#[values(Kind::Memcached, Kind::Tarantool)] kind: Kind) {
    let server = kind.server();
    let proxy = Proxy::to(server.addr());
    let at_proxy = server.url().replace(&server.addr().to_string(), &proxy.addr().to_string());
    let app = kind.app(&at_proxy).await;
    let load = Load::start(&app, 4);
    proxy.set(Conditions { latency: Duration::from_millis(500), ..Conditions::default() });
    eventually(ALL_IS_OK_WITHIN * 2, "degraded", async || app.readiness().await == "degraded").await;
    app.scores_right().await;
    proxy.heal();
    is_up(&app).await;
    let tally = load.end().await;
    assert!(tally.slowest_score <= SCORE_BOUND, "{tally:?}");
}

/// One answer never comes, and the later ones do: to a probe while nobody calls, to one of many calls, and to a probe
/// while the breaker is open.
#[rstest]
#[case::idle(false, false)]
#[case::busy(true, false)]
#[case::breaker_open(true, true)]
#[tokio::test]
async fn row_48_a_lost_answer_is_not_waited_for_for_ever(
    #[values(Kind::Memcached, Kind::Tarantool)] kind: Kind,
    #[case] is_busy: bool,
    #[case] is_open: bool,
) {
    let server = kind.server();
    let app = kind.app(&server.url()).await;
    let load = is_busy.then(|| Load::start(&app, 4));
    if is_open {
        server.answer_wrongly(Wrong::Error(116), usize::MAX);
        eventually(ALL_IS_OK_WITHIN, "degraded", async || app.readiness().await == "degraded").await;
    }
    let accepted = server.door.accepted();
    server.answer_wrongly(Wrong::Nothing, 1);
    eventually(ALL_IS_OK_WITHIN, "a new connection", async || server.door.accepted() > accepted).await;
    is_up(&app).await;
    if let Some(load) = load {
        load.end().await;
    }
}

#[rstest]
fn row_27_every_answer_belongs_to_its_own_question(#[values(Kind::Memcached, Kind::Tarantool)] kind: Kind) {
    alone();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) };
    let answers = Cell::new(0);
    let any_steps = proptest::collection::vec(any_step(), 50..300);
    let outcome = TestRunner::new(config).run(&any_steps, |steps| {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let answered = LocalSet::new().block_on(&runtime, async {
            let server = kind.server();
            entries().for_each(|(key, value)| server.put(&key, value));
            let upset = async |what| match what {
                Upset::Late(ms) => server.answer_wrongly(Wrong::Late(Duration::from_millis(ms)), 1),
                Upset::Cut => server.door.drop_existing(),
                Upset::Twice(answers) => server.answer_wrongly(Wrong::Twice, answers),
            };
            take(&server.url(), steps, upset).await
        });
        answers.set(answers.get() + answered);
        Ok(())
    });
    outcome.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(answers.get() > 0, "nothing could be checked");
}
