use std::{fmt::Write, time::Instant};

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::domain::{Method, Partner};

const DIGEST: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

fn parse(text: &str) -> Result<PartnersFile, ConfigErrors> {
    PartnersFile::parse(text, Path::new("p.toml"), "admin")
}

/// The lines of the faults, without the file's name.
fn faults(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("valid");
    errors.iter().map(|error| error.to_string().replace("p.toml:", "").trim().to_owned()).collect()
}

/// An entry with further lines; its header is on line 1, and they begin on line 5.
fn entry(lines: &str) -> String {
    format!("[[partner]]\naccount = \"a\"\nlogin = \"b\"\ntokens = [{{ sha256 = \"{DIGEST}\" }}]\n{lines}\n")
}

#[test]
fn a_file_of_two_partners_is_read() {
    let file = parse(include_str!("../../../tests/corpus/partners/two.toml")).unwrap();
    assert_eq!(file.partners.len(), 2);
    let acme = file.partners.get("acme", "shop").unwrap();
    let rest = |partner: &Partner| (partner.enabled, partner.explain, partner.tokens().count());
    assert_eq!((acme.name(), rest(acme)), ("acme/shop", (true, false, 1)));
    assert!(Method::ALL.iter().all(|method| acme.methods.contains(*method)));
    let other = file.partners.get("horns&hoofs", "h&f").unwrap();
    assert_eq!(rest(other), (false, true, 2));
    assert!(!other.methods.contains(Method::ClientsInterests));
    let untils: Vec<_> = other.tokens().map(|token| token.until.map(|until| until.to_rfc3339())).collect();
    assert_eq!(untils, [Some("2026-12-31T00:00:00+00:00".to_owned()), None]);
    assert_eq!(file.rates.len(), 1);
    assert_eq!((&*file.rates[0].0, file.rates[0].1.burst.get()), ("horns&hoofsh&f", 200));
}

#[rstest]
#[case::unknown_key("enable = false", "5: partner[1].enable: unknown key, did you mean enabled?")]
#[case::enabled("enabled = 1", "5: partner[1].enabled: expected true or false, got an integer")]
#[case::explain("\nexplain = \"yes\"", "6: partner[1].explain: expected true or false, got a string")]
#[case::rate("rate = \"fast\"", "5: partner[1].rate: expected a rate such as \"100/s\"")]
#[case::no_rate("rate = \"\"", "5: partner[1].rate: must not be empty")]
#[case::rate_type("rate = 5", "5: partner[1].rate: expected a string, got an integer")]
#[case::no_methods("methods = []", "5: partner[1].methods: must not be empty")]
#[case::method(
    "methods = [\n\"online_score\",\n\"scores\"]",
    "7: partner[1].methods[2]: must be online_score or clients_interests"
)]
#[case::methods_type("methods = \"online_score\"", "5: partner[1].methods: expected an array, got a string")]
#[case::other_table("[other]\na = 1", "5: other: unknown key")]
#[case::syntax("rate = ", "5: partner[1]: not valid TOML")]
#[case::twice("login = \"c\"", "5: partner[1]: not valid TOML: duplicate key")]
#[case::same_joined(
    "[[partner]]\naccount = \"ab\"\nlogin = \"\"\ntokens = [{ sha256 = \"1f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0\" }]",
    "5: partner[2]: has the same account and login, joined, as the entry on line 1"
)]
fn a_fault_of_an_entry_has_its_line_and_its_path(#[case] lines: &str, #[case] fault: &str) {
    let found = faults(&entry(lines));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(fault), "{found:?}");
}

#[rstest]
#[case::hex("[{ sha256 = \"0g\" }]", "partner[1].tokens[1].sha256: must be 64 hex digits")]
#[case::until(
    "[{ sha256 = \"D\", until = 2026-12-31 }]",
    "partner[1].tokens[1].until: must be a time with its zone"
)]
#[case::no_zone(
    "[{ sha256 = \"D\", until = 2026-12-31T00:00:00 }]",
    "partner[1].tokens[1].until: must be a time with its zone"
)]
#[case::until_type(
    "[{ sha256 = \"D\", until = \"2026\" }]",
    "partner[1].tokens[1].until: expected a date, got a string"
)]
#[case::missing("[{}]", "partner[1].tokens[1].sha256: is missing")]
#[case::token_key("[{ sha256 = \"D\", form = 1 }]", "partner[1].tokens[1].form: unknown key")]
#[case::none("[]", "partner[1].tokens: must be 1 to 2 tokens, got 0")]
#[case::three(
    "[{ sha256 = \"D\" }, { sha256 = \"E\" }, { sha256 = \"F\" }]",
    "partner[1].tokens: must be 1 to 2 tokens, got 3"
)]
#[case::same("[{ sha256 = \"D\" }, { sha256 = \"D\" }]", "partner[1].tokens: are the same token twice")]
#[case::text("\"D\"", "partner[1].tokens: expected an array, got a string")]
#[case::texts("[\"D\"]", "partner[1].tokens[1]: expected a table, got a string")]
fn a_fault_of_a_token_is_named_without_the_digest(#[case] tokens: &str, #[case] fault: &str) {
    let mut tokens = tokens.to_owned();
    for letter in ["D", "E", "F"] {
        tokens = tokens
            .replace(&format!("\"{letter}\""), &format!("\"{}{}\"", letter.to_lowercase(), &DIGEST[1..]));
    }
    let found = faults(&format!("\n[[partner]]\naccount = \"a\"\nlogin = \"b\"\ntokens = {tokens}\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(&format!("5: {fault}")), "{found:?}");
    assert!(!found[0].contains(&DIGEST[1..20]), "{found:?}");
}

#[rstest]
#[case::empty("")]
#[case::comments("# Partners.\n\n")]
fn a_file_without_a_partner_is_a_fault_with_a_remedy(#[case] text: &str) {
    let found = faults(text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("has no [[partner]], so it may have been cut; restore it"), "{found:?}");
}

#[rstest]
#[case::admin(
    "[[partner]]\naccount = \"a\"\nlogin = \"admin\"\ntokens = [{ sha256 = \"D\" }]",
    "3: partner[1].login: is the admin's"
)]
#[case::nameless(
    "[[partner]]\naccount = \"\"\nlogin = \"\"\ntokens = [{ sha256 = \"D\" }]",
    "1: partner[1]: account and login must have 1 to 128 letters"
)]
#[case::control(
    "[[partner]]\naccount = \"a\\n\"\nlogin = \"\"\ntokens = [{ sha256 = \"D\" }]",
    "2: partner[1].account: must not contain control characters"
)]
#[case::no_login(
    "[[partner]]\naccount = \"a\"\ntokens = [{ sha256 = \"D\" }]",
    "1: partner[1].login: is missing"
)]
#[case::inline("partner = [{ account = \"a\" }]", "1: partner: must be written as [[partner]]")]
#[case::cut_in_a_digest(
    "[[partner]]\naccount = \"a\"\nlogin = \"\"\ntokens = [{ sha256 = \"D",
    "4: partner[1]: not valid TOML"
)]
fn an_entry_without_a_proper_name_is_refused(#[case] text: &str, #[case] fault: &str) {
    let found = faults(&text.replace('D', DIGEST));
    assert!(found[0].starts_with(fault), "{found:?}");
}

