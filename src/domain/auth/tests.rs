use chrono::TimeZone;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::domain::{Object, Redacted};

/// By hashlib, of `horns&hoofs` + `h&f` + `Otus`.
const PARTNER: &str = "55cc9ce545bcd144300fe9efc28e65d415b923ebb6be1e19d2750a2c03e80dd209a27954dca045e5bb12418e7d89b6d718a9e35af34e14e1d5bcd5a08f21fc95";

fn policy(zone: &str, grace: Duration) -> AuthPolicy {
    AuthPolicy { timezone: zone.parse().unwrap(), admin_grace: grace, ..AuthPolicy::public() }
}

fn authenticator(zone: &str, grace_minutes: u64) -> Authenticator {
    Authenticator::new(policy(zone, Duration::from_secs(grace_minutes * 60))).unwrap()
}

fn request(account: &str, login: &str, token: &str) -> MethodRequest {
    MethodRequest {
        account: account.to_owned(),
        login: login.to_owned(),
        token: Redacted::new(token.to_owned()),
        arguments: Object::default(),
        method: "online_score".to_owned(),
    }
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The admin's token for an hour, computed without an `Authenticator`.
fn hour_token(hour: &str) -> String {
    lower_hex(&Sha512::digest(format!("{hour}42")))
}

fn check(auth: &Authenticator, account: &str, login: &str, token: &str) -> Result<Caller, Forbidden> {
    auth.check(&request(account, login, token), utc("2024-02-29T23:30:00Z")).map_err(|_| Forbidden)
}

// ===== partners =====

#[test]
fn a_partners_token_is_the_contracts_digest() {
    assert_eq!(authenticator("UTC", 0).partner_token("horns&hoofs", "h&f"), PARTNER);
}

#[rstest]
#[case::own_token("horns&hoofs", "h&f", PARTNER.to_owned(), Ok(Caller::Partner(Salt::Current)))]
#[case::empty("horns&hoofs", "h&f", String::new(), Err(Forbidden))]
#[case::nonsense("horns&hoofs", "h&f", "sdd".to_owned(), Err(Forbidden))]
#[case::upper_case("horns&hoofs", "h&f", PARTNER.to_uppercase(), Err(Forbidden))]
#[case::one_digit_short("horns&hoofs", "h&f", PARTNER[..127].to_owned(), Err(Forbidden))]
#[case::one_digit_more("horns&hoofs", "h&f", format!("{PARTNER}0"), Err(Forbidden))]
#[case::last_digit_wrong("horns&hoofs", "h&f", format!("{}6", &PARTNER[..127]), Err(Forbidden))]
#[case::first_digit_wrong("horns&hoofs", "h&f", format!("6{}", &PARTNER[1..]), Err(Forbidden))]
#[case::blank_after("horns&hoofs", "h&f", format!("{PARTNER} "), Err(Forbidden))]
#[case::other_account("hoofs&horns", "h&f", PARTNER.to_owned(), Err(Forbidden))]
#[case::other_login("horns&hoofs", "h&g", PARTNER.to_owned(), Err(Forbidden))]
#[case::login_in_another_case("horns&hoofs", "H&F", PARTNER.to_owned(), Err(Forbidden))]
#[case::admins_token("horns&hoofs", "h&f", hour_token("2024022923"), Err(Forbidden))]
fn a_partner_is_known_by_its_token(
    #[case] account: &str,
    #[case] login: &str,
    #[case] token: String,
    #[case] expected: Result<Caller, Forbidden>,
) {
    assert_eq!(check(&authenticator("UTC", 0), account, login, &token), expected);
}

#[test]
fn an_empty_account_and_login_have_a_token_of_their_own() {
    let auth = authenticator("UTC", 0);
    assert_eq!(check(&auth, "", "", &lower_hex(&Sha512::digest("Otus"))), Ok(Caller::Partner(Salt::Current)));
}

// ===== the admin =====

#[test]
fn the_admins_token_is_the_contracts_digest() {
    // By hashlib, of `2024022923` + `42`.
    let expected = "4396d142c10c0bd4937c3ac7be33b67beefde539c8a3570fa4af2c2991147515de312dab5056b042cf1a2117e8b0860d2b14b2ed37c136591f4d881f5628049c";
    assert_eq!(authenticator("UTC", 0).admin_token(utc("2024-02-29T23:30:00Z")), expected);
}

#[rstest]
#[case::this_hour("admin", hour_token("2024022923"), Ok(Caller::Admin))]
#[case::last_hour("admin", hour_token("2024022922"), Err(Forbidden))]
#[case::next_hour("admin", hour_token("2024030100"), Err(Forbidden))]
#[case::upper_case("admin", hour_token("2024022923").to_uppercase(), Err(Forbidden))]
#[case::empty("admin", String::new(), Err(Forbidden))]
#[case::login_in_capitals("Admin", hour_token("2024022923"), Err(Forbidden))]
#[case::login_with_a_blank("admin ", hour_token("2024022923"), Err(Forbidden))]
#[case::partners_way_of_making_it("admin", lower_hex(&Sha512::digest("horns&hoofsadminOtus")), Err(Forbidden))]
fn the_admin_is_known_by_the_hours_token(
    #[case] login: &str,
    #[case] token: String,
    #[case] expected: Result<Caller, Forbidden>,
) {
    assert_eq!(check(&authenticator("UTC", 0), "horns&hoofs", login, &token), expected);
}

#[test]
fn a_login_that_only_resembles_the_admins_is_a_partners() {
    let auth = authenticator("UTC", 0);
    let token = auth.partner_token("horns&hoofs", "Admin");
    assert_eq!(check(&auth, "horns&hoofs", "Admin", &token), Ok(Caller::Partner(Salt::Current)));
}

#[test]
fn the_admins_login_is_configurable() {
    let policy = AuthPolicy { admin_login: "root".to_owned(), ..policy("UTC", Duration::ZERO) };
    let auth = Authenticator::new(policy).unwrap();
    assert_eq!(check(&auth, "", "root", &hour_token("2024022923")), Ok(Caller::Admin));
    assert_eq!(check(&auth, "", "admin", &hour_token("2024022923")), Err(Forbidden));
}

/// Each case: the zone, the grace in minutes, an hour of its wall clock, and whether that hour's token is valid at an
/// instant.
#[rstest]
#[case::no_grace_at_the_end_of_the_hour("UTC", 0, "2024022922", "2024-02-29T22:59:59.999Z", true)]
#[case::no_grace_after_the_turn("UTC", 0, "2024022922", "2024-02-29T23:00:00Z", false)]
#[case::not_before_its_hour("UTC", 60, "2024022922", "2024-02-29T21:59:59.999Z", false)]
#[case::grace_at_the_turn("UTC", 10, "2024022922", "2024-02-29T23:00:00Z", true)]
#[case::grace_nearly_over("UTC", 10, "2024022922", "2024-02-29T23:09:59.999Z", true)]
#[case::grace_over("UTC", 10, "2024022922", "2024-02-29T23:10:00Z", false)]
#[case::new_hour_within_the_grace("UTC", 10, "2024022923", "2024-02-29T23:05:00Z", true)]
#[case::grace_over_a_leap_day("UTC", 10, "2024022923", "2024-03-01T00:05:00Z", true)]
#[case::grace_over_new_year("UTC", 10, "2024123123", "2025-01-01T00:05:00Z", true)]
#[case::longest_grace_nearly_over("UTC", 60, "2024022922", "2024-02-29T23:59:59.999Z", true)]
#[case::longest_grace_over("UTC", 60, "2024022922", "2024-03-01T00:00:00Z", false)]
#[case::hour_of_the_zone("America/New_York", 0, "2024123123", "2025-01-01T04:30:00Z", true)]
#[case::not_the_hour_of_utc("America/New_York", 0, "2025010104", "2025-01-01T04:30:00Z", false)]
#[case::half_hour_zone_before_its_turn("Asia/Kolkata", 0, "2024022905", "2024-02-29T00:29:59Z", true)]
#[case::half_hour_zone_at_its_turn("Asia/Kolkata", 0, "2024022905", "2024-02-29T00:30:00Z", false)]
#[case::half_hour_zone_in_grace("Asia/Kolkata", 10, "2024022905", "2024-02-29T00:35:00Z", true)]
// Berlin, 27 October 2024: 03:00 summer time becomes 02:00 at 01:00 UTC, so the hour 02 comes twice.
#[case::first_of_two_equal_hours("Europe/Berlin", 0, "2024102702", "2024-10-27T00:30:00Z", true)]
#[case::second_of_two_equal_hours("Europe/Berlin", 0, "2024102702", "2024-10-27T01:30:00Z", true)]
#[case::hour_before_is_over_in_the_second("Europe/Berlin", 10, "2024102701", "2024-10-27T01:05:00Z", false)]
#[case::grace_after_the_second("Europe/Berlin", 10, "2024102702", "2024-10-27T02:05:00Z", true)]
#[case::grace_after_the_second_over("Europe/Berlin", 10, "2024102702", "2024-10-27T02:10:00Z", false)]
// Berlin, 31 March 2024: 02:00 becomes 03:00 at 01:00 UTC, so there is no hour 02.
#[case::last_hour_before_the_gap("Europe/Berlin", 10, "2024033101", "2024-03-31T01:05:00Z", true)]
#[case::hour_in_the_gap("Europe/Berlin", 10, "2024033102", "2024-03-31T01:05:00Z", false)]
#[case::hour_after_the_gap("Europe/Berlin", 10, "2024033103", "2024-03-31T01:05:00Z", true)]
// New York, 3 November 2024: 02:00 summer time becomes 01:00 at 06:00 UTC.
#[case::new_york_second_hour("America/New_York", 0, "2024110301", "2024-11-03T06:30:00Z", true)]
#[case::new_york_longest_grace("America/New_York", 60, "2024110301", "2024-11-03T07:59:59Z", true)]
fn an_hours_token_holds_for_its_hour_and_the_grace(
    #[case] zone: &str,
    #[case] grace_minutes: u64,
    #[case] hour: &str,
    #[case] now: &str,
    #[case] holds: bool,
) {
    let auth = authenticator(zone, grace_minutes);
    assert_eq!(auth.check(&request("", "admin", &hour_token(hour)), utc(now)).is_ok(), holds);
}

// ===== the policy =====

#[rstest]
#[case::none(Duration::ZERO, true)]
#[case::an_hour(Duration::from_secs(3600), true)]
#[case::a_nanosecond_more(Duration::new(3600, 1), false)]
#[case::for_ever(Duration::MAX, false)]
fn the_grace_is_at_most_an_hour(#[case] grace: Duration, #[case] is_valid: bool) {
    let expected = if is_valid { None } else { Some(InvalidAuthPolicy::GraceTooLong(grace)) };
    assert_eq!(Authenticator::new(policy("UTC", grace)).err(), expected);
}

#[rstest]
#[case::utc("UTC", "2024-02-29")]
#[case::already_tomorrow("Asia/Tokyo", "2024-03-01")]
#[case::still_today("America/New_York", "2024-02-29")]
fn today_is_the_zones_date(#[case] zone: &str, #[case] date: &str) {
    let today = authenticator(zone, 0).today(utc("2024-02-29T23:30:00Z"));
    assert_eq!(today.to_string(), date);
}

#[test]
fn debug_never_shows_a_salt() {
    let policy = AuthPolicy { admin_salt: "pepper".into(), ..policy("UTC", Duration::ZERO) };
    let shown = format!("{policy:?} {:?}", Authenticator::new(policy.clone()).unwrap());
    assert!(!shown.contains("Otus") && !shown.contains("pepper"), "{shown}");
}

proptest! {
    #[test]
    fn a_partners_own_token_always_matches(account: String, login: String) {
        prop_assume!(login != "admin");
        let auth = authenticator("UTC", 0);
        let token = auth.partner_token(&account, &login);
        prop_assert_eq!(check(&auth, &account, &login, &token), Ok(Caller::Partner(Salt::Current)));
    }

    #[test]
    fn no_other_token_matches(token: String) {
        prop_assert_eq!(check(&authenticator("UTC", 60), "horns&hoofs", "h&f", &token), Err(Forbidden));
        prop_assert_eq!(check(&authenticator("UTC", 60), "horns&hoofs", "admin", &token), Err(Forbidden));
    }

    /// For any instant of a year and any grace: valid for its hour and the grace after it, and not a nanosecond longer.
    #[test]
    fn an_hours_token_is_valid_from_the_start_to_the_graces_end(
        grace in 0u64..=3600, hour in 0i64..8_760, later_ns in -3_600_000_000_000i64..10_800_000_000_000,
    ) {
        let auth = Authenticator::new(policy("UTC", Duration::from_secs(grace))).unwrap();
        let begins = utc("2024-01-01T00:00:00Z") + TimeDelta::hours(hour);
        let token = hour_token(&begins.format("%Y%m%d%H").to_string());
        let now = begins + TimeDelta::nanoseconds(later_ns);
        let ends = begins + TimeDelta::seconds(3600 + i64::try_from(grace).unwrap());
        let holds = auth.check(&request("", "admin", &token), now).is_ok();
        prop_assert_eq!(holds, begins <= now && now < ends);
    }

    #[test]
    fn the_admins_token_holds_from_its_making_to_the_grace(seconds in 0i64..4_000_000_000, later in 0i64..3600) {
        let auth = authenticator("Europe/Berlin", 60);
        let made = Utc.timestamp_opt(seconds, 0).unwrap();
        let request = request("", "admin", &auth.admin_token(made));
        prop_assert_eq!(auth.check(&request, made + TimeDelta::seconds(later)), Ok(Caller::Admin));
    }
}

#[test]
fn the_token_of_the_previous_salt_holds_during_a_rotation() {
    let old = authenticator("UTC", 0);
    let new = AuthPolicy {
        salt: "new".into(),
        previous_salt: Some("Otus".into()),
        ..policy("UTC", Duration::ZERO)
    };
    let rotating = Authenticator::new(new.clone()).unwrap();
    let rotated = Authenticator::new(AuthPolicy { previous_salt: None, ..new }).unwrap();
    let now = Utc.with_ymd_and_hms(2026, 11, 22, 12, 0, 0).unwrap();
    let check = |authenticator: &Authenticator, token: &str| {
        authenticator.check(&request("a", "b", token), now).map_err(|_| Forbidden)
    };
    let (before, after) = (old.partner_token("a", "b"), rotating.partner_token("a", "b"));
    assert_ne!(before, after);
    assert_eq!(check(&rotating, &before), Ok(Caller::Partner(Salt::Previous)));
    assert_eq!(check(&rotating, &after), Ok(Caller::Partner(Salt::Current)));
    assert_eq!(check(&rotating, &old.partner_token("a", "c")), Err(Forbidden));
    assert_eq!(check(&rotated, &before), Err(Forbidden));
    assert_eq!(check(&rotated, &after), Ok(Caller::Partner(Salt::Current)));
    assert!(!format!("{rotating:?}").contains("Otus"), "{rotating:?}");
}
