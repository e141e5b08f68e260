use std::{cell::RefCell, future::pending};

use rstest::rstest;
use tokio::time::sleep;

use super::*;
use crate::error::{Transport, Unexpected};

const DEADLINE: Duration = Duration::from_secs(5);

fn policy(attempts: u32, first_wait_millis: u64) -> Policy {
    let first_wait = Duration::from_millis(first_wait_millis);
    Policy { deadline: DEADLINE, attempts, first_wait, ..Policy::default() }
}

fn unavailable(seconds: Option<u64>) -> ClientError {
    ClientError::Unavailable { retry_after: seconds.map(Duration::from_secs) }
}

/// Answers with the errors in turn, then with 7; says when each try began.
async fn play(policy: &Policy, errors: Vec<ClientError>) -> (Result<i32, ClientError>, Vec<Duration>) {
    let begun = Instant::now();
    let (tries, errors) = (RefCell::new(Vec::new()), RefCell::new(errors.into_iter()));
    let outcome = within(policy, &mut fastrand::Rng::with_seed(1), || {
        tries.borrow_mut().push(begun.elapsed());
        let next = errors.borrow_mut().next();
        async { next.map_or(Ok(7), Err) }
    })
    .await;
    assert!(begun.elapsed() <= policy.deadline);
    (outcome, tries.into_inner())
}

#[rstest]
#[case::rate_limited(ClientError::RateLimited { retry_after: None })]
#[case::unavailable(unavailable(None))]
#[case::too_slow(ClientError::TooSlow { retry_after: None })]
#[case::timed_out(Transport::TimedOut.into())]
#[tokio::test(start_paused = true)]
async fn a_temporary_failure_is_retried(#[case] error: ClientError) {
    let (outcome, tries) = play(&policy(4, 50), vec![error]).await;
    assert_eq!((outcome.unwrap(), tries.len()), (7, 2));
    assert!(tries[1] <= Duration::from_millis(51), "{tries:?}");
}

#[rstest]
#[case::forbidden(ClientError::Forbidden)]
#[case::bad_request(ClientError::BadRequest(String::new()))]
#[case::invalid(ClientError::Invalid(vec![]))]
#[case::not_found(ClientError::NotFound)]
#[case::wrong_verb(ClientError::WrongVerb)]
#[case::too_large(ClientError::TooLarge)]
#[case::head_too_large(ClientError::HeadTooLarge)]
#[case::internal(ClientError::Internal)]
#[case::unexpected(Unexpected::Shape.into())]
#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_not_retried(#[case] error: ClientError) {
    let expected = error.to_string();
    let (outcome, tries) = play(&policy(4, 50), vec![error]).await;
    assert_eq!((outcome.unwrap_err().to_string(), tries.len()), (expected, 1));
}

#[tokio::test(start_paused = true)]
async fn the_wait_that_was_asked_for_is_kept_and_jitter_comes_on_top() {
    let (outcome, tries) = play(&policy(4, 200), vec![unavailable(Some(2))]).await;
    assert_eq!(outcome.unwrap(), 7);
    assert!((2_001..2_201).contains(&tries[1].as_millis()), "{tries:?}");
}

#[tokio::test(start_paused = true)]
async fn waits_grow() {
    let errors = (0..4).map(|_| unavailable(None)).collect();
    let (outcome, tries) = play(&policy(5, 100), errors).await;
    assert_eq!(outcome.unwrap(), 7);
    for (number, pair) in tries.windows(2).enumerate() {
        let (wait, ceiling) = (pair[1] - pair[0], Duration::from_millis(100 << number));
        assert!(wait <= ceiling + Duration::from_millis(1), "{tries:?}");
    }
}

#[rstest]
#[case::first(1, 10)]
#[case::doubled(2, 20)]
#[case::just_below_the_longest(7, 640)]
#[case::the_longest(8, 1_000)]
#[case::far_beyond(u32::MAX, 1_000)]
fn waits_fill_the_whole_range_below_their_ceiling(#[case] failures: u32, #[case] ceiling: u64) {
    let (policy, mut random) = (policy(9, 10), fastrand::Rng::with_seed(7));
    let ceiling = Duration::from_millis(ceiling);
    let waits: Vec<_> = (0..1_000).map(|_| jittered(&policy, failures, &mut random)).collect();
    assert!(waits.iter().all(|wait| *wait <= ceiling));
    assert!(waits.iter().any(|wait| *wait > ceiling * 9 / 10));
    assert!(waits.iter().any(|wait| *wait < ceiling / 10));
}

#[tokio::test(start_paused = true)]
async fn tries_are_counted() {
    let errors = (0..9).map(|_| unavailable(None)).collect();
    let (outcome, tries) = play(&policy(3, 50), errors).await;
    assert!(matches!(outcome, Err(ClientError::Unavailable { .. })));
    assert_eq!(tries.len(), 3);
}

#[rstest]
#[case::just_the_deadline(5)]
#[case::a_day(86_400)]
#[case::for_ever(u64::MAX)]
#[tokio::test(start_paused = true)]
async fn a_wait_past_the_deadline_is_not_begun(#[case] seconds: u64) {
    let begun = Instant::now();
    let (outcome, tries) = play(&policy(4, 50), vec![unavailable(Some(seconds))]).await;
    let Err(ClientError::Unavailable { retry_after }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(seconds)));
    assert_eq!((tries.len(), begun.elapsed()), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_silent_try_times_out_and_the_last_one_ends_at_the_deadline() {
    let begun = Instant::now();
    let outcome = within::<(), _>(&policy(9, 50), &mut fastrand::Rng::with_seed(1), pending).await;
    assert!(matches!(outcome, Err(ClientError::DeadlineExceeded)));
    assert_eq!(begun.elapsed(), DEADLINE);
    let brief = Policy { attempts: 2, ..policy(2, 50) };
    let outcome = within::<(), _>(&brief, &mut fastrand::Rng::with_seed(1), pending).await;
    assert!(matches!(outcome, Err(ClientError::Transport(Transport::TimedOut))));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_in_time_is_taken() {
    let slow = || async {
        sleep(Duration::from_millis(1_999)).await;
        Ok(7)
    };
    let outcome = within(&policy(1, 50), &mut fastrand::Rng::new(), slow).await;
    assert_eq!(outcome.unwrap(), 7);
}
