use proptest::{collection::vec, prelude::*};
use rstest::rstest;

use super::*;

/// Any RESP2 value, as bytes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let bulk = |bytes: &[u8]| [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let leaf = prop_oneof![
        "[+-][a-zA-Z0-9 \r]{0,20}".prop_map(|line| format!("{line}\r\n").into_bytes()),
        any::<i64>().prop_map(|n| format!(":{n}\r\n").into_bytes()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        vec(any::<u8>(), 0..40).prop_map(move |bytes| bulk(&bytes)),
        Just(b"$6\r\n$9\r\n\r\n\r\n".to_vec()),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        vec(inner, 0..5)
            .prop_map(|items| [format!("*{}\r\n", items.len()).into_bytes(), items.concat()].concat())
    })
}

proptest! {
    #[test]
    fn values_are_counted_however_the_stream_is_split(
        values in vec(value(), 0..8),
        pieces in vec(1usize..30, 1..40),
    ) {
        let stream = values.concat();
        let mut scanner = Scanner::default();
        let (mut at, mut pieces) = (0, pieces.iter().cycle());
        while at < stream.len() {
            let end = (at + pieces.next().unwrap()).min(stream.len());
            scanner.take(&stream[at..end]).unwrap();
            at = end;
            // The values whose first byte has been given, and those whose last byte has.
            let ends = values.iter().scan(0, |sum, value| { *sum += value.len(); Some(*sum) });
            let complete = ends.clone().filter(|&end| end <= at).count() as u64;
            let begun = values.iter().zip(ends).filter(|(value, end)| end - value.len() < at).count() as u64;
            prop_assert_eq!((scanner.begun(), scanner.complete()), (begun, complete));
        }
    }

    /// Whatever both accept has the same number of values, or the client would pair replies with other commands than ours.
    #[test]
    fn the_clients_parser_finds_the_same_values(values in vec(value(), 1..5)) {
        let stream = values.concat();
        let mut scanner = Scanner::default();
        scanner.take(&stream).unwrap();
        let (mut rest, mut parser) = (&stream[..], redis::Parser::new());
        let count = std::iter::from_fn(|| parser.parse_value(&mut rest).ok()).count() as u64;
        prop_assert_eq!(scanner.complete(), count);
    }

    #[test]
    fn any_bytes_are_counted_or_refused(bytes in vec(
        prop_oneof![any::<u8>(), prop::sample::select(b"+-:$*\r\n0123456789".to_vec())], 0..200,
    )) {
        let mut scanner = Scanner::default();
        let _ = scanner.take(&bytes);
        prop_assert!(scanner.complete() <= scanner.begun() && scanner.begun() - scanner.complete() <= 1);
    }
}

#[rstest]
#[case::no_type(b"HTTP/1.1")]
#[case::a_type_of_resp3(b"_\r\n")]
#[case::no_digits(b"$\r\n")]
#[case::a_negative_length(b"$-2\r\n")]
#[case::a_negative_zero(b"$-0\r\n")]
#[case::a_blank_before_the_length(b"$ 1\r\nx\r\n")]
#[case::a_length_beyond_all_limits(b"$99999999999999999999")]
#[case::a_cr_without_lf(b"$1\rx")]
#[case::a_string_that_is_longer_than_announced(b"$1\r\nxy")]
#[case::a_string_without_lf(b"$1\r\nx\ry")]
#[case::nesting_without_end(b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n")]
fn a_stream_that_is_not_resp_is_refused(#[case] stream: &[u8]) {
    assert_eq!(Scanner::default().take(stream), Err(Malformed));
}

#[test]
fn a_line_without_end_is_refused() {
    let mut scanner = Scanner::default();
    scanner.take(b"+").unwrap();
    let lines = (0..LINE_LIMIT).map(|_| scanner.take(b"x")).collect::<Result<Vec<_>, _>>();
    assert!(lines.is_ok());
    assert_eq!(scanner.take(b"x"), Err(Malformed));
}

#[rstest]
#[case::of_a_string(b"$1000000000\r\nxx")]
#[case::of_an_array(b"*1000000000\r\n$1\r\nx\r\n")]
fn row_48_an_announcement_alone_completes_nothing(#[case] stream: &[u8]) {
    let mut scanner = Scanner::default();
    scanner.take(stream).unwrap();
    assert_eq!((scanner.begun(), scanner.complete()), (1, 0));
    assert!(!scanner.is_between_values());
}
