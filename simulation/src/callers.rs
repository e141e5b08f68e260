//! Callers of both methods. They compare every answer with the model.

use std::{rc::Rc, time::Duration};

use fastrand::Rng;
use futures_util::future::join_all;
use scoring_api::{
    actors::dispatcher::CallMethod,
    deadline::Deadline,
    domain::{Answer, CallError, Json, MethodRequest},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    run::Run,
    world::{CLIENTS, Stored},
};

/// The time within which a score is answered.
const SCORE_WITHIN: Duration = Duration::from_millis(100);

/// The time within which interests are answered, or refused.
const INTERESTS_WITHIN: Duration = Duration::from_millis(600);

/// The time that a caller waits at most, far above all bounds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Interests by client, as answered.
type Found = std::collections::BTreeMap<String, Vec<String>>;

/// Calls again and again, until the run is over.
pub async fn call_on(run: Rc<Run>, mut random: Rng, is_patient: bool) {
    while !run.is_over() {
        sleep(Duration::from_millis(random.u64(5..1_000))).await;
        let patience = if is_patient { PATIENCE } else { Duration::from_millis(random.u64(1..30)) };
        // Sometimes several at once, so that replies follow each other on a connection.
        let calls = [1, 1, 1, 8][random.usize(..4)];
        let calls = (0..calls).map(|_| one_call(&run, random.fork(), patience));
        join_all(calls).await;
    }
}

async fn one_call(run: &Run, mut random: Rng, patience: Duration) {
    if random.bool() {
        score(run, &mut random, patience).await;
    } else {
        interests(run, &mut random, patience).await;
    }
}

/// One call of `online_score`.
pub async fn score(run: &Run, random: &mut Rng, patience: Duration) {
    let person = random.choice(&run.world.persons).unwrap_or_else(|| unreachable!());
    let (begun, outcome) = call(run, "online_score", &person.arguments, patience).await;
    match outcome {
        None => {}
        Some(Ok(Answer::Score(score))) if score == person.score => {
            // A stuck actor answers late, by the deadline.
            let is_excused = run.excuses.scores(run.time_of(begun), run.now());
            run.check_time("online_score", begun, if is_excused { INTERESTS_WITHIN } else { SCORE_WITHIN });
        }
        Some(Ok(answer)) => run.failed(&format!("a wrong score: {answer:?} in place of {:?}", person.score)),
        Some(Err(_)) if run.excuses.scores(run.time_of(begun), run.now()) => {}
        Some(Err(error)) => run.failed(&format!("online_score: {error}")),
    }
}

/// One call of `clients_interests`.
pub async fn interests(run: &Run, random: &mut Rng, patience: Duration) {
    let mut wanted: Vec<i64> = (0..random.usize(1..=4)).map(|_| random.i64(CLIENTS)).collect();
    // Some callers ask for nothing but a value that cannot be answered.
    if let Some(at_fault) = run.world.ledger.at_fault()
        && random.bool()
    {
        wanted = vec![at_fault];
    }
    let arguments = format!("{{\"client_ids\": {wanted:?}}}");
    let (begun, outcome) = call(run, "clients_interests", &arguments, patience).await;
    let could_be = |client: &i64| run.world.ledger.since(*client, begun);
    match outcome {
        None => {}
        Some(Ok(Answer::Interests(answer))) => {
            run.check_time("clients_interests", begun, INTERESTS_WITHIN);
            let found: Found = serde_json::from_str(answer.as_json()).unwrap_or_default();
            for client in &wanted {
                let answered = found.get(&client.to_string());
                let is_right = could_be(client).iter().any(|stored| match stored {
                    Stored::Nothing => answered.is_some_and(Vec::is_empty),
                    Stored::Interests(text) => answered
                        .is_some_and(|interests| serde_json::from_str(text).ok().as_ref() == Some(interests)),
                    Stored::OtherKind => false,
                });
                if !is_right {
                    let stored = could_be(client);
                    run.failed(&format!(
                        "wrong interests of client {client}: {answered:?}; stored were {stored:?}"
                    ));
                }
            }
        }
        Some(Ok(answer)) => run.failed(&format!("an answer of another kind: {answer:?}")),
        Some(Err(error)) => {
            run.check_time("clients_interests", begun, INTERESTS_WITHIN);
            let is_at_fault = wanted.iter().any(|client| could_be(client).contains(&Stored::OtherKind));
            let (from, to) = (run.time_of(begun), run.now());
            let is_excused =
                run.excuses.interests(from, to) || (is_at_fault && matches!(error, CallError::Internal(_)));
            if !is_excused {
                run.failed(&format!("clients_interests of {wanted:?}: {error}"));
            }
        }
    }
}

/// The time of the call's beginning, and its outcome; `None` if the caller gave it up.
async fn call(
    run: &Run,
    method: &str,
    arguments: &str,
    patience: Duration,
) -> (Instant, Option<Result<Answer, CallError>>) {
    let token = run.service.authenticator.load().partner_token("partner", "simulated");
    let body = format!(
        r#"{{"account": "partner", "login": "simulated", "method": "{method}", "token": "{token}", "arguments": {arguments}}}"#
    );
    let json = Json::parse(body.as_bytes()).unwrap_or_else(|error| unreachable!("{error}"));
    let request = MethodRequest::from_json(json).unwrap_or_else(|error| unreachable!("{error}"));
    let begun = Instant::now();
    let deadline = Deadline::after(begun, INTERESTS_WITHIN);
    let asked = run.service.tree.calls.ask(CallMethod { request, received: begun }, deadline.instant());
    let outcome = timeout(patience, asked).await.ok();
    (begun, outcome.map(|outcome| outcome.map_or_else(|lost| Err(lost.into()), |handled| handled.outcome)))
}
