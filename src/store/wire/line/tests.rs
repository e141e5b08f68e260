use bytes::BufMut;
use rstest::rstest;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    task::{JoinHandle, yield_now},
    time::{advance, timeout},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A frame is a tag and a byte.
const FRAME: usize = 9;

struct Numbers<const IN_ORDER: bool>;

impl<const IN_ORDER: bool> Dialect for Numbers<IN_ORDER> {
    type Answer = u8;

    const IN_ORDER: bool = IN_ORDER;

    fn take(&mut self, input: &mut BytesMut) -> Result<Option<(Tag, u8)>, BackendError> {
        if input.len() < FRAME {
            return Ok(None);
        }
        let (tag, answer) = (input.get_u64(), input.get_u8());
        match answer {
            255 => Err(BackendError::Refused { code: "FULL".to_owned() }),
            254 => Ok(Some((Tag::Oldest, answer))),
            _ => Ok(Some((Tag::Of(tag), answer))),
        }
    }
}

/// A line, its driver, and the server's end.
type Opened = (Line<u8>, DriverHandle, DuplexStream);

fn open<const IN_ORDER: bool>() -> Opened {
    let (near, far) = duplex(1 << 16);
    let (line, driver) = Line::over(Box::new(near), Numbers::<IN_ORDER>, OWED_FOR);
    (line, driver, far)
}

fn ask(line: &Line<u8>, question: u8) -> JoinHandle<Result<u8, BackendError>> {
    let line = line.clone();
    let write = move |tag, out: &mut BytesMut| {
        out.put_u64(tag);
        out.put_u8(question);
    };
    tokio::spawn(async move { line.ask(write).await })
}

/// The next question, as the server reads it.
async fn asked(far: &mut DuplexStream) -> (u64, u8) {
    let question = async { (far.read_u64().await.unwrap(), far.read_u8().await.unwrap()) };
    timeout(SECOND * 10, question).await.expect("no question comes")
}

async fn answer(far: &mut DuplexStream, tag: u64, answer: u8) {
    far.write_all(&[&tag.to_be_bytes()[..], &[answer]].concat()).await.unwrap();
}

async fn ended(line: &Line<u8>) -> BackendError {
    timeout(SECOND * 10, line.clone().ended()).await.expect("the line goes on")
}

#[tokio::test]
async fn row_27_answers_that_overtake_reach_their_own_callers() {
    let (line, _driver, mut far) = open::<false>();
    let callers: Vec<_> = (0..50).map(|question| ask(&line, question)).collect();
    let mut questions = Vec::new();
    for _ in 0..50 {
        questions.push(asked(&mut far).await);
    }
    fastrand::shuffle(&mut questions);
    for (tag, question) in questions {
        answer(&mut far, tag, question).await;
    }
    for (question, caller) in (0..).zip(callers) {
        assert_eq!(caller.await.unwrap().unwrap(), question);
    }
}

#[tokio::test]
async fn row_27_a_question_keeps_its_place_when_its_caller_leaves() {
    let (line, _driver, mut far) = open::<true>();
    let leaver = ask(&line, 1);
    let (first, _) = asked(&mut far).await;
    leaver.abort();
    assert!(leaver.await.unwrap_err().is_cancelled());
    let caller = ask(&line, 2);
    let (second, _) = asked(&mut far).await;
    answer(&mut far, first, 1).await;
    answer(&mut far, second, 2).await;
    assert_eq!(caller.await.unwrap().unwrap(), 2);
    assert_eq!(second, first + 1);
}

/// The tag of an answer, as an offset from the question's, and whether answers come in order.
#[rstest]
#[case::of_a_question_to_come(1, true)]
#[case::of_a_question_to_come_unordered(1, false)]
#[case::of_an_answered_question(-1, true)]
#[case::of_an_answered_question_unordered(-1, false)]
#[case::of_another_connection(1 << 40, false)]
#[case::below_all(-(1 << 40), false)]
#[tokio::test]
async fn row_27_an_answer_to_no_question_ends_the_line(#[case] offset: i64, #[case] in_order: bool) {
    let (line, _driver, mut far) = if in_order { open::<true>() } else { open::<false>() };
    let earlier = ask(&line, 1);
    let (tag, _) = asked(&mut far).await;
    answer(&mut far, tag, 1).await;
    earlier.await.unwrap().unwrap();
    let caller = ask(&line, 2);
    let (tag, _) = asked(&mut far).await;
    answer(&mut far, tag.wrapping_add_signed(offset), 2).await;
    assert!(matches!(caller.await.unwrap(), Err(BackendError::Protocol)));
    assert!(matches!(ended(&line).await, BackendError::Protocol));
    assert!(ask(&line, 3).await.unwrap().is_err());
}

#[tokio::test]
async fn row_27_an_answer_out_of_order_ends_a_line_in_order() {
    let (line, _driver, mut far) = open::<true>();
    let callers = [ask(&line, 1), ask(&line, 2)];
    let _first = asked(&mut far).await;
    let (second, _) = asked(&mut far).await;
    answer(&mut far, second, 2).await;
    for caller in callers {
        assert!(matches!(caller.await.unwrap(), Err(BackendError::Protocol)));
    }
}

