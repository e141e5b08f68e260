mod faults;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::domain::{
    Gender,
    testing::{TODAY, any_person, person, person_on},
};

const CARD: &str = r#"
version = "2026-11-a"
base = 100
max = 250.5
reasons = 2

[[characteristic]]
name = "age"
reason = "R-AGE"
baseline = 80
bin = [
    { when = { age = { below = 21 } }, points = -10.25, reason = "R-YOUNG" },
    { when = { age = { from = 21, below = 35 } }, points = 60, reason = "R-AGE-2" },
    { when = { birthday = true }, points = 90 },
]

[[characteristic]]
name = "contact"
reason = "R-CONTACT"
baseline = 50
bin = [
    { when = { email_domain = ["Example.com", "b"], phone_prefix = "7917" }, points = 70 },
    { when = { phone_prefix = ["7917", "79"] }, points = 40.125 },
    { points = 0 },
]
"#;

fn card(text: &str) -> Card {
    Card::read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The formula that was compiled in before there were cards, as the contract states it.
fn formula(person: &OnlineScore) -> f64 {
    let has_gender = person.gender.is_some_and(|gender| gender != Gender::Unknown);
    [
        (1.5, person.phone.is_some()),
        (1.5, person.email.is_some()),
        (1.5, person.birthday.is_some() && has_gender),
        (0.5, person.first_name.is_some() && person.last_name.is_some()),
    ]
    .into_iter()
    .filter_map(|(worth, is_there)| is_there.then_some(worth))
    .fold(0.0, |a, b| a + b)
}

#[test]
fn the_built_in_card_is_the_formula_for_every_combination() {
    let built_in = Card::built_in();
    let mut people = 0;
    for bits in 0..32_u8 {
        for gender in [json!(null), json!(0), json!(1), json!(2)] {
            let there = |bit: u8, value: &str| (bits >> bit & 1 == 1).then(|| value.to_owned());
            let arguments = json!({
                "phone": there(0, "79175002040"), "email": there(1, "a@b"), "first_name": there(2, "a"),
                "last_name": there(3, "b"), "birthday": there(4, "01.01.2000"), "gender": gender,
            });
            let Some(person) = person_on(TODAY, &arguments) else { continue };
            assert_eq!(built_in.score(&person, TODAY).value().to_bits(), formula(&person).to_bits());
            assert_eq!(
                built_in.cache_key(&person, TODAY),
                key(Md5::new_with_prefix("v1;"), None, &person),
                "{arguments}"
            );
            people += 1;
        }
    }
    // Without a pair: 128 combinations less 128 × (3/4 × 3/4 × (1 - 1/2 × 3/4)).
    assert_eq!(people, 83);
    let Range { lowest, highest } = built_in.range();
    assert_eq!((lowest.to_f64(), highest.to_f64()), (0.0, 5.0));
}

#[rstest]
#[case::phone_and_email(json!({"phone": "79175002040", "email": "a@b"}), 3.0)]
#[case::names(json!({"first_name": "a", "last_name": "b"}), 0.5)]
#[case::birthday_and_gender(json!({"gender": 1, "birthday": "01.01.2000"}), 1.5)]
#[case::birthday_and_gender_0(json!({"gender": 0, "birthday": "01.01.2000"}), 0.0)]
#[case::names_and_phone(json!({"first_name": "a", "last_name": "b", "phone": "79175002040"}), 2.0)]
#[case::names_and_email(json!({"first_name": "a", "last_name": "b", "email": "a@b"}), 2.0)]
#[case::gender_without_birthday(json!({"first_name": "a", "last_name": "b", "gender": 2}), 0.5)]
#[case::birthday_without_gender(json!({"first_name": "a", "last_name": "b", "birthday": "01.01.2000"}), 0.5)]
#[case::half_a_name(json!({"gender": 2, "birthday": "01.01.2000", "first_name": "a"}), 1.5)]
#[case::other_half_of_a_name(json!({"gender": 2, "birthday": "01.01.2000", "last_name": "b"}), 1.5)]
#[case::empty_names(json!({"phone": "79175002040", "email": "a@b", "first_name": "", "last_name": null}), 3.0)]
#[case::everything(json!({"phone": 79_175_002_040_i64, "email": "a@b", "first_name": "a", "last_name": "b", "birthday": "01.01.2000", "gender": 2}), 5.0)]
fn the_built_in_score_is_the_sum_of_its_parts(#[case] arguments: Value, #[case] expected: f64) {
    assert_eq!(Card::built_in().score(&person(&arguments), TODAY).value(), expected);
}

#[test]
fn the_built_in_card_has_the_digest_that_is_written_down() {
    assert_eq!(Card::built_in().digest(), BUILT_IN_DIGEST);
    let renamed = BUILT_IN.replace("version = \"built-in\"", "version = \"mine\" # a comment");
    let renamed = card(&renamed);
    assert_eq!((renamed.digest(), renamed.version()), (BUILT_IN_DIGEST, "mine"));
}

#[rstest]
#[case::young(json!({"gender": 1, "birthday": "16.06.2005"}), 89.75, &["R-YOUNG", "R-CONTACT"])]
#[case::on_the_21st_birthday(json!({"gender": 1, "birthday": "15.06.2005"}), 160.0, &["R-CONTACT", "R-AGE-2"])]
#[case::on_the_day_before_the_35th(json!({"gender": 1, "birthday": "16.06.1991"}), 160.0, &["R-CONTACT", "R-AGE-2"])]
#[case::on_the_35th(json!({"gender": 1, "birthday": "15.06.1991"}), 190.0, &["R-CONTACT"])]
#[case::no_birthday(json!({"first_name": "a", "last_name": "b"}), 100.0, &["R-AGE", "R-CONTACT"])]
#[case::domain_in_another_case(json!({"phone": 79_170_000_000_i64, "email": "a@x@EXAMPLE.com"}), 170.0, &["R-AGE"])]
#[case::another_domain(json!({"phone": 79_170_000_000_i64, "email": "a@example.com.net"}), 140.125, &["R-AGE", "R-CONTACT"])]
#[case::another_prefix(json!({"phone": 78_000_000_000_i64, "email": "a@b"}), 100.0, &["R-AGE", "R-CONTACT"])]
#[case::the_most(json!({"phone": 79_170_000_000_i64, "email": "a@b", "gender": 0, "birthday": "15.06.1956"}), 250.5, &[])]
fn a_card_gives_a_score_and_its_reasons(
    #[case] arguments: Value,
    #[case] score: f64,
    #[case] reasons: &[&str],
) {
    let (card, person) = (card(CARD), person(&arguments));
    let explained = card.explain(&person, TODAY);
    assert_eq!(card.score(&person, TODAY).value(), score);
    assert_eq!((explained.score.value(), explained.card.as_str()), (score, "2026-11-a"));
    assert_eq!(explained.reasons, reasons);
    let sum = card.shares(&person, TODAY).iter().map(|share| share.points.to_f64()).sum::<f64>();
    assert_eq!((card.base().to_f64() + sum).min(250.5), score);
}

#[test]
fn a_code_of_two_characteristics_is_named_once_with_their_sum() {
    let three = |codes: [&str; 3]| {
        let parts = codes.iter().zip([30, 20, 20]).enumerate().map(|(index, (code, baseline))| {
            format!(
                "[[characteristic]]\nname = \"{index}\"\nreason = \"{code}\"\nbaseline = {baseline}\nbin = [{{ points = 0 }}]\n"
            )
        });
        card(&format!("version = \"1\"\nbase = 0\n{}", parts.collect::<String>()))
    };
    let someone = person(&json!({"first_name": "a", "last_name": "b"}));
    assert_eq!(three(["A", "B", "B"]).explain(&someone, TODAY).reasons, ["B", "A"]);
    // Of the same distance: in the card's order.
    assert_eq!(three(["A", "C", "B"]).explain(&someone, TODAY).reasons, ["A", "C", "B"]);
}

#[rstest]
#[case::points("points = 60,", "points = 61,", true)]
#[case::base("base = 100", "base = 100.001", true)]
#[case::limit("max = 250.5", "max = 250", true)]
#[case::reason("\"R-YOUNG\"", "\"R-OLD\"", true)]
#[case::condition("below = 35", "below = 36", true)]
#[case::baseline("baseline = 80", "baseline = 81", true)]
#[case::version("2026-11-a", "2026-11-b", false)]
#[case::name("name = \"age\"", "name = \"years\"", false)]
#[case::notation("points = 60,", "points = 60.00,", false)]
#[case::order_of_a_list(r#"["7917", "79"]"#, r#"["79", "7917"]"#, false)]
#[case::order_of_keys("{ age = { from = 21, below = 35 } }", "{ age = { below = 35, from = 21 } }", false)]
#[case::case_of_a_domain("Example.com", "example.COM", false)]
fn keys_follow_what_a_card_means(#[case] one: &str, #[case] other: &str, #[case] differs: bool) {
    assert!(CARD.contains(one));
    let (before, after) = (card(CARD), card(&CARD.replace(one, other)));
    let someone = person(&json!({"first_name": "a", "last_name": "b"}));
    assert_eq!(before.cache_key(&someone, TODAY) != after.cache_key(&someone, TODAY), differs);
    assert_eq!(before.digest() != after.digest(), differs);
}

#[test]
fn a_key_changes_at_midnight_of_a_birthday_if_the_card_uses_age() {
    let someone = person(&json!({"gender": 1, "birthday": "16.06.2005"}));
    let [before, same, after] = [TODAY, TODAY.pred_opt().unwrap(), TODAY.succ_opt().unwrap()];
    let keys = |card: &Card| [before, same, after].map(|today| card.cache_key(&someone, today));
    let by_age = card(CARD);
    let [one, two, three] = keys(&by_age);
    assert!(one == two && two != three);
    assert_eq!([before, after].map(|today| by_age.age(&someone, today)), [Some(20), Some(21)]);
    let [one, two, three] = keys(&Card::built_in());
    assert!(one == two && two == three);
}

#[test]
fn positions_among_people_spread_evenly_and_stay() {
    let mut below = 0;
    for phone in 79_000_000_000_i64..79_000_001_000 {
        let person = person(&json!({"phone": phone, "email": "@"}));
        let position = position_among_people(&person);
        assert!((0.0..=1.0).contains(&position));
        assert_eq!(position, position_among_people(&person));
        below += usize::from(position < 0.3);
    }
    assert!((250..=350).contains(&below), "{below}");
}

proptest! {
    #[test]
    fn every_score_lies_in_the_range(person in any_person()) {
        for card in [card(CARD), Card::clone(&Card::built_in())] {
            let score = card.score(&person, TODAY);
            let Range { lowest, highest } = card.range();
            prop_assert!((lowest.to_f64()..=highest.to_f64()).contains(&score.value()));
            prop_assert!((0.0..=1.0).contains(&card.position(score)));
            prop_assert_eq!(card.explain(&person, TODAY).score, score);
            prop_assert_eq!(Score::from_cached(score.to_cached().as_bytes()), Some(score));
        }
    }

    #[test]
    fn a_key_is_shared_exactly_by_equal_inputs(one in any_person(), other in any_person()) {
        let card = card(CARD);
        prop_assert_eq!(card.cache_key(&one, TODAY) == card.cache_key(&other, TODAY), one == other);
        prop_assert_ne!(card.cache_key(&one, TODAY), Card::built_in().cache_key(&one, TODAY));
    }

    #[test]
    fn a_damaged_card_is_read_or_rejected_with_lines(at in 0..CARD.len(), to in 0..CARD.len(), with in "[\\PC]{0,4}") {
        let (from, to) = (at.min(to), at.max(to));
        if CARD.is_char_boundary(from) && CARD.is_char_boundary(to) {
            let damaged = format!("{}{with}{}", &CARD[..from], &CARD[to..]);
            if let Err(faults) = Card::read(&damaged) {
                prop_assert!(faults.iter().count() > 0);
                prop_assert!(faults.to_string().lines().all(|line| line.contains(": ") || line.contains(';')));
            }
        }
    }
}
