//! Rows 30 and 31 of the fault table: the answer to a call that panics an actor. And the caller's trace, and the logged
//! account.

use std::cell::Cell;

use actix_http::Request;
use actix_web::{
    App, Error,
    body::to_bytes,
    dev::{Service, ServiceResponse},
    http::header::HeaderValue,
    test::{TestRequest, call_service, init_service},
};
use chrono::{DateTime, Utc};
use prometheus::Registry;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::{
    actors::{
        dispatcher::DispatcherActor,
        interests::LookUpInterests,
        runtime::ActorRuntime,
        scoring::RateScore,
        testing::{self, Act, Peer, dispatcher_plan},
    },
    admission::settings::LimitSettings,
    domain::Authenticator,
};

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

thread_local! {
    static CLOCK_PANICS: Cell<bool> = const { Cell::new(false) };
}

/// The dispatcher reads it for each call that it takes on.
fn clock() -> DateTime<Utc> {
    assert!(!CLOCK_PANICS.get(), "told to panic");
    DateTime::UNIX_EPOCH
}

fn authenticator() -> Authenticator {
    testing::authenticator(chrono_tz::UTC, Duration::ZERO)
}

/// The handler with a dispatcher under its supervisor.
async fn service(
    scoring: &Peer<RateScore>,
) -> impl Service<Request, Response = ServiceResponse, Error = Error> + use<> {
    let registry = Registry::new();
    let limits = LimitSettings { max_in_flight: 1, ..LimitSettings::default() };
    let admission = Admission::new(&limits, &registry).unwrap();
    let deadline = Duration::from_secs(5);
    let plan = dispatcher_plan(authenticator(), admission.clone(), deadline, clock);
    let interests = Peer::<LookUpInterests>::new(Act::Hang).mailbox();
    let actor = DispatcherActor::new(plan, scoring.mailbox(), interests);
    let mailbox: Mailbox<CallMethod> = ActorRuntime::default().spawn(actor).mailbox();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let plan = CallPlan { body_limit: 1 << 16, body_timeout: deadline, deadline, admission, metrics };
    let app = App::new()
        .app_data(web::Data::new(plan))
        .app_data(web::Data::new(mailbox))
        .route("/method", web::post().to(call));
    init_service(app).await
}

/// The status and the body of the answer to a call of `online_score`.
async fn score(service: &impl Service<Request, Response = ServiceResponse, Error = Error>) -> (u16, Value) {
    let body = json!({
        "account": "a", "login": "l", "token": authenticator().partner_token("a", "l"), "method": "online_score",
        "arguments": {"phone": "79175002040", "email": "a@b"},
    });
    let request = TestRequest::post().uri("/method").set_payload(body.to_string()).to_request();
    let response = call_service(service, request).await;
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap())
}

fn internal_server_error() -> (u16, Value) {
    (500, json!({"code": 500, "error": "Internal Server Error"}))
}

#[actix_web::test]
async fn row_31_a_call_that_panics_is_500_and_the_next_is_answered() {
    let scoring = Peer::new(Act::answer(|_| testing::rated(3.0)));
    let service = service(&scoring).await;
    for _ in 0..3 {
        CLOCK_PANICS.set(true);
        assert_eq!(score(&service).await, internal_server_error());
        CLOCK_PANICS.set(false);
        assert_eq!(score(&service).await, (200, json!({"code": 200, "response": {"score": 3.0}})));
    }
}

#[actix_web::test]
async fn row_30_a_call_that_scoring_falls_over_is_500() {
    let scoring = Peer::new(Act::Panic);
    let service = service(&scoring).await;
    assert_eq!(score(&service).await, internal_server_error());
}

#[rstest]
#[case::shorter("книги", "книги")]
#[case::as_long_as_may_be("книгик", "книгик")]
#[case::longer("книги, books", "книги,")]
#[case::empty("", "")]
fn a_logged_account_has_a_maximum_length(#[case] account: &str, #[case] logged: &str) {
    assert_eq!(beginning(account, 6), logged);
}

/// As W3C's Trace Context demands: two headers cannot both be right.
#[rstest]
#[case::one(&[GIVEN], true)]
#[case::two(&[GIVEN, GIVEN], false)]
#[case::two_of_which_one_is_invalid(&[GIVEN, "x"], false)]
#[case::an_invalid_one(&["x"], false)]
#[case::without_one(&[], false)]
fn only_a_single_valid_traceparent_is_taken_over(#[case] given: &[&str], #[case] taken: bool) {
    let mut headers = HeaderMap::new();
    for value in given {
        headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
    }
    assert_eq!(traced_by(&headers).is_some(), taken);
}
