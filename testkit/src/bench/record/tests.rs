//! The report on the counts of instructions.

use rstest::rstest;

use super::{Count, changes, read, verdict, write};

fn counts(all: &[(&str, u64)]) -> Vec<Count> {
    all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn counts_are_read_as_they_were_written() {
    let all = counts(&[("parse and check 100 ids", 41_336), ("get, memory", 1_643)]);
    assert_eq!(read(&write(&all)), all);
}

#[rstest]
#[case::just_below(1_049, "nothing grew by more than 5 %")]
#[case::grown(1_060, "GREW: digest by 6.0 %")]
#[case::fallen(500, "nothing grew by more than 5 %")]
fn growth_is_said_by_name(#[case] now: u64, #[case] expected: &str) {
    let now = counts(&[("key", 100), ("digest", now), ("of today", 7)]);
    assert_eq!(verdict(&counts(&[("digest", 1_000), ("key", 100)]), &now), expected);
}

#[test]
fn an_unrecorded_count_has_not_changed() {
    assert_eq!(changes(&counts(&[("a", 10)]), &counts(&[("b", 5), ("a", 11)])).first(), Some(&None));
}

#[test]
fn the_kept_record_can_be_read() {
    let kept = include_str!("../../../../benches/micro/instructions.txt");
    assert!(read(kept).iter().any(|(name, count)| name == "digest" && *count > 0), "{kept}");
}
