use rstest::rstest;

use super::*;

fn claim(host: &str, epoch: u64) -> Claim {
    Claim { primary: HostAndPort { host: host.to_owned(), port: 6379 }, epoch }
}

fn says(host: &str, epoch: u64) -> Answer {
    Answer::Claim(claim(host, epoch))
}

fn gone() -> Answer {
    Answer::Failed("timed out".to_owned())
}

#[rstest]
#[case::first(None, vec![says("a", 1), says("a", 1), says("a", 1)], Some(claim("a", 1)))]
#[case::greatest_epoch(None, vec![says("a", 1), says("a", 1), says("b", 2)], Some(claim("b", 2)))]
#[case::leader_knows_first(Some(claim("a", 1)), vec![says("a", 1), says("b", 2), says("a", 1)], Some(claim("b", 2)))]
#[case::one_with_old_news(Some(claim("b", 2)), vec![says("a", 1), gone(), gone()], Some(claim("b", 2)))]
#[case::all_gone(Some(claim("b", 2)), vec![gone(), gone(), gone()], Some(claim("b", 2)))]
#[case::most_start_anew(Some(claim("b", 9)), vec![says("a", 0), says("a", 0), gone()], Some(claim("a", 0)))]
#[case::most_for_one_epoch(Some(claim("a", 1)), vec![says("a", 1), says("b", 1), says("b", 1)], Some(claim("b", 1)))]
#[case::as_many_for_each(Some(claim("a", 1)), vec![says("a", 1), says("b", 1)], Some(claim("a", 1)))]
#[case::as_many_for_each_turned(Some(claim("a", 1)), vec![says("b", 1), says("a", 1)], Some(claim("a", 1)))]
#[case::nobody_knows(None, vec![gone(), gone(), gone()], None)]
fn row_25c_the_greatest_epoch_wins(
    #[case] known: Option<Claim>,
    #[case] answers: Vec<Answer>,
    #[case] expected: Option<Claim>,
) {
    assert_eq!(choose(known.as_ref(), &answers), expected);
}

#[test]
fn row_25c_a_sentinel_with_old_news_does_not_decide_at_the_start() {
    let mut view = View { claim: None, answers: vec![Answer::Outstanding; 3] };
    view.hear("name", 0, says("old", 1));
    assert!(view.claim.is_none() && !view.is_decided());
    view.hear("name", 1, says("new", 2));
    assert_eq!(view.claim, Some(claim("new", 2)));
    // An answer that changes nothing does not wake a reader.
    assert!(!view.hear("name", 1, says("new", 2)));
}

#[test]
fn one_sentinel_of_three_is_believed_when_the_others_do_not_answer() {
    let mut view = View { claim: None, answers: vec![Answer::Outstanding; 3] };
    view.hear("name", 0, says("a", 1));
    view.hear("name", 1, gone());
    assert!(!view.is_decided());
    view.hear("name", 2, gone());
    assert_eq!(view.claim, Some(claim("a", 1)));
}
