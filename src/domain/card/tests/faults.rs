//! Cards that are rejected, bins that never match, and the bounds of a check.

use rstest::rstest;

use super::{Range, card};
use crate::domain::Card;

fn faults(text: &str) -> Vec<String> {
    match Card::read(text) {
        Ok(_) => panic!("this is a card: {text}"),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// One characteristic with these bins, from line 4.
fn with_bins(bins: &str) -> String {
    format!("version = \"1\"\nbase = 0\n[[characteristic]]\nname = \"c\"\nbin = [\n{bins}\n]")
}

#[test]
fn every_fault_of_a_card_is_found_with_its_line() {
    let text = r#"
base = nan
min = 3
max = 2.0001
reasons = 11
colour = 1
[[characteristic]]
name = ""
baseline = "x"
bin = [
    { when = { age = { from = 30, below = 20 }, gender = [3] }, points = 1e3 },
    { when = { phone = 1, phone_prefix = "8", email_domain = [] }, point = 1 },
    7,
]
[[characteristic]]
name = "b"
bin = []
"#;
    assert_eq!(
        faults(text),
        [
            "line 1: version: is required",
            "line 2: base: must be a number such as 12.5",
            "line 4: max: must have at most three decimals",
            "line 5: reasons: must be an integer from 0 to 10",
            "line 6: colour: unknown key",
            "line 8: characteristic[1].name: must have 1 to 64 characters, and no control characters",
            "line 9: characteristic[1].baseline: must be a number such as 12.5",
            "line 11: characteristic[1].bin[1].points: must be a number such as 12.5",
            "line 11: characteristic[1].bin[1].when.gender: must be true, false, or a list of 0, 1 and 2 such as [1, 2]",
            "line 11: characteristic[1].bin[1].when.age: must have a from that is less than below",
            "line 12: characteristic[1].bin[2].points: is required",
            "line 12: characteristic[1].bin[2].when.phone: must be true or false",
            "line 12: characteristic[1].bin[2].when.phone_prefix: must be 1 to 11 digits, the first a 7, as every phone",
            "line 12: characteristic[1].bin[2].when.email_domain: must not be empty",
            "line 12: characteristic[1].bin[2].point: unknown key",
            "line 13: characteristic[1].bin[3]: must be a table",
            "line 15: characteristic[2].bin: must have at least one bin",
        ]
    );
}

#[rstest]
#[case::nothing("", "the file is empty; a card has at least version, base and one [[characteristic]]")]
#[case::no_characteristic("version = \"1\"\nbase = 0", "characteristic: is required")]
#[case::half_written(
    "version = \"1\"\nbase = ",
    "line 2: not valid TOML: string values must be quoted, expected literal string"
)]
#[case::limits_crossed(
    "version = \"1\"\nbase = 0\nmin = 2\nmax = 1\n[[characteristic]]\nname = \"c\"\nbin = [{ points = 1 }]",
    "line 3: min: 2 is above max, 1"
)]
#[case::below_zero(
    "version = \"1\"\nbase = 0\n[[characteristic]]\nname = \"c\"\nbin = [{ points = -0.5 }]",
    "line 1: min: the lowest score is -0.5, but a score is at least 0; set min = 0"
)]
#[case::repeated_name(
    "version = \"1\"\nbase = 0\n[[characteristic]]\nname = \"c\"\nbin = [{ points = 1 }]\n[[characteristic]]\nname = \"c\"\nbin = [{ points = 1 }]",
    "line 6: characteristic[2].name: is the name of an earlier characteristic as well"
)]
fn a_text_that_is_not_a_card_is_rejected(#[case] text: &str, #[case] fault: &str) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(fault.split("string values").next().unwrap()), "{found:?}");
}

const IMPOSSIBLE: &str = "can never match: no valid call meets its conditions";
const SHADOWED: &str = "can never match: the bins before it match everyone who meets its conditions";

