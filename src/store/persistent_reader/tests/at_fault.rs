use super::*;
use crate::store::Size;

const MIB: u64 = 1 << 20;

fn lost() -> Act {
    Act::FailAfter(10 * MILLI, BackendError::Disconnected(NotConnected))
}

async fn ask(requests: &PersistentReader, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    requests.get_many(keys(names), Instant::now() + 600 * MILLI).await
}

fn at_fault(positions: &[usize], cause: StoreError) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    Err(StoreError::AtFault { positions: positions.to_vec(), cause: Box::new(cause) })
}

#[rstest]
#[case::another_kind(BackendError::WrongType, StoreError::BadValue, Size::OtherKind, &[1])]
#[case::too_large(BackendError::TooLarge, StoreError::TooLarge, Size::Bytes(80 * MIB), &[1])]
#[case::several_slots(BackendError::CrossSlot, StoreError::CrossSlot, Size::Bytes(1), &[0, 1])]
fn row_54_a_question_at_fault_names_its_keys_and_is_not_retried(
    #[case] error: BackendError,
    #[case] cause: StoreError,
    #[case] size: Size,
    #[case] positions: &[usize],
) {
    paused(async {
        let script = Script::default();
        let (link, requests) = persistent(&script).await;
        script.state().get_many = Act::Fail(error);
        script.state().sizes.insert("i:2".to_owned(), size);
        assert_eq!(ask(&requests, &["i:1", "i:2"]).await, at_fault(positions, cause));
        assert_eq!(script.state().get_manys.len(), 1);
        assert!(!link.state().is_open());
    });
}

#[test]
fn row_54_an_oversized_value_is_rejected_unasked_for_a_second() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        script.state().get_many = Act::Fail(BackendError::TooLarge);
        script.state().sizes.insert("i:2".to_owned(), Size::Bytes(80 * MIB));
        for _ in 0..100 {
            assert_eq!(ask(&requests, &["i:2"]).await, Err(StoreError::TooLarge));
        }
        assert_eq!(ask(&requests, &["i:1", "i:2"]).await, at_fault(&[1], StoreError::TooLarge));
        assert_eq!(script.state().get_manys.len(), 1);
        script.state().get_many = Act::Answer;
        ask(&requests, &["i:1"]).await.unwrap();

        // Its size is asked for before it is, so a value that is still too large is not read.
        sleep(SECOND).await;
        assert_eq!(ask(&requests, &["i:2"]).await, Err(StoreError::TooLarge));
        assert_eq!(script.state().get_manys.len(), 2);
        script.state().sizes.clear();
        sleep(SECOND).await;
        for _ in 0..3 {
            ask(&requests, &["i:2"]).await.unwrap();
        }
    });
}

#[rstest]
#[case::over_the_limit_it_is_sent_once(80 * MIB, 1, Err(StoreError::TooLarge))]
#[case::large_it_is_sent_once_more(2 * MIB, 2, Err(StoreError::TooLarge))]
#[case::small_it_is_sent_as_often_as_may_be(1, 3, Err(StoreError::Unavailable))]
fn row_54_a_large_read_that_loses_its_connections_is_at_fault(
    #[case] bytes: u64,
    #[case] sent: usize,
    #[case] expected: Result<Vec<Option<Vec<u8>>>, StoreError>,
) {
    paused(async {
        let script = Script::default();
        let (_links, requests) = two_links(&script).await;
        script.state().get_many = lost();
        script.state().sizes.insert("i:1".to_owned(), Size::Bytes(bytes));
        assert_eq!(ask(&requests, &["i:1"]).await, expected);
        assert_eq!(script.state().get_manys.len(), sent);
    });
}

#[test]
fn row_54_large_values_are_read_again_after_one_lost_connection() {
    paused(async {
        let script = Script::default();
        let (_links, requests) = two_links(&script).await;
        script.state().only_connection = 1;
        script.state().get_many = lost();
        script.state().sizes.insert("i:1".to_owned(), Size::Bytes(60 * MIB));
        ask(&requests, &["i:1"]).await.unwrap();
    });
}

/// The reply takes longer than a caller waits.
#[test]
fn row_54_an_oversized_reply_is_remembered_without_its_caller() {
    paused(async {
        let script = Script::default();
        let (_link, requests) = persistent(&script).await;
        script.state().get_many = Act::FailAfter(800 * MILLI, BackendError::Protocol);
        script.state().sizes.insert("i:1".to_owned(), Size::Bytes(80 * MIB));
        assert_eq!(ask(&requests, &["i:1"]).await, Err(StoreError::TimedOut));
        sleep(500 * MILLI).await;
        assert_eq!(ask(&requests, &["i:1"]).await, Err(StoreError::TooLarge));
    });
}

/// Else a few callers would cut one connection after the other, and open the breaker for everybody.
#[test]
fn row_54_large_reads_are_retried_one_at_a_time() {
    paused(async {
        let script = Script::default();
        let (links, requests) = two_links(&script).await;
        script.state().get_many = lost();
        script.state().sizes.insert("i:1".to_owned(), Size::Bytes(2 * MIB));
        let answers = join_all((0..4).map(|_| ask(&requests, &["i:1"]))).await;
        assert_eq!(answers, vec![Err(StoreError::TooLarge); 4]);
        assert_eq!(script.state().get_manys.len(), 4 + 1);
        assert!(links.iter().all(|link| !link.state().is_open()));
    });
}
