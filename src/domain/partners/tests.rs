use chrono::TimeDelta;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::domain::{
    AuthPolicy, Authenticator, Caller, MethodRequest, Object, Redacted, Rejected, Salt, auth::work, token_of,
};

const OWN_SALT: &str = "a salt of 256 bits";

fn now() -> DateTime<Utc> {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn own_token(account: &str, login: &str) -> String {
    token_of(account, login, OWN_SALT)
}

fn stored(token: &str, until: Option<DateTime<Utc>>) -> PartnerToken {
    PartnerToken { digest: TokenDigest::of(token).0, until }
}

fn partner(account: &str, login: &str) -> Partner {
    Partner::new(account, login, &[stored(&own_token(account, login), None)])
}

fn authenticator(partners: impl IntoIterator<Item = Partner>, shared_salt: bool) -> Authenticator {
    let policy = AuthPolicy {
        previous_salt: Some("before".into()),
        timezone: "UTC".parse().unwrap(),
        ..AuthPolicy::public()
    };
    let mut table = Partners::default();
    partners.into_iter().for_each(|partner| table.insert(partner).unwrap());
    Authenticator::new(policy).unwrap().with_partners(Arc::new(table), shared_salt)
}

fn request(account: &str, login: &str, token: &str, method: &str) -> MethodRequest {
    MethodRequest {
        account: account.to_owned(),
        login: login.to_owned(),
        token: Redacted::new(token.to_owned()),
        arguments: Object::default(),
        method: method.to_owned(),
    }
}

fn check(auth: &Authenticator, account: &str, login: &str, token: &str) -> Result<Caller, Rejected> {
    auth.check(&request(account, login, token, "online_score"), now())
}

fn reason(auth: &Authenticator, account: &str, login: &str, token: &str) -> Option<Refused> {
    check(auth, account, login, token).err().map(|rejected| rejected.reason)
}

#[test]
fn a_registered_partner_calls_by_its_own_token_alone() {
    let auth = authenticator([partner("acme", "shop")], true);
    let caller = check(&auth, "acme", "shop", &own_token("acme", "shop")).unwrap();
    assert_eq!(caller, Caller::Registered(Arc::new(partner("acme", "shop"))));
    assert_eq!((caller.token(), caller.may_explain()), ("partner", false));
    for salt in ["Otus", "before"] {
        let rejected = check(&auth, "acme", "shop", &token_of("acme", "shop", salt)).unwrap_err();
        assert_eq!(rejected.reason, Refused::Token, "{salt}");
        assert_eq!(rejected.partner.unwrap().name(), "acme/shop");
    }
    let by_salt = check(&auth, "other", "shop", &token_of("other", "shop", "Otus"));
    assert_eq!(by_salt, Ok(Caller::Partner(Salt::Current)));
}

#[test]
fn a_disabled_partner_is_not_back_with_a_letter_moved() {
    let mut disabled = partner("acme", "shop");
    disabled.enabled = false;
    let auth = authenticator([disabled], true);
    for (account, login) in
        [("acme", "shop"), ("acm", "eshop"), ("acmes", "hop"), ("", "acmeshop"), ("acmeshop", "")]
    {
        assert_eq!(reason(&auth, account, login, &own_token("acme", "shop")), Some(Refused::Disabled));
        let of_salt = token_of(account, login, "Otus");
        assert_eq!(reason(&auth, account, login, &of_salt), Some(Refused::Token), "{account} {login}");
    }
}

#[test]
fn without_the_shared_salt_only_the_registered_and_the_admin_call() {
    let auth = authenticator([partner("acme", "shop")], false);
    assert!(check(&auth, "acme", "shop", &own_token("acme", "shop")).is_ok());
    assert_eq!(check(&auth, "", "admin", &auth.admin_token(now())), Ok(Caller::Admin));
    let of_salt = token_of("other", "shop", "Otus");
    assert_eq!(
        check(&auth, "other", "shop", &of_salt),
        Err(Rejected { reason: Refused::Unknown, partner: None })
    );
    let empty = authenticator([], false);
    assert_eq!(reason(&empty, "other", "shop", &of_salt), Some(Refused::Unknown));
}

#[test]
fn a_token_holds_until_its_end_and_not_a_nanosecond_longer() {
    let tokens = ["old", "new"].map(|salt| token_of("acme", "shop", salt));
    let rotated = Partner::new("acme", "shop", &[stored(&tokens[0], Some(now())), stored(&tokens[1], None)]);
    let auth = authenticator([rotated], true);
    let at = |token: &str, time| {
        auth.check(&request("acme", "shop", token, "online_score"), time)
            .err()
            .map(|rejected| rejected.reason)
    };
    let before = now() - TimeDelta::nanoseconds(1);
    assert_eq!([at(&tokens[0], before), at(&tokens[1], before)], [None, None]);
    assert_eq!([at(&tokens[0], now()), at(&tokens[1], now())], [Some(Refused::Expired), None]);
}

#[rstest]
#[case::allowed("online_score", None)]
#[case::not_allowed("clients_interests", Some(Refused::Method))]
#[case::unknown_is_judged_later("no_such_method", None)]
fn a_partner_calls_only_its_methods(#[case] method: &str, #[case] expected: Option<Refused>) {
    let mut limited = partner("acme", "shop");
    limited.methods = [Method::OnlineScore].into_iter().collect();
    let auth = authenticator([limited], true);
    let checked = auth.check(&request("acme", "shop", &own_token("acme", "shop"), method), now());
    assert_eq!(checked.err().map(|rejected| rejected.reason), expected);
}

#[rstest]
#[case::empty(String::new())]
#[case::short(own_token("acme", "shop")[1..].to_owned())]
#[case::long(own_token("acme", "shop") + "0")]
#[case::upper_case(own_token("acme", "shop").to_uppercase())]
#[case::placeholder("-".repeat(128))]
#[case::huge("0".repeat(1 << 20))]
fn another_token_does_not_match(#[case] token: String) {
    let auth = authenticator([partner("acme", "shop")], true);
    assert_eq!(reason(&auth, "acme", "shop", &token), Some(Refused::Token));
}

#[test]
fn an_empty_slot_matches_no_digest() {
    let nothing = Partner::new("acme", "shop", &[]);
    assert_eq!(nothing.check(&own_token("acme", "shop"), None, now()), Err(Refused::Token));
}

/// Each refusal computes the same digests, by construction: so its time does not tell its reason.
#[rstest]
#[case::shared_salt(true, (1, 2))]
#[case::no_shared_salt(false, (1, 0))]
fn every_refusal_computes_the_same_digests(#[case] shared_salt: bool, #[case] expected: (u32, u32)) {
    let [mut disabled, mut limited] = [partner("disabled", ""), partner("limited", "")];
    disabled.enabled = false;
    limited.methods = [Method::ClientsInterests].into_iter().collect();
    let expired = Partner::new("expired", "", &[stored(&own_token("expired", ""), Some(now()))]);
    let auth = authenticator([disabled, limited, expired, partner("acme", "")], shared_salt);
    for (account, token) in [
        ("unknown", own_token("unknown", "")),
        ("acme", own_token("acme", "x")),
        ("acme", "x".to_owned()),
        ("disabled", own_token("disabled", "")),
        ("limited", own_token("limited", "")),
        ("expired", own_token("expired", "")),
    ] {
        work::take();
        let refused = reason(&auth, account, "", &token);
        assert_eq!(work::take(), expected, "{account}: {refused:?}");
        assert!(refused.is_some());
    }
    let own = own_token("acme", "");
    work::take();
    assert!(check(&auth, "acme", "", &own).is_ok());
    assert_eq!(work::take(), (1, 0), "an accepted call only checks its own token");
}

#[test]
fn debug_shows_no_digest() {
    let shown = format!("{:?}", partner("acme", "shop"));
    assert!(!shown.contains(&TokenDigest::of(&own_token("acme", "shop")).0.to_hex()[..8]), "{shown}");
    assert!(shown.contains("[redacted]"), "{shown}");
}

#[rstest]
#[case::lower_case("0123456789abcdef".repeat(4), true)]
#[case::upper_case("0123456789ABCDEF".repeat(4), false)]
#[case::short("0".repeat(62), false)]
#[case::long("0".repeat(66), false)]
#[case::odd("0".repeat(63), false)]
#[case::no_hex("g".repeat(64), false)]
fn a_digest_is_64_hex_digits(#[case] text: String, #[case] is_valid: bool) {
    assert_eq!(TokenDigest::from_hex(&text).map(|digest| digest.to_hex()), is_valid.then_some(text));
}

proptest! {
    #[test]
    fn no_registered_text_is_accepted_by_a_shared_salt(
        account in "[a-c]{0,4}", login in "[a-c]{0,4}", cut in 0usize..=8,
        enabled: bool, salt in prop::sample::select(vec!["Otus", "before"]),
    ) {
        let mut entry = partner(&account, &login);
        entry.enabled = enabled;
        let auth = authenticator([entry], true);
        let joined = account + &login;
        let (account, login) = joined.split_at(cut.min(joined.len()));
        prop_assert_eq!(reason(&auth, account, login, &token_of(account, login, salt)), Some(Refused::Token));
    }

    #[test]
    fn a_partner_keeps_its_account_and_login(account: String, login: String) {
        let partner = partner(&account, &login);
        prop_assert_eq!((partner.account(), partner.login()), (account.as_str(), login.as_str()));
        prop_assert_eq!(&**partner.joined(), account + &login);
    }
}

#[test]
fn two_partners_never_have_the_same_name() {
    let name = |account, login| Partner::new(account, login, &[]).name().to_owned();
    assert_eq!(name("acme", "shop/1"), "acme/shop/1");
    let names = [name("a/b", "c"), name("a", "b/c"), name("a%2Fb", "c"), name("", "a/b/c")];
    assert_eq!(names, ["a%2Fb/c", "a/b/c", "a%252Fb/c", "/a/b/c"]);
}
