use rstest::rstest;

use super::*;

fn now() -> DateTime<Utc> {
    "2026-11-29T12:00:00.5Z".parse().unwrap()
}

fn digest(letter: char) -> TokenDigest {
    TokenDigest::from_hex(&letter.to_string().repeat(64)).unwrap()
}

fn token(letter: char, until: Option<&str>) -> PartnerToken {
    PartnerToken { digest: digest(letter), until: until.map(|until| until.parse().unwrap()) }
}

fn partners(text: &str) -> Vec<Partner> {
    let read = crate::config::partners::PartnersFile::parse(text, Path::new("p.toml"), "admin").unwrap();
    let mut partners: Vec<_> = read.partners.iter().map(|partner| Partner::clone(partner)).collect();
    partners.sort_by_key(|partner| partner.joined().clone());
    partners
}

const TWO: &str = include_str!("../../../tests/corpus/partners/two.toml");

#[rstest]
#[case::empty("")]
#[case::no_newline_at_the_end("# Ours.")]
#[case::entries(TWO)]
fn an_entry_is_appended_and_the_text_before_stays(#[case] text: &str) {
    let after = edit::append(text, "a \"b\" \\", "ключ", digest('a'));
    assert!(after.starts_with(text));
    let made = Partner::new("a \"b\" \\", "ключ", &[token('a', None)]);
    assert!(partners(&after).contains(&made), "{after}");
}

/// The lines of `after` that `before` does not have, and the other way round.
fn changed<'a>(before: &'a str, after: &'a str) -> (Vec<&'a str>, Vec<&'a str>) {
    let without = |these: &'a str, those: &str| {
        these.lines().filter(|line| !those.lines().any(|other| other == *line)).collect()
    };
    (without(before, after), without(after, before))
}

#[test]
fn a_partner_is_disabled_and_enabled_in_one_line() {
    let [acme, horns] = &partners(TWO)[..] else { panic!() };
    let disabled = edit::set_enabled(TWO, acme, false).unwrap();
    assert_eq!(disabled.lines().count(), TWO.lines().count() + 1);
    assert!(!partners(&disabled)[0].enabled);
    let enabled = edit::set_enabled(TWO, horns, true).unwrap();
    assert_eq!(changed(TWO, &enabled), (vec!["enabled = false"], vec!["enabled = true"]));
    let back = edit::set_enabled(&disabled, acme, true).unwrap();
    assert_eq!(partners(&back), partners(TWO));
}

#[test]
fn other_tokens_replace_the_old_value_alone() {
    let horns = &partners(TWO)[1];
    let after =
        edit::set_tokens(TWO, horns, &[token('e', Some("2027-01-01T00:00:00Z")), token('f', None)]).unwrap();
    let (gone, come) = changed(TWO, &after);
    assert_eq!((gone.len(), come.len()), (2, 2), "{after}");
    let tokens: Vec<_> = partners(&after)[1].tokens().copied().collect();
    assert_eq!(tokens, [token('e', Some("2027-01-01T00:00:00Z")), token('f', None)]);
    let absent = Partner::new("absent", "", &[]);
    assert_eq!(edit::set_tokens(TWO, &absent, &[token('f', None)]), None);
}

#[test]
fn comments_among_the_old_tokens_stay() {
    let text = TWO.replace("tokens = [\n", "tokens = [ # Two.\n    # \"Old\".\n");
    let after = edit::set_tokens(&text, &partners(&text)[1], &[token('f', None)]).unwrap();
    assert!(after.contains("h&f\"\n# Two.\n# \"Old\".\ntokens = [{"), "{after}");
    assert_eq!(partners(&after)[1].tokens().count(), 1);
}

const TABLES: &str = include_str!("../../../tests/corpus/partners/tables.toml");

