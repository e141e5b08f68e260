//! Row 41 of the fault table: the wall clock steps during calls.

use std::{cell::Cell, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use prometheus::Registry;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::*;
use crate::{
    actors::{
        cache_lookups::CacheLookups,
        links::RolePlan,
        metrics,
        runtime::RestartPolicy,
        testing::{self, dispatcher_plan},
    },
    admission::{Admission, settings::LimitSettings},
    deadline::Deadline,
    domain::{Answer, Authenticator, CallError, Forbidden, Json, MethodRequest},
    store::{
        BackendError, LinkPolicy, Role,
        testing::{Act, Script, status},
    },
    testing::{paused, settle},
};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

thread_local! {
    static WALL_CLOCK: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) };
}

fn set_wall_clock(to: &str) {
    WALL_CLOCK.set(to.parse().unwrap());
}

fn authenticator() -> Authenticator {
    testing::authenticator(chrono_tz::Europe::Berlin, 600 * SECOND)
}

/// All actors of a worker, on one store for both roles.
async fn start(script: &Script) -> Tree {
    let registry = Registry::new();
    let role = |role, timeout| RolePlan {
        connector: script.connector(),
        policy: LinkPolicy::new(timeout),
        health: status(role),
    };
    let lookups = CacheLookups::register(&registry).unwrap();
    let plan = TreePlan {
        dispatcher: dispatcher_plan(
            authenticator(),
            Admission::new(&LimitSettings::default(), &registry).unwrap(),
            500 * MILLI,
            || WALL_CLOCK.get(),
        ),
        cache: CacheStorePlan { role: role(Role::Cache, 80 * MILLI), ttl: 3_600 * SECOND, lookups },
        persistent: PersistentStorePlan { role: role(Role::Persistent, 100 * MILLI), attempts: 3 },
        runtime: ActorRuntime {
            restarts: RestartPolicy::default(),
            health: metrics::register(&registry, &Tree::NAMES).unwrap(),
        },
    };
    let tree = Tree::start(&plan);
    settle().await;
    tree
}

impl Tree {
    async fn call(
        &self,
        login: &str,
        token: &str,
        method: &str,
        arguments: Value,
    ) -> Result<Answer, CallError> {
        let body = json!({
            "account": "a", "login": login, "token": token, "method": method, "arguments": arguments,
        });
        let request = MethodRequest::from_json(Json::parse(body.to_string().as_bytes()).unwrap()).unwrap();
        let received = Instant::now();
        let deadline = Deadline::after(received, 600 * MILLI);
        self.calls.ask(CallMethod { request, received }, deadline.instant()).await.unwrap().outcome
    }

    async fn score(&self, login: &str, token: &str) -> Result<Answer, CallError> {
        self.call(login, token, "online_score", json!({"phone": "79175002040", "email": "a@b"})).await
    }

    /// `None` if the score was computed: it is 3 then.
    async fn cached_score(&self) -> Option<f64> {
        match self.score("l", &authenticator().partner_token("a", "l")).await.unwrap() {
            Answer::Score(score) => Some(score.value()).filter(|score| *score != 3.0),
            other @ (Answer::AdminScore | Answer::Explained(_) | Answer::Interests(_)) => panic!("{other:?}"),
        }
    }

    async fn has_interests(&self) -> bool {
        let token = authenticator().partner_token("a", "l");
        match self.call("l", &token, "clients_interests", json!({"client_ids": [1]})).await {
            Ok(_) => true,
            Err(error) => {
                assert!(matches!(error, CallError::Unavailable(_)), "{error:?}");
                false
            }
        }
    }
}

async fn timed<T>(call: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (call.await, begun.elapsed())
}

/// The store is well for a second, too slow for four, and well again for two, while the wall clock steps before and
/// during each call. Time limits, deadline, breaker, probes and cache keep their own time, to the millisecond.
#[rstest]
#[case::not_at_all(|_| {})]
#[case::an_hour_ahead(|_| WALL_CLOCK.set(WALL_CLOCK.get() + 3_600 * SECOND))]
#[case::an_hour_back(|_| WALL_CLOCK.set(WALL_CLOCK.get() - 3_600 * SECOND))]
#[case::to_and_fro(|n| set_wall_clock(["2024-06-01T00:00:00Z", "1999-12-31T23:59:59Z"][n % 2]))]
#[case::into_summer_time(|n| set_wall_clock(["2024-03-31T00:59:59Z", "2024-03-31T01:00:00Z"][n % 2]))]
#[case::out_of_summer_time(|n| set_wall_clock(["2024-10-27T00:59:59Z", "2024-10-27T01:00:00Z"][n % 2]))]
fn row_41_steps_of_the_wall_clock_do_not_change_an_outage(#[case] step: fn(usize)) {
    paused(async {
        let script = Script::default();
        let tree = start(&script).await;
        tree.cached_score().await;
        settle().await;
        // Overwrites the one cached score, to tell a cached score from a computed one.
        script.state().values.values_mut().for_each(|score| *score = b"1.5".to_vec());

        let (begun, mut calls) = (Instant::now(), 0);
        let mut slow_since = None;
        let mut well_since = None;
        while begun.elapsed() < 7 * SECOND {
            if slow_since.is_none() && begun.elapsed() >= SECOND {
                script.commands(&Act::Trickle(10 * SECOND));
                slow_since = Some(Instant::now());
            }
            if well_since.is_none() && begun.elapsed() >= 5 * SECOND {
                script.heal();
                well_since = Some(Instant::now());
            }
            let slow_for = slow_since.map(|since| since.elapsed());
            let well_for = well_since.map(|since| since.elapsed());
            let stepping = async {
                step(calls);
                sleep(MILLI).await;
                step(calls + 1);
            };
            let ((cached, scored_in), (found, looked_up_in), ()) =
                tokio::join!(timed(tree.cached_score()), timed(tree.has_interests()), stepping);
            calls += 3;

            assert!(
                scored_in <= 80 * MILLI && looked_up_in <= 500 * MILLI,
                "{scored_in:?}, {looked_up_in:?}"
            );
            match (slow_for, well_for) {
                (None, _) => assert_eq!((cached, found), (Some(1.5), true)),
                (Some(slow_for), None) if slow_for >= 2 * SECOND => {
                    assert_eq!((cached, found), (None, false));
                    assert_eq!(
                        (scored_in, looked_up_in),
                        (Duration::ZERO, Duration::ZERO),
                        "the breaker is open"
                    );
                }
                (Some(_), None) => assert_eq!((cached, found), (None, false)),
                (_, Some(well_for)) if well_for >= SECOND => assert_eq!((cached, found), (Some(1.5), true)),
                (_, Some(_)) => {}
            }
            sleep(7 * MILLI).await;
        }
        assert!(calls > 300, "{calls}");
    });
}

