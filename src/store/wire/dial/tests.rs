use std::net::Ipv4Addr;

use futures_util::future::pending;
use rstest::rstest;
use tokio::time::{advance, sleep};

use super::*;

/// A limit that only a connect which goes on without end reaches.
const GENEROUS: Duration = Duration::from_secs(20);

fn numbered(count: u16) -> Vec<SocketAddr> {
    (1..=count).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect()
}

#[rstest]
#[case::the_first_is_silent(&[None, Some(Ok(0))], 100, Ok(2))]
#[case::two_are_silent(&[None, None, Some(Ok(0))], 200, Ok(3))]
#[case::the_first_fails(&[Some(Err(30)), Some(Ok(0))], 30, Ok(2))]
#[case::a_slow_one_wins_over_a_silent_one(&[Some(Ok(150)), None], 150, Ok(1))]
#[case::the_faster_one_wins(&[Some(Ok(500)), Some(Ok(10))], 110, Ok(2))]
#[case::all_fail(&[Some(Err(250)), Some(Err(0)), Some(Err(0))], 250, Err(vec![2, 3, 1]))]
#[tokio::test(start_paused = true)]
async fn row_53_attempts_are_staggered(
    #[case] outcomes: &[Option<Result<u64, u64>>],
    #[case] takes_ms: u64,
    #[case] expected: Result<u16, Vec<u16>>,
) {
    let addresses = numbered(u16::try_from(outcomes.len()).unwrap());
    let begun = Instant::now();
    let outcome = timeout(
        GENEROUS,
        race(addresses, STAGGER, |address| async move {
            let number = address.port();
            match outcomes[usize::from(number) - 1] {
                None => pending().await,
                Some(Ok(after)) => {
                    sleep(Duration::from_millis(after)).await;
                    Ok(number)
                }
                Some(Err(after)) => {
                    sleep(Duration::from_millis(after)).await;
                    Err(number)
                }
            }
        }),
    )
    .await
    .expect("the race does not end");
    assert_eq!(outcome, expected);
    assert_eq!(begun.elapsed(), Duration::from_millis(takes_ms));
}

#[rstest]
#[case::one(1, 100)]
#[case::two(2, 100)]
#[case::nine(9, 30)]
#[tokio::test(start_paused = true)]
async fn row_53_the_last_of_many_addresses_has_its_share_of_the_limit(#[case] count: usize, #[case] ms: u64) {
    let deadline = Instant::now() + Duration::from_millis(400);
    advance(Duration::from_millis(100)).await;
    assert_eq!(stagger(deadline, count), Duration::from_millis(ms));
}