/// They become one value below the header; each comment and the other entries stay.
#[rstest]
#[case::line_feeds(TABLES.to_owned())]
#[case::carriage_returns(TABLES.replace('\n', "\r\n"))]
#[case::no_newline_at_the_end(TABLES.trim_end().to_owned())]
fn tokens_in_tables_of_their_own_are_replaced(#[case] text: String) {
    let [one, other] = &partners(&text)[..] else { panic!() };
    let tokens = [token('e', Some("2027-01-01T00:00:00Z")), token('f', None)];
    let after = edit::set_tokens(&text, one, &tokens).unwrap();
    let [changed, kept] = &partners(&after)[..] else { panic!("{after}") };
    assert_eq!((changed, kept), (&Partner::new(one.account(), one.login(), &tokens), other));
    let comments =
        |text: &str| text.lines().filter_map(|line| Some(line.split_once('#')?.1.to_owned())).collect();
    let (before, left): (Vec<String>, Vec<String>) = (comments(&text), comments(&after));
    assert_eq!((before.len(), left), (7, before));
    // A switch leaves the tables as they are.
    let disabled = edit::set_enabled(&text, one, false).unwrap();
    assert!(disabled.contains("[[partner.tokens]]") && !partners(&disabled)[0].enabled, "{disabled}");
}

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[rstest]
#[case::the_first_gets_an_end(&[token('a', None)], WEEK, Ok(vec![token('a', Some("2026-12-06T12:00:00Z")), token('f', None)]))]
#[case::an_earlier_end_stays(&[token('a', Some("2026-11-30T00:00:00Z"))], WEEK, Ok(vec![token('a', Some("2026-11-30T00:00:00Z")), token('f', None)]))]
#[case::an_expired_one_is_dropped(&[token('a', Some("2026-11-29T12:00:00Z")), token('b', None)], WEEK, Ok(vec![token('b', Some("2026-12-06T12:00:00Z")), token('f', None)]))]
#[case::all_expired(&[token('a', Some("2026-11-29T12:00:00Z"))], WEEK, Ok(vec![token('f', None)]))]
#[case::at_once(&[token('a', None)], Duration::ZERO, Ok(vec![token('f', None)]))]
#[case::two_live_end_at_once(&[token('a', Some("2026-12-01T00:00:00Z")), token('b', None)], Duration::ZERO, Ok(vec![token('f', None)]))]
#[case::two_live(&[token('a', Some("2026-12-01T00:00:00Z")), token('b', None)], WEEK, Err("a/b has two valid tokens already; wait until one of them ends at 2026-12-01T00:00:00Z, or take one out of the file"))]
fn a_rotation_leaves_at_most_two_tokens(
    #[case] before: &[PartnerToken],
    #[case] overlap: Duration,
    #[case] expected: Result<Vec<PartnerToken>, &str>,
) {
    let after = rotated(&Partner::new("a", "b", before), digest('f'), overlap, now());
    assert_eq!(after.map_err(|failure| failure.to_string()), expected.map_err(str::to_owned));
}

#[test]
fn a_made_token_is_the_contracts_kind_and_never_the_same() {
    let tokens = [make_token("a", "b").unwrap(), make_token("a", "b").unwrap()];
    for (token, digest) in &tokens {
        let token = token.expose_secret();
        assert_eq!(token.len(), 128);
        assert!(token.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)));
        assert_eq!(TokenDigest::of(token).0, *digest);
    }
    assert_ne!(tokens[0].1, tokens[1].1);
}

#[test]
fn the_list_has_a_row_for_each_partner_and_no_digest() {
    let read = crate::config::partners::PartnersFile::parse(TWO, Path::new("p.toml"), "admin").unwrap();
    let table = list::table(&read, now());
    assert_eq!(
        table,
        "\
ACCOUNT      LOGIN  STATE     TOKENS                             METHODS       EXPLAIN
acme         shop   enabled   valid                              all           no
horns&hoofs  h&f    disabled  until 2026-12-31T00:00:00Z, valid  online_score  yes
"
    );
}
