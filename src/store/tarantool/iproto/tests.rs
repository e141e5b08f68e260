use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::store::{
    Remedy,
    wire::testing::{splits_alike, takes_anything},
};

fn framed(body: &[u8]) -> Vec<u8> {
    [&[0xce][..], &u32::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn take(input: &[u8]) -> Result<Option<(Tag, Answer)>, BackendError> {
    Iproto.take(&mut BytesMut::from(input))
}

#[rstest]
#[case::data(b"\x83\x00\x00\x01\x07\x05\x50\x81\x30\x91\xc0", Answer::Data(Bytes::from_static(b"\x91\xc0")))]
#[case::welcome(b"\x82\x00\x00\x01\x07\x80", Answer::Data(Bytes::new()))]
#[case::no_body(b"\x82\x00\x00\x01\x07", Answer::Data(Bytes::new()))]
#[case::error(b"\x82\x00\xcd\x80\x2a\x01\x07\x81\x31\xa2no", Answer::Error(42))]
#[case::error_with_a_stack(b"\x82\x00\xcd\x80\x20\x01\x07\x82\x31\xa2no\x52\x81\x00\x90", Answer::Error(32))]
#[case::long_numbers(
    b"\x82\x00\xce\x00\x00\x80\x2a\x01\xcf\x00\x00\x00\x00\x00\x00\x00\x07\x81\x31\xa2no",
    Answer::Error(42)
)]
fn an_answer_is_taken_with_its_number(#[case] body: &[u8], #[case] answer: Answer) {
    assert_eq!(take(&framed(body)).unwrap(), Some((Tag::Of(7), answer)));
}

#[rstest]
#[case::another_length_byte(b"\xcd\x00\x01\x80")]
#[case::four_gigabytes(b"\xce\xff\xff\xff\xff")]
#[case::over_the_limit(b"\xce\x04\x00\x00\x01")]
#[case::nothing(b"\xce\x00\x00\x00\x00")]
#[case::no_map(b"\xce\x00\x00\x00\x01\x01")]
#[case::no_number(b"\xce\x00\x00\x00\x05\x81\x00\x00\x80\x80")]
#[case::no_type(b"\xce\x00\x00\x00\x03\x81\x01\x07")]
#[case::a_piece_of_an_answer(b"\xce\x00\x00\x00\x06\x82\x00\xcc\x80\x01\x07")]
#[case::more_than_an_answer(b"\xce\x00\x00\x00\x07\x82\x00\x00\x01\x07\x80\xc0")]
#[case::another_protocol(b"HTTP/1.1 400")]
fn bytes_that_are_not_an_answer_end_the_connection(#[case] input: &[u8]) {
    assert!(matches!(take(input), Err(BackendError::Protocol)));
}

#[test]
fn requests_are_written_as_the_server_reads_them() {
    let mut out = BytesMut::new();
    write_call("scoring", "cache_get", 1, |out| put_text(&[b"uid:1"], out), 7, &mut out);
    let call = b"\x82\x00\x0a\x01\x07\x82\x22\xb1scoring.cache_get\x21\x91\xa5uid:1";
    assert_eq!(&out[..], framed(call));
    out.clear();
    write_auth("ann", &[7; 20], 200, &mut out);
    let auth = [
        &b"\x82\x00\x07\x01\xcf\x00\x00\x00\x00\x00\x00\x00\xc8\x82\x23\xa3ann\x21\x92\xa9chap-sha1\xb4"[..],
        &[7; 20],
    ]
    .concat();
    assert_eq!(&out[..], framed(&auth));
}

#[rstest]
#[case::no_right(42, "denied", Remedy::Wait)]
#[case::no_such_user(45, "denied", Remedy::Wait)]
#[case::wrong_password(47, "denied", Remedy::Wait)]
#[case::starts(116, "not_serving", Remedy::Retry)]
#[case::read_only(7, "read_only", Remedy::Reresolve)]
#[case::no_memory(2, "writes_refused", Remedy::DropWrite)]
#[case::log_cannot_be_written(40, "writes_refused", Remedy::DropWrite)]
#[case::no_such_function(33, "refused", Remedy::Configuration)]
#[case::error_of_a_function(32, "refused", Remedy::Configuration)]
#[case::unknown(9_999, "refused", Remedy::Configuration)]
fn an_error_has_its_remedy(#[case] number: u64, #[case] kind: &str, #[case] remedy: Remedy) {
    let error = sort(number);
    assert_eq!((error.kind(), error.remedy()), (kind, remedy));
}

fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let data = proptest::collection::vec(any::<u8>(), 0..60);
    (any::<u64>(), proptest::option::of(0u16..0x8000), data).prop_map(|(sync, error, data)| {
        let mut body = BytesMut::new();
        put_map(2, &mut body);
        body.put_u8(REQUEST_TYPE);
        put_uint(error.map_or(0, |error| ERROR | u64::from(error)), &mut body);
        body.put_u8(SYNC);
        put_uint(sync, &mut body);
        put_map(1, &mut body);
        put_uint(DATA, &mut body);
        put_text(&[&data], &mut body);
        framed(&body)
    })
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_answers(
        answers in proptest::collection::vec(any_answer(), 1..8),
        cuts in proptest::collection::vec(1usize..30, 1..60),
    ) {
        splits_alike(|| Iproto, &answers.concat(), &cuts, answers.len());
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        takes_anything(Iproto, &bytes);
        takes_anything(Iproto, &framed(&bytes));
    }

    #[test]
    fn changed_answers_are_an_answer_or_an_error(
        answer in any_answer(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut answer = answer;
        let at = at.index(answer.len());
        answer[at] = byte;
        takes_anything(Iproto, &answer);
    }
}