#[test]
fn row_41_steps_of_the_wall_clock_do_not_change_reconnects() {
    paused(async {
        let script = Script::default();
        let _tree = start(&script).await;
        script.refuse_connects();
        script.state().connect = Act::Fail(BackendError::Disconnected(std::io::ErrorKind::ConnectionRefused));
        let before = script.connects();
        for step in 0..1_000 {
            set_wall_clock(["2024-06-01T00:00:00Z", "1999-12-31T23:59:59Z"][step % 2]);
            sleep(10 * MILLI).await;
        }
        // Two links, each with full jitter up to 200 ms: about ten attempts a second each.
        let attempts = script.connects() - before;
        assert!((100..600).contains(&attempts), "{attempts} in 10 s");
        script.heal();
        sleep(SECOND).await;
        assert_eq!(script.open(), 2);
    });
}

/// A token is made at one time of the wall clock and checked at another; the zone is Berlin, and the grace ten minutes.
#[rstest]
#[case::no_step("2024-06-01T12:30:00Z", "2024-06-01T12:30:00Z", true)]
#[case::a_step_within_the_hour("2024-06-01T12:59:00Z", "2024-06-01T12:00:00Z", true)]
#[case::the_hour_turns("2024-06-01T12:59:59Z", "2024-06-01T13:00:00Z", true)]
#[case::the_grace_is_over("2024-06-01T12:59:59Z", "2024-06-01T13:10:00Z", false)]
#[case::an_hour_ahead("2024-06-01T12:30:00Z", "2024-06-01T13:30:00Z", false)]
#[case::an_hour_back("2024-06-01T12:30:00Z", "2024-06-01T11:30:00Z", false)]
#[case::a_second_back_over_the_turn("2024-06-01T13:00:00Z", "2024-06-01T12:59:59Z", false)]
#[case::into_summer_time("2024-03-31T00:59:59Z", "2024-03-31T01:00:00Z", true)]
#[case::into_summer_time_and_the_grace_is_over("2024-03-31T00:59:59Z", "2024-03-31T01:10:00Z", false)]
#[case::out_of_summer_time_the_hour_comes_twice("2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", true)]
#[case::out_of_summer_time_two_hours_later("2024-10-27T00:30:00Z", "2024-10-27T02:30:00Z", false)]
fn row_41_an_admin_token_goes_by_the_wall_clock_of_the_check(
    #[case] made: &str,
    #[case] checked: &str,
    #[case] holds: bool,
) {
    paused(async {
        let tree = start(&Script::default()).await;
        let token = authenticator().admin_token(made.parse().unwrap());
        set_wall_clock(made);
        assert_eq!(tree.score("admin", &token).await, Ok(Answer::AdminScore));
        set_wall_clock(checked);
        let expected = if holds { Ok(Answer::AdminScore) } else { Err(CallError::Forbidden(Forbidden)) };
        assert_eq!(tree.score("admin", &token).await, expected);
        // A step leaves no trace.
        set_wall_clock(made);
        assert_eq!(tree.score("admin", &token).await, Ok(Answer::AdminScore));
    });
}

/// Messages of one turn pass all actors before a store is asked.
#[test]
fn calls_that_arrive_together_are_one_question_to_the_store() {
    paused(async {
        set_wall_clock("2026-06-15T12:00:00Z");
        let script = Script::default();
        script.state().gathers = true;
        let tree = start(&script).await;
        let token = authenticator().partner_token("a", "l");
        let calls = (0..10).map(|person| {
            let arguments = json!({"phone": format!("7{person:010}"), "email": "a@b"});
            tree.call("l", &token, "online_score", arguments)
        });
        let outcomes = join_all(calls).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Answer::Score(_)))), "{outcomes:?}");
        settle().await;
        let state = script.state();
        assert_eq!(
            (state.together.as_slice(), state.written_together.as_slice()),
            ([10].as_slice(), [10].as_slice())
        );
    });
}