#[test]
fn every_fault_is_reported_and_a_broken_entry_hides_no_other() {
    let text =
        [entry("rate = 1\nenabled = 2"), entry("x ="), entry("login = 1"), entry("explain = 3")].concat();
    let found = faults(&text.replace("\"a\"", "1"));
    let lines: Vec<_> =
        found.iter().map(|fault| fault.split(':').next().unwrap().parse::<usize>().unwrap()).collect();
    assert_eq!(lines, [2, 5, 6, 11, 16, 18, 21], "{found:#?}");
}

#[test]
fn the_digest_is_of_the_meaning_and_not_of_the_text() {
    let one = include_str!("../../../tests/corpus/partners/two.toml");
    let (first, second) = one.split_once("# The second one").unwrap();
    let swapped = format!("# The second one{second}\n{first}");
    let digest = |text: &str| parse(text).unwrap().digest;
    assert_eq!(digest(one).len(), 16);
    assert_eq!(digest(one), digest(&swapped));
    for (from, to) in [
        ("acme", "acne"),
        ("0f1e", "0f1f"),
        ("enabled = false", ""),
        ("100/s", "99/s"),
        ("2026-12-31", "2026-12-30"),
    ] {
        assert_ne!(digest(one), digest(&one.replacen(from, to, 1)), "{from}");
    }
}

/// A file of `count` partners.
fn many(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(
            text,
            "[[partner]]\naccount = \"account-{number}\"\nlogin = \"login\"\ntokens = [{{ sha256 = \"{number:064x}\" }}]\n"
        )
        .unwrap();
    }
    text
}

/// A loose bound: docs/design/decisions.md has the measured time and memory of a release build.
#[test]
fn a_hundred_thousand_partners_are_read() {
    let text = many(100_000);
    let begun = Instant::now();
    let file = parse(&text).unwrap();
    assert_eq!(file.partners.len(), 100_000);
    assert!(file.partners.get("account-99999", "login").is_some());
    assert!(begun.elapsed().as_secs() < 60);
}

/// A loose bound: counting the lines anew for each fault would read 600 GB.
#[test]
fn many_faults_of_one_entry_are_found_in_one_pass() {
    const COUNT: usize = 500_000;
    let methods = "\"m\",\n".repeat(COUNT);
    let begun = Instant::now();
    let errors = parse(&entry(&format!("methods = [\n{methods}]"))).unwrap_err();
    assert!(begun.elapsed().as_secs() < 60);
    assert_eq!(errors.iter().count(), COUNT);
    let last = errors.iter().last().unwrap().to_string();
    assert!(last.starts_with(&format!("p.toml:{}: partner[1].methods[{COUNT}]: ", COUNT + 5)), "{last}");
}

proptest! {
    #[test]
    fn no_text_panics_and_each_fault_is_one_line(
        text in "(\\[\\[partner\\]\\]\n|account = \"a\"\n|login = |\"b\"\n|tokens = \\[|\\{ sha256 = |\\}|\\]|\n|\\PC){0,20}"
    ) {
        if let Err(errors) = parse(&text) {
            prop_assert_eq!(errors.to_string().lines().count(), errors.iter().count());
        }
    }
}

/// TOML knows the header in other notations, of which a reader by lines would overlook the entry.
#[test]
fn a_header_in_another_notation_is_a_fault() {
    let escaped = entry("").replace("[[partner]]", "[[\"p\\u0061rtner\"]]");
    let found = faults(&format!("{}{escaped}", entry("")));
    assert!(
        found.iter().any(|fault| fault.contains("has a header that is not written as [[partner]]")),
        "{found:?}"
    );
}