#[rstest]
#[case::behind_one_that_always_holds("{ points = 1 },\n{ when = { phone = true }, points = 2 }", 7, SHADOWED)]
#[case::behind_two_that_cover_it(
    "{ when = { age = { below = 30 } }, points = 1 },\n{ when = { age = { from = 30 } }, points = 2 },\n{ when = { birthday = true }, points = 3 }",
    8,
    SHADOWED
)]
#[case::behind_a_shorter_prefix(
    "{ when = { phone_prefix = \"79\" }, points = 1 },\n{ when = { phone_prefix = \"7917\" }, points = 2 }",
    7,
    SHADOWED
)]
#[case::behind_all_ten_longer_prefixes(
    "{ when = { phone_prefix = [\"70\", \"71\", \"72\", \"73\", \"74\", \"75\", \"76\", \"77\", \"78\", \"79\"] }, points = 1 },\n{ when = { phone = true }, points = 2 }",
    7,
    SHADOWED
)]
#[case::gender_that_is_not_there(
    "{ when = { gender = false }, points = 1 },\n{ when = { gender = [1], birthday = false, phone = false, first_name = false }, points = 2 }",
    7,
    IMPOSSIBLE
)]
#[case::no_pair_complete(
    "{ when = { phone = false, first_name = false, birthday = false }, points = 1 }",
    6,
    IMPOSSIBLE
)]
#[case::older_than_anyone("{ when = { age = { from = 71 } }, points = 1 }", 6, IMPOSSIBLE)]
#[case::age_without_birthday(
    "{ when = { age = { from = 7 }, birthday = false }, points = 1 }",
    6,
    IMPOSSIBLE
)]
fn a_bin_that_can_never_match_is_a_fault(#[case] bins: &str, #[case] line: usize, #[case] why: &str) {
    let found = faults(&with_bins(bins));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("line {line}: ")) && found[0].ends_with(why), "{found:?}");
}

#[rstest]
#[case::longer_prefix_first(
    "{ when = { phone_prefix = \"7917\" }, points = 1 },\n{ when = { phone_prefix = \"79\" }, points = 2 }"
)]
#[case::the_oldest("{ when = { age = { from = 70 } }, points = 1 },\n{ points = 0 }")]
#[case::nine_of_ten_prefixes(
    "{ when = { phone_prefix = [\"70\", \"71\", \"72\", \"73\", \"74\", \"75\", \"76\", \"77\", \"78\"] }, points = 1 },\n{ when = { phone = true }, points = 2 }"
)]
fn a_bin_that_can_match_is_none(#[case] bins: &str) {
    card(&with_bins(bins));
}

#[test]
fn the_range_of_scores_is_exact_where_characteristics_depend_on_each_other() {
    let text = "version = \"1\"\nbase = 0\n\
        [[characteristic]]\nname = \"a\"\nbin = [{ when = { phone = true }, points = 10 }]\n\
        [[characteristic]]\nname = \"b\"\nbin = [{ when = { phone = false }, points = 5 }]\n";
    let Range { lowest, highest } = card(text).range();
    assert_eq!((lowest.to_f64(), highest.to_f64()), (5.0, 10.0));
}

#[test]
fn the_largest_card_is_checked_in_bounded_time() {
    let domains =
        |from: usize| (from..from + 900).map(|n| format!("\"d{n}\"")).collect::<Vec<_>>().join(", ");
    let prefixes = (10_000..10_900).map(|n| format!("\"79{n}\"")).collect::<Vec<_>>().join(", ");
    let one = |n: usize| {
        format!(
            "[[characteristic]]\nname = \"{n}\"\nbin = [{{ when = {{ email_domain = [{}] }}, points = 1 }}, \
             {{ when = {{ phone_prefix = [{prefixes}] }}, points = 2 }}]\n",
            domains(n * 900)
        )
    };
    let text = format!("version = \"1\"\nbase = 0\n{}", one(0));
    assert_eq!(
        faults(&text),
        [
            "line 3: characteristic[1]: distinguishes too many kinds of people to check; split it, or use fewer conditions"
        ]
    );
}

/// The texts of a list count: a list is scanned for each person.
#[rstest]
#[case::many_prefixes(1, 7_000)]
#[case::many_characteristics(200, 60)]
fn a_card_that_takes_too_long_to_check_is_a_fault(#[case] characteristics: usize, #[case] prefixes: usize) {
    let list =
        (0..prefixes).map(|number| format!("\"7{:05}\"", number + 10_000)).collect::<Vec<_>>().join(", ");
    let one = |name: usize| {
        format!(
            "[[characteristic]]\nname = \"{name}\"\nbin = [{{ when = {{ phone_prefix = [{list}], age = {{ from = 9 }} }}, points = 1 }}]\n"
        )
    };
    let parts: String = (0..characteristics).map(one).collect();
    let found = faults(&format!("version = \"1\"\nbase = 0\n{parts}"));
    assert!(found.iter().all(|fault| fault.contains("too many kinds")), "{found:?}");
}
