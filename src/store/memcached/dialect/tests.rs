use proptest::prelude::*;
use rstest::rstest;

use super::*;

type Taken = Result<Option<(Tag, Answer)>, BackendError>;

/// The first outcome, and the bytes that are left.
fn take(input: &[u8]) -> (Taken, Vec<u8>) {
    let mut input = BytesMut::from(input);
    let taken = MetaDialect.take(&mut input);
    (taken, input.to_vec())
}

#[rstest]
#[case::value(b"VA 3 O7\r\n1.5\r\n", Tag::Of(7), Answer::Value(b"1.5".to_vec()))]
#[case::empty_value(b"VA 0 O7\r\n\r\n", Tag::Of(7), Answer::Value(Vec::new()))]
#[case::value_with_line_ends(b"VA 4 O7\r\n\r\n\r\n\r\n", Tag::Of(7), Answer::Value(b"\r\n\r\n".to_vec()))]
#[case::other_flags(b"VA 1 s1 O7 t-1\r\nx\r\n", Tag::Of(7), Answer::Value(b"x".to_vec()))]
#[case::miss(b"EN O7\r\n", Tag::Of(7), Answer::Missing)]
#[case::miss_of_an_older_server(b"EN\r\n", Tag::Oldest, Answer::Missing)]
#[case::stored(b"HD O7\r\n", Tag::Of(7), Answer::Stored)]
#[case::not_stored(b"NS O7\r\n", Tag::Of(7), Answer::NotStored)]
#[case::unknown_command(b"ERROR\r\n", Tag::Oldest, Answer::Rejected { code: "ERROR" })]
#[case::bad_command(b"CLIENT_ERROR bad data chunk\r\n", Tag::Oldest, Answer::Rejected { code: "CLIENT_ERROR" })]
#[case::no_memory(b"SERVER_ERROR out of memory storing object\r\n", Tag::Oldest, Answer::ServerError)]
fn an_answer_is_taken_with_its_tag(#[case] input: &[u8], #[case] tag: Tag, #[case] answer: Answer) {
    let (taken, left) = take(&[input, b"EN O8\r\n"].concat());
    assert_eq!((taken.unwrap(), left.as_slice()), (Some((tag, answer)), &b"EN O8\r\n"[..]));
    // Not a byte too early.
    for cut in 0..input.len() {
        assert_eq!(take(&input[..cut]).0.unwrap(), None);
    }
}

#[rstest]
#[case::value_without_a_tag(b"VA 3\r\n1.5\r\n")]
#[case::stored_without_a_tag(b"HD\r\n")]
#[case::tag_that_is_not_a_number(b"HD Ox\r\n")]
#[case::tag_with_a_sign(b"HD O+7\r\n")]
#[case::tag_that_is_too_large(b"HD O99999999999999999999\r\n")]
#[case::miss_with_a_strange_tag(b"EN Ox\r\n")]
#[case::no_length(b"VA O7\r\n\r\n")]
#[case::negative_length(b"VA -1 O7\r\n\r\n")]
#[case::length_over_the_limit(b"VA 1048577 O7\r\n")]
#[case::length_of_4_gigabytes(b"VA 4294967296 O7\r\n")]
#[case::length_beyond_64_bits(b"VA 18446744073709551616 O7\r\n")]
#[case::value_that_goes_on(b"VA 3 O7\r\n1.50\r\n")]
#[case::another_protocol(b"HTTP/1.1 400 Bad Request\r\n")]
#[case::an_answer_of_the_old_protocol(b"VALUE a 0 1\r\n")]
#[case::bare_line_end(b"EN\n")]
#[case::empty_line(b"\r\n")]
fn bytes_that_are_not_an_answer_end_the_connection(#[case] input: &[u8]) {
    assert!(matches!(take(input).0, Err(BackendError::Protocol)));
}

#[test]
fn row_56_a_server_that_is_full_says_so_in_its_own_words() {
    let (taken, _) = take(b"ERROR Too many open connections\r\n");
    assert!(matches!(taken, Err(BackendError::Refused { code }) if code == "Too many open connections"));
    let (taken, _) = take(b"ERROR i:7=[\"books\"]\r\n");
    assert!(matches!(taken, Err(BackendError::Refused { code }) if code == "ERROR"));
}

#[test]
fn a_line_without_an_end_is_not_read_for_ever() {
    assert!(take(&[b'x'; LONGEST_LINE - 1]).0.unwrap().is_none());
    assert!(matches!(take(&[b'x'; LONGEST_LINE]).0, Err(BackendError::Protocol)));
}

#[test]
fn commands_are_written_as_the_server_reads_them() {
    let mut out = BytesMut::new();
    write_get("uid:1", 7, &mut out);
    write_set("uid:2", b"1.5", 3_600, 8, &mut out);
    assert_eq!(&out[..], b"mg uid:1 v O7\r\nms uid:2 3 T3600 O8\r\n1.5\r\n");
}

fn any_answer() -> impl Strategy<Value = Vec<u8>> {
    let value = (proptest::collection::vec(any::<u8>(), 0..40), any::<u64>()).prop_map(|(value, tag)| {
        [format!("VA {} O{tag}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
    });
    let other = prop_oneof![
        any::<u64>().prop_map(|tag| format!("EN O{tag}\r\n")),
        any::<u64>().prop_map(|tag| format!("HD O{tag}\r\n")),
        Just("EN\r\n".to_owned()),
        Just("SERVER_ERROR out of memory\r\n".to_owned()),
    ];
    prop_oneof![value, other.prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_answers(
        answers in proptest::collection::vec(any_answer(), 1..8),
        cuts in proptest::collection::vec(1usize..30, 1..60),
    ) {
        crate::store::wire::testing::splits_alike(|| MetaDialect, &answers.concat(), &cuts, answers.len());
    }

    #[test]
    fn any_bytes_are_an_answer_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        crate::store::wire::testing::takes_anything(MetaDialect, &bytes);
    }

    #[test]
    fn changed_answers_are_an_answer_or_an_error(
        answer in any_answer(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut answer = answer;
        let at = at.index(answer.len());
        answer[at] = byte;
        crate::store::wire::testing::takes_anything(MetaDialect, &answer);
    }
}
