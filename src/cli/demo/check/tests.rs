//! The judgement of answers, and their counts.

use rstest::rstest;

use super::*;
use crate::cli::failure::Failure;

const MS: Duration = Duration::from_millis(1);

fn score(value: f64) -> Result<CallAnswer, ClientError> {
    Ok(CallAnswer::Score(crate::client::Score::new(value).unwrap()))
}

fn away() -> Result<CallAnswer, ClientError> {
    Err(ClientError::Unavailable { retry_after: None })
}

fn books(id: i64) -> InterestsById {
    [(id, vec!["books".to_owned()])].into()
}

#[rstest]
#[case::right(score(3.0), true)]
#[case::another_score(score(3.5), false)]
#[case::interests(Ok(CallAnswer::Interests(books(1))), false)]
#[case::store_away(away(), false)]
#[case::lost_with_a_panic(Err(ClientError::Internal), false)]
#[case::no_answer(Err(ClientError::DeadlineExceeded), false)]
fn a_score_is_right_or_wrong(#[case] outcome: Result<CallAnswer, ClientError>, #[case] right: bool) {
    let verdict = Verdict::of_score(Score::new(3.0), &outcome);
    assert_eq!(verdict == Verdict::Right, right, "{verdict:?}");
    assert_ne!(verdict, Verdict::Away);
}

#[rstest]
#[case::right(Ok(CallAnswer::Interests(books(1))), false, "right")]
#[case::of_another_client(Ok(CallAnswer::Interests(books(2))), true, "wrong")]
#[case::empty(Ok(CallAnswer::Interests([(1, Vec::new())].into())), true, "wrong")]
#[case::refused_while_away(away(), true, "away")]
#[case::refused_while_there(away(), false, "wrong")]
#[case::lost_with_a_panic(Err(ClientError::Internal), true, "wrong")]
fn interests_are_right_or_refused_while_the_store_is_away(
    #[case] outcome: Result<CallAnswer, ClientError>,
    #[case] is_away: bool,
    #[case] expected: &str,
) {
    let found = match Verdict::of_interests(&books(1), &outcome, is_away) {
        Verdict::Right => "right",
        Verdict::Away => "away",
        Verdict::Wrong(_) => "wrong",
    };
    assert_eq!(found, expected);
}

#[test]
fn one_wrong_score_makes_the_demo_fail() {
    let mut tally = Tally::default();
    tally.count(Method::OnlineScore, Verdict::Right, MS);
    tally.count(Method::ClientsInterests, Verdict::Away, MS);
    assert_eq!(tally.last_line(), "2 calls, 0 wrong");
    tally.verdict().unwrap();
    tally.count(Method::OnlineScore, Verdict::of_score(Score::new(3.0), &score(3.5)), MS);
    assert_eq!(tally.last_line(), "3 calls, 1 wrong");
    let failure = Failure::from(tally.verdict().unwrap_err());
    let expected = "1 of 3 calls were answered wrongly; the first: online_score: another score";
    assert_eq!((failure.to_string().as_str(), failure.exit_code()), (expected, 1));
}

#[test]
fn a_streak_ends_with_a_refusal() {
    let mut tally = Tally::default();
    let mut count = |verdict| tally.count(Method::ClientsInterests, verdict, MS);
    count(Verdict::Right);
    count(Verdict::Away);
    count(Verdict::Right);
    count(Verdict::Right);
    assert_eq!(tally.streak(), 2);
    let counts = tally.take();
    assert_eq!((counts.interests, counts.away, counts.wrong), (3, 1, 0));
    assert_eq!(tally.take(), Counts::default());
}

#[rstest]
#[case::empty(0, None)]
#[case::one(1, Some(1))]
#[case::fifty(50, Some(50))]
#[case::two_hundred(200, Some(198))]
fn p99_is_the_nearest_rank(#[case] scores: u32, #[case] millis: Option<u32>) {
    let latencies = (1..=scores).rev().map(|millis| MS * millis).collect();
    assert_eq!(Counts { latencies, ..Counts::default() }.p99(), millis.map(|millis| MS * millis));
}
