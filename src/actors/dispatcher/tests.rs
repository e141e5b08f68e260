mod admission;

use futures_util::future::join_all;
use prometheus::Registry;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::*;
use crate::{
    actors::{
        runtime::ActorRuntime,
        testing::{self, Act, Peer, dispatcher_plan},
    },
    admission::{Shed, settings::LimitSettings},
    domain::{ClientId, Forbidden, Interests, InterestsByClient, Json, MalformedInterests, Score},
    store::StoreError,
    testing::{paused, settle},
};

const DEADLINE: Duration = Duration::from_millis(500);
const MAX_IN_FLIGHT: usize = 3;
const MILLI: Duration = Duration::from_millis(1);

struct Test {
    scoring: Peer<RateScore>,
    interests: Peer<LookUpInterests>,
    admission: Arc<Admission>,
    dispatcher: Addr<DispatcherActor>,
}

fn noon() -> DateTime<Utc> {
    "2026-06-15T12:00:00Z".parse().unwrap()
}

fn authenticator() -> Authenticator {
    testing::authenticator(chrono_tz::UTC, Duration::ZERO)
}

/// Each client's interest is its own key.
fn own_interests(clients: &[ClientId]) -> InterestsByClient {
    let values: Vec<_> =
        clients.iter().map(|client| Some(format!(r#"["{}"]"#, client.key()).into_bytes())).collect();
    InterestsByClient::from_stored(clients, &values).unwrap()
}

fn start() -> Test {
    start_at(noon)
}

fn start_at(clock: fn() -> DateTime<Utc>) -> Test {
    let scoring = Peer::new(Act::answer(|_| testing::rated(3.0)));
    let interests = Peer::new(Act::answer(|msg: &LookUpInterests| Ok(own_interests(&msg.clients))));
    let registry = Registry::new();
    let limits = LimitSettings { max_in_flight: MAX_IN_FLIGHT, ..LimitSettings::default() };
    let admission = Admission::new(&limits, &registry).unwrap();
    let plan = DispatcherPlan {
        max_client_ids: 3,
        ..dispatcher_plan(authenticator(), admission.clone(), DEADLINE, clock)
    };
    let dispatcher = DispatcherActor::new(plan, scoring.mailbox(), interests.mailbox());
    Test { scoring, interests, admission, dispatcher: ActorRuntime::default().spawn(dispatcher).address }
}

/// A call with a valid token.
fn call(login: &str, method: &str, arguments: &Value) -> MethodRequest {
    let token = if login == "admin" {
        authenticator().admin_token(noon())
    } else {
        authenticator().partner_token("account", login)
    };
    with_token(&token, login, method, arguments)
}

fn with_token(token: &str, login: &str, method: &str, arguments: &Value) -> MethodRequest {
    let body = json!({
        "account": "account", "login": login, "token": token, "method": method, "arguments": arguments,
    });
    MethodRequest::from_json(Json::parse(body.to_string().as_bytes()).unwrap()).unwrap()
}

fn score_call() -> MethodRequest {
    call("h&f", "online_score", &json!({"phone": "79175002040", "email": "a@b"}))
}

fn interests_call(ids: &[i64]) -> MethodRequest {
    call("h&f", "clients_interests", &json!({ "client_ids": ids }))
}

impl Test {
    fn send(&self, request: MethodRequest) -> impl Future<Output = Result<Handled, MailboxError>> + use<> {
        let received = Instant::now();
        self.dispatcher.send(CallMethod { request, received })
    }

    async fn call(&self, request: MethodRequest) -> Handled {
        self.send(request).await.unwrap()
    }

    fn messages_to_peers(&self) -> usize {
        self.scoring.received.get() + self.interests.received.get()
    }

    /// The numbers of calls shed for overload and for their deadline.
    fn shed(&self) -> [u64; 2] {
        [Shed::Overload, Shed::Deadline].map(|shed| self.admission.rejected(shed))
    }

    fn free(&self) -> usize {
        self.admission.free()
    }
}

/// The field for which a call is rejected.
fn fault(handled: &Handled) -> &'static str {
    match &handled.outcome {
        Err(CallError::Invalid(faults)) => faults.iter().next().unwrap().field,
        other => panic!("{other:?}"),
    }
}

// ===== routing =====

#[test]
fn a_score_call_goes_to_scoring_with_the_calls_deadline() {
    paused(async {
        let test = start();
        let deadline = Deadline::after(Instant::now(), DEADLINE);
        let handled = test.call(score_call()).await;
        assert_eq!(handled.outcome, Ok(Answer::Score(Score::new(3.0).unwrap())));
        assert_eq!(test.scoring.last().unwrap().deadline, deadline);
        assert_eq!(test.messages_to_peers(), 1);
    });
}

#[test]
fn an_interests_call_goes_to_interests_with_each_client_once() {
    paused(async {
        let test = start();
        let handled = test.call(interests_call(&[2, 1, 2])).await;
        assert_eq!(handled.outcome, Ok(Answer::Interests(own_interests(&[ClientId(2), ClientId(1)]))));
        assert_eq!(test.interests.last().unwrap().clients, [ClientId(2), ClientId(1)]);
        assert_eq!(test.messages_to_peers(), 1);
    });
}

#[test]
fn the_admin_gets_42_without_a_word_to_scoring() {
    paused(async {
        let test = start();
        let arguments = json!({"first_name": "a", "last_name": "b"});
        let handled = test.call(call("admin", "online_score", &arguments)).await;
        assert_eq!(handled.outcome, Ok(Answer::AdminScore));
        assert_eq!(handled.context, CallContext::Has(vec!["first_name", "last_name"]));
        assert_eq!(test.messages_to_peers(), 0);
    });
}

#[test]
fn the_admins_interests_are_looked_up_like_anyones() {
    paused(async {
        let test = start();
        let handled = test.call(call("admin", "clients_interests", &json!({"client_ids": [1]}))).await;
        assert!(matches!(handled.outcome, Ok(Answer::Interests(_))));
    });
}

// ===== the order of checks =====

#[rstest]
#[case::all_is_wrong("nonsense", json!({"phone": 1}))]
#[case::the_method_is_right("online_score", json!({"phone": 1}))]
#[case::all_else_is_right("online_score", json!({"phone": "79175002040", "email": "a@b"}))]
fn a_bad_token_is_refused_before_anything_else_is_looked_at(
    #[case] method: &str,
    #[case] arguments: Value,
    #[values("h&f", "admin")] login: &str,
) {
    paused(async {
        let test = start();
        let handled = test.call(with_token("bad", login, method, &arguments)).await;
        assert_eq!(handled.outcome, Err(CallError::Forbidden(Forbidden)));
        assert_eq!(handled.context, CallContext::Unknown);
        assert_eq!(test.messages_to_peers(), 0);
    });
}

#[rstest]
#[case::unknown_method_and_bad_arguments("h&f", "nonsense", json!({"phone": 1}), "method", CallContext::Unknown)]
#[case::unknown_method_of_the_admin("admin", "nonsense", json!({"phone": 1}), "method", CallContext::Unknown)]
#[case::bad_arguments_of_a_score("h&f", "online_score", json!({"phone": 1, "email": "a@b"}), "phone", CallContext::Has(vec!["phone", "email"]))]
#[case::bad_arguments_of_the_admin("admin", "online_score", json!({"phone": 1, "email": "a@b"}), "phone", CallContext::Has(vec!["phone", "email"]))]
#[case::no_arguments_of_the_admin("admin", "online_score", json!({}), "arguments", CallContext::Has(vec![]))]
#[case::bad_arguments_of_interests("h&f", "clients_interests", json!({"client_ids": []}), "client_ids", CallContext::Clients(0))]
#[case::too_many_clients("h&f", "clients_interests", json!({"client_ids": [1, 2, 3, 4]}), "client_ids", CallContext::Clients(4))]
#[case::born_tomorrow("h&f", "online_score", json!({"gender": 1, "birthday": "16.06.2026"}), "birthday", CallContext::Has(vec!["birthday", "gender"]))]
fn a_call_with_a_fault_is_answered_without_a_message_to_a_peer(
    #[case] login: &str,
    #[case] method: &str,
    #[case] arguments: Value,
    #[case] field: &str,
    #[case] context: CallContext,
) {
    paused(async {
        let test = start();
        let handled = test.call(call(login, method, &arguments)).await;
        assert_eq!(fault(&handled), field);
        assert_eq!(handled.context, context);
        assert_eq!(test.messages_to_peers(), 0);
        assert_eq!(test.free(), MAX_IN_FLIGHT);
    });
}

/// Only the token check reads the clock, so a clock that panics shows that no token was checked.
#[test]
fn a_call_that_comes_too_late_is_refused_before_any_work() {
    paused(async {
        let test = start_at(|| panic!("the token was looked at"));
        let request = score_call();
        let received = Instant::now();
        advance(DEADLINE).await;
        let handled = test.dispatcher.send(CallMethod { request, received }).await.unwrap();
        assert_eq!(handled.outcome, Err(CallError::Unavailable(Outage::Deadline)));
        assert_eq!(test.messages_to_peers(), 0);
        assert_eq!(test.shed(), [0, 1]);
    });
}

// ===== the context =====

#[test]
fn the_context_names_present_arguments_in_the_tables_order() {
    paused(async {
        let test = start();
        let arguments = json!({
            "gender": 0, "birthday": "01.01.2000", "last_name": "", "phone": null, "email": "a@b", "more": 1,
        });
        let handled = test.call(call("h&f", "online_score", &arguments)).await;
        let expected = CallContext::Has(vec!["email", "birthday", "gender"]);
        assert_eq!(handled.context, expected);
    });
}

#[test]
fn the_context_counts_clients_as_they_were_given() {
    paused(async {
        let test = start();
        let handled = test.call(interests_call(&[1, 1, 2])).await;
        assert_eq!(handled.context, CallContext::Clients(3));
    });
}

#[test]
fn the_context_is_known_of_a_call_that_fails_later() {
    paused(async {
        let test = start();
        test.interests.act(Act::Panic);
        let handled = test.call(interests_call(&[1, 1])).await;
        assert_eq!(handled.context, CallContext::Clients(2));
    });
}

// ===== peers =====

#[rstest]
#[case::scoring_falls(score_call(), CallError::Internal(Defect::Actor), Duration::ZERO)]
#[case::interests_fall(interests_call(&[1]), CallError::Internal(Defect::Actor), Duration::ZERO)]
fn row_30_a_peer_that_falls_is_an_internal_error_at_once(
    #[case] request: MethodRequest,
    #[case] error: CallError,
    #[case] took: Duration,
) {
    paused(async {
        let test = start();
        test.scoring.act(Act::Panic);
        test.interests.act(Act::Panic);
        let begun = Instant::now();
        let again = request.clone();
        assert_eq!(test.call(request).await.outcome, Err(error.clone()));
        // These peers are not supervised: their mailboxes are closed from now on, with the same result.
        assert_eq!(test.call(again).await.outcome, Err(error));
        assert_eq!(begun.elapsed(), took);
    });
}

#[rstest]
#[case::scoring(score_call(), Outage::Actor)]
#[case::interests(interests_call(&[1]), Outage::Deadline)]
fn a_stuck_peer_makes_the_call_unavailable_at_its_deadline(
    #[case] request: MethodRequest,
    #[case] outage: Outage,
) {
    paused(async {
        let test = start();
        test.scoring.act(Act::Hang);
        test.interests.act(Act::Hang);
        let received = Instant::now();
        // The time that the call waited before the dispatcher read it counts.
        advance(100 * MILLI).await;
        let call = CallMethod { request, received };
        let handled = test.dispatcher.send(call).await.unwrap();
        assert_eq!(handled.outcome, Err(CallError::Unavailable(outage)));
        assert!(received.elapsed() - DEADLINE <= MILLI, "{:?}", received.elapsed());
    });
}

fn malformed() -> MalformedInterests {
    Interests::from_json(b"nonsense").unwrap_err()
}

#[rstest]
#[case::unavailable(|| StoreError::Unavailable.into(), CallError::Unavailable(Outage::StoreDown))]
#[case::timed_out(|| StoreError::TimedOut.into(), CallError::Unavailable(Outage::Deadline))]
#[case::store_actor_restarts(|| InterestsError::Lost, CallError::Unavailable(Outage::Actor))]
#[case::bad_value(|| StoreError::BadValue.into(), CallError::Internal(Defect::MalformedValue))]
#[case::malformed(
    || InterestsError::Malformed { client: ClientId(1), source: malformed() },
    CallError::Internal(Defect::MalformedValue)
)]
fn what_trying_again_can_mend_is_told_from_what_it_cannot(
    #[case] error: fn() -> InterestsError,
    #[case] expected: CallError,
) {
    paused(async {
        let test = start();
        test.interests.act(Act::answer(move |_| Err(error())));
        assert_eq!(test.call(interests_call(&[1])).await.outcome, Err(expected));
    });
}
