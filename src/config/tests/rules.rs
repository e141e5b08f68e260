//! Rules between keys.

use rstest::rstest;

use super::given;

const PUBLIC: &str = "where auth.salt, auth.previous_salt and auth.admin_salt must not be the public Otus and 42; \
                      set them, or auth.allow_public_salts = true";

#[rstest]
#[case::loopback(&["http.bind=127.0.0.2:80"], true)]
#[case::loopback_v6(&["http.bind=[::1]:80"], true)]
#[case::mapped_loopback(&["http.bind=[::ffff:127.0.0.1]:80"], true)]
#[case::everywhere(&["http.bind=0.0.0.0:80"], false)]
#[case::everywhere_v6(&["http.bind=[::]:80"], false)]
#[case::one_address(&["http.bind=10.0.0.1:80"], false)]
#[case::allowed(&["http.bind=0.0.0.0:80", "auth.allow_public_salts=true"], true)]
#[case::own_salts(&["http.bind=0.0.0.0:80", "auth.salt=a", "auth.admin_salt=b"], true)]
#[case::only_one_own_salt(&["http.bind=0.0.0.0:80", "auth.salt=a"], false)]
#[case::only_the_admins_own_salt(&["http.bind=0.0.0.0:80", "auth.admin_salt=b"], false)]
#[case::public_previous_salt(
    &["http.bind=0.0.0.0:80", "auth.salt=a", "auth.admin_salt=b", "auth.previous_salt=Otus"],
    false
)]
#[case::own_previous_salt(
    &["http.bind=0.0.0.0:80", "auth.salt=a", "auth.admin_salt=b", "auth.previous_salt=c"],
    true
)]
#[case::swapped(&["http.bind=0.0.0.0:80", "auth.salt=42", "auth.admin_salt=Otus"], false)]
fn public_salts_serve_loopback_only(#[case] assignments: &[&str], #[case] valid: bool) {
    let loaded = assignments.iter().fold(given(), |given, assignment| given.set(assignment)).load();
    assert_eq!(loaded.is_ok(), valid);
    if let Err(errors) = loaded {
        let line = errors.to_string();
        assert!(
            line.starts_with("--set: http.bind: other hosts may reach ") && line.ends_with(PUBLIC),
            "{line}"
        );
    }
}

#[test]
fn a_rotation_needs_two_salts() {
    let errors = given().set("auth.salt=a").set("auth.previous_salt=a").errors();
    let expected = "--set: auth.previous_salt: auth.previous_salt is the same as auth.salt; leave it out unless the salt is being changed";
    assert_eq!(errors, [expected]);
}

#[test]
fn public_salts_restrict_the_operators_listener_to_loopback() {
    let errors = given().set("admin.bind=0.0.0.0:81").load().unwrap_err().to_string();
    assert_eq!(errors, format!("--set: admin.bind: other hosts may reach 0.0.0.0:81, {PUBLIC}"));
}

#[rstest]
#[case::public("Otus\n", false)]
#[case::own("own", true)]
fn a_public_salt_stays_public_in_a_file(#[case] salt: &str, #[case] valid: bool) {
    let loaded = given()
        .named("salt", salt)
        .env_file("SCORING_AUTH__SALT_FILE", "salt")
        .set("auth.admin_salt=b")
        .set("http.bind=0.0.0.0:80")
        .load();
    assert_eq!(loaded.is_ok(), valid);
}

#[rstest]
#[case::same("127.0.0.1:80", "127.0.0.1:80", false)]
#[case::other_port("127.0.0.1:80", "127.0.0.1:81", true)]
#[case::other_address("127.0.0.1:80", "127.0.0.2:80", true)]
#[case::free_ports("127.0.0.1:0", "127.0.0.1:0", true)]
#[case::admin_everywhere("127.0.0.1:80", "0.0.0.0:80", false)]
#[case::http_everywhere("0.0.0.0:80", "127.0.0.1:80", false)]
#[case::both_everywhere("[::]:80", "0.0.0.0:80", false)]
#[case::admin_off("127.0.0.1:80", "", true)]
fn listeners_do_not_share_a_port(#[case] http: &str, #[case] admin: &str, #[case] valid: bool) {
    let given = given().set("auth.allow_public_salts=true");
    let loaded = given.set(&format!("http.bind={http}")).set(&format!("admin.bind={admin}")).load();
    assert_eq!(loaded.is_ok(), valid, "{loaded:?}");
}

#[rstest]
#[case::equal("store.timeout=600ms", None)]
#[case::timeout_too_long("store.timeout=601ms", Some("store.timeout"))]
#[case::deadline_too_short("store.deadline=149ms", Some("store.deadline"))]
fn a_try_fits_into_the_deadline(#[case] assignment: &str, #[case] blamed: Option<&str>) {
    match (given().set(assignment).load(), blamed) {
        (Ok(_), None) => {}
        (Err(errors), Some(key)) => {
            let line = errors.to_string();
            assert!(line.starts_with(&format!("--set: {key}: store.deadline (")), "{line}");
        }
        (loaded, _) => panic!("{loaded:?}"),
    }
}

#[test]
fn a_key_at_fault_breaks_no_rule_as_well() {
    assert_eq!(given().set("store.timeout=fast").set("store.deadline=10ms").errors().len(), 1);
    let errors =
        given().named("p", "hunter2").env_file("SCORING_STORE__PASSWORD_FILE", "p").set("store.url=x");
    assert_eq!(errors.errors().len(), 1);
}

#[rstest]
#[case::store("store.url")]
#[case::cache("cache.url")]
fn a_user_needs_a_password(#[case] key: &str) {
    let errors = given().set(&format!("{key}=redis://app@cache")).errors();
    assert_eq!(errors, [format!("--set: {key}: has a user and no password; add one, or a password_file")]);
    given().set(&format!("{key}=redis://app:hunter2@cache")).ok();
}