#[tokio::test]
async fn row_27_an_answer_that_comes_twice_ends_the_line() {
    let (line, _driver, mut far) = open::<false>();
    let callers = [ask(&line, 1), ask(&line, 2)];
    let _first = asked(&mut far).await;
    let (second, _) = asked(&mut far).await;
    answer(&mut far, second, 2).await;
    answer(&mut far, second, 2).await;
    let [first, second] = callers;
    assert_eq!(second.await.unwrap().unwrap(), 2);
    assert!(matches!(first.await.unwrap(), Err(BackendError::Protocol)));
}

#[tokio::test]
async fn row_27_bytes_that_come_unasked_end_the_line() {
    let (line, _driver, mut far) = open::<false>();
    far.write_all(b"x").await.unwrap();
    assert!(matches!(ended(&line).await, BackendError::Protocol));
}

#[tokio::test]
async fn row_56_the_servers_last_words_are_the_reason_of_all() {
    let (line, _driver, mut far) = open::<true>();
    let caller = ask(&line, 1);
    let (tag, _) = asked(&mut far).await;
    answer(&mut far, tag, 255).await;
    assert!(matches!(caller.await.unwrap(), Err(BackendError::Refused { code }) if code == "FULL"));
    assert!(matches!(ended(&line).await, BackendError::Refused { .. }));
}

#[tokio::test]
async fn an_answer_without_a_tag_belongs_to_the_oldest_question() {
    let (line, _driver, mut far) = open::<true>();
    let callers = [ask(&line, 1), ask(&line, 2)];
    let _first = asked(&mut far).await;
    let (second, _) = asked(&mut far).await;
    answer(&mut far, 0, 254).await;
    answer(&mut far, second, 2).await;
    let [first, second] = callers;
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (254, 2));
}

#[rstest]
#[case::in_order(true)]
#[case::unordered(false)]
#[tokio::test(start_paused = true)]
async fn row_48_an_answer_that_never_comes_ends_a_busy_line(#[case] in_order: bool) {
    let (line, _driver, mut far) = if in_order { open::<true>() } else { open::<false>() };
    let lost = ask(&line, 1);
    let _lost = asked(&mut far).await;
    let begun = Instant::now();
    // In order, only the bytes of the lost answer can come; otherwise later answers do.
    while !lost.is_finished() {
        let next = ask(&line, 2);
        let (tag, _) = asked(&mut far).await;
        if !in_order {
            answer(&mut far, tag, 2).await;
            let _ = next.await;
        }
        assert!(line.silent_for() < SECOND);
        advance(Duration::from_millis(50)).await;
        yield_now().await;
        assert!(begun.elapsed() < SECOND * 2, "it waits for ever");
    }
    assert!(matches!(lost.await.unwrap(), Err(BackendError::TimedOut)));
    assert!(begun.elapsed() >= OWED_FOR);
}

#[tokio::test(start_paused = true)]
async fn silence_counts_from_the_oldest_question_and_from_the_last_byte() {
    let (line, _driver, mut far) = open::<true>();
    advance(SECOND).await;
    assert_eq!(line.silent_for(), Duration::ZERO);
    let step = Duration::from_millis(200);
    let callers = [ask(&line, 1), ask(&line, 2)];
    let (first, _) = asked(&mut far).await;
    let (second, _) = asked(&mut far).await;
    advance(step).await;
    assert_eq!(line.silent_for(), step);
    answer(&mut far, first, 1).await;
    far.write_all(&second.to_be_bytes()).await.unwrap();
    yield_now().await;
    assert_eq!(line.silent_for(), Duration::ZERO);
    advance(step).await;
    assert_eq!(line.silent_for(), step, "a part of an answer is owed until its last byte");
    far.write_all(&[2]).await.unwrap();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    advance(step).await;
    assert_eq!(line.silent_for(), Duration::ZERO);
}

#[tokio::test]
async fn questions_beyond_the_places_wait_and_are_answered() {
    let (line, _driver, mut far) = open::<false>();
    let count = IN_FLIGHT + 100;
    let callers: Vec<_> = (0..count).map(|_| ask(&line, 1)).collect();
    let mut tags = Vec::new();
    for _ in 0..IN_FLIGHT {
        tags.push(asked(&mut far).await.0);
    }
    let next = timeout(Duration::from_millis(20), far.read_u8()).await;
    assert!(next.is_err(), "more questions than places");
    for tag in tags {
        answer(&mut far, tag, 1).await;
    }
    for _ in 0..100 {
        let (tag, _) = asked(&mut far).await;
        answer(&mut far, tag, 1).await;
    }
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_closed_line_fails_its_callers_and_closes_the_socket() {
    let (line, driver, mut far) = open::<false>();
    let caller = ask(&line, 1);
    let _question = asked(&mut far).await;
    line.close();
    assert!(matches!(caller.await.unwrap(), Err(BackendError::Disconnected(_))));
    assert!(far.read_u8().await.is_err(), "the socket is open");
    drop(driver);
    assert!(matches!(ended(&line).await, BackendError::Disconnected(_)));
}

#[tokio::test]
async fn the_driver_ends_with_its_handle() {
    let (line, driver, mut far) = open::<false>();
    let caller = ask(&line, 1);
    let _question = asked(&mut far).await;
    drop(driver);
    assert!(matches!(caller.await.unwrap(), Err(BackendError::Disconnected(_))));
    assert!(far.read_u8().await.is_err(), "the socket is open");
}
