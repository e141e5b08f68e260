use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[rstest]
#[case::nil(b"\xc0")]
#[case::boolean(b"\xc3")]
#[case::small(b"\x7f")]
#[case::negative(b"\xff")]
#[case::uint_8(b"\xcc\xff")]
#[case::int_64(b"\xd3\xff\xff\xff\xff\xff\xff\xff\xff")]
#[case::float(b"\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18")]
#[case::short_text(b"\xa3abc")]
#[case::text(b"\xd9\x03abc")]
#[case::long_text(b"\xdb\x00\x00\x00\x03abc")]
#[case::bytes(b"\xc4\x03abc")]
#[case::array(b"\x92\x01\xa1a")]
#[case::deep(b"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01")]
#[case::map(b"\x81\x30\x91\xc0")]
#[case::long_map(b"\xdf\x00\x00\x00\x01\x30\xc0")]
#[case::extension(b"\xc7\x02\x01ab")]
#[case::fixed_extension(b"\xd8\x020123456789abcdef")]
fn a_value_is_skipped_whole_and_never_early(#[case] value: &[u8]) {
    let after = [value, b"\x01"].concat();
    let mut reader = Reader::new(&after);
    reader.skip().unwrap();
    assert_eq!(reader.rest(), b"\x01");
    for cut in 0..value.len() {
        assert_eq!(Reader::new(&value[..cut]).skip(), Err(Malformed));
    }
}

#[rstest]
#[case::unused_byte(b"\xc1")]
#[case::four_billion_elements(b"\xdd\xff\xff\xff\xff\x01")]
#[case::four_gigabytes(b"\xdb\xff\xff\xff\xffabc")]
#[case::extension_of_four_gigabytes(b"\xc9\xff\xff\xff\xff\x01")]
fn a_false_value_is_an_error(#[case] value: &[u8]) {
    assert_eq!(Reader::new(value).skip(), Err(Malformed));
}

#[test]
fn only_strings_are_texts() {
    let text = |bytes| Reader::new(bytes).text();
    assert_eq!(text(b"\xc0"), Ok(Text::Nil));
    assert_eq!(text(b"\xa2[]"), Ok(Text::Bytes(b"[]")));
    assert_eq!(text(b"\xc4\x02[]"), Ok(Text::Bytes(b"[]")));
    assert_eq!(text(b"\x07"), Ok(Text::OtherKind));
    assert_eq!(text(b"\x91\xa1a"), Ok(Text::OtherKind));
    assert_eq!(text(b"\xa2["), Err(Malformed));
}

proptest! {
    #[test]
    fn what_is_written_is_read(number in any::<u64>(), text in proptest::collection::vec(any::<u8>(), 0..70_000), count in 0usize..100_000) {
        let mut out = BytesMut::new();
        put_uint(number, &mut out);
        put_text(&[&text], &mut out);
        put_array(count, &mut out);
        let mut reader = Reader::new(&out);
        prop_assert_eq!(reader.uint(), Ok(number));
        prop_assert_eq!(reader.text(), Ok(Text::Bytes(&text)));
        prop_assert_eq!(reader.array(), Ok(count as u64));
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader::new(&bytes);
        while !reader.is_at_end() && reader.skip().is_ok() {}
        let _ = Reader::new(&bytes).text();
    }
}
