//! Rules between keys: the owner of one key cannot check them alone.

use std::net::SocketAddr;

use bytesize::ByteSize;

use super::Settings;
use super::error::{ConfigErrors, Problem};
use super::layers::{Entry, Layers};
use crate::store::url::StoreUrl;
use crate::units::{HIDDEN, HIDDEN_IS_NO_SECRET, written};

/// Adds an error for each rule that `settings` break.
pub(super) fn check(settings: &Settings, layers: &Layers, errors: &mut ConfigErrors) {
    let Settings { http, admin, auth, store, cache, limits, .. } = settings;

    let mut rule = |keys: &[&str], holds: bool, problem: &dyn Fn() -> String| {
        // A key at fault has its default here, so a broken rule would not be the user's mistake.
        if holds || keys.iter().any(|key| errors.concern(key)) {
            return;
        }
        // The first key that was changed: the defaults alone break no rule.
        let changed = keys.iter().find(|key| layers.get(key).is_some_and(Entry::is_changed));
        if let Some(key) = changed.or(keys.first()) {
            errors.add(layers.origin(key), (*key).to_owned(), Problem::Refused(problem()));
        }
    };

    let listens = [("http.bind", Some(http.bind)), ("admin.bind", admin.bind)];
    let listens = listens.into_iter().filter_map(|(key, bind)| Some((key, bind?)));
    let exposed = listens.into_iter().find(|(_, bind)| !settings.salts_may_serve(*bind));
    let (key, bind) = exposed.unwrap_or(("http.bind", http.bind));
    rule(
        &[
            key,
            "auth.salt",
            "auth.salt_file",
            "auth.previous_salt",
            "auth.previous_salt_file",
            "auth.admin_salt",
            "auth.admin_salt_file",
            "auth.allow_public_salts",
            "auth.shared_salt",
        ],
        exposed.is_none(),
        &|| {
            format!(
                "other hosts may reach {bind}, where auth.salt, auth.previous_salt and auth.admin_salt must not be the public Otus \
                 and 42; set them, or auth.allow_public_salts = true"
            )
        },
    );
    let salts = ["auth.previous_salt", "auth.previous_salt_file", "auth.salt", "auth.salt_file"];
    rule(&salts, auth.has_two_salts(), &|| {
        "auth.previous_salt is the same as auth.salt; leave it out unless the salt is being changed"
            .to_owned()
    });
    rule(
        &["auth.shared_salt", "auth.partners_file"],
        auth.shared_salt || auth.partners_file.is_some(),
        &|| {
            "auth.shared_salt = false needs auth.partners_file; without both, only the admin could call"
                .to_owned()
        },
    );
    rule(&["admin.bind", "http.bind"], admin.bind.is_none_or(|bind| !clash(bind, http.bind)), &|| {
        "http.bind and admin.bind take the same port; change one of them".to_owned()
    });
    rule(&["store.deadline", "store.timeout"], store.deadline >= store.timeout, &|| {
        let (deadline, timeout) = (written(store.deadline), written(store.timeout));
        format!("store.deadline ({deadline}) must be at least store.timeout ({timeout})")
    });
    rule(&["limits.body_memory", "http.body_limit"], limits.body_memory >= http.body_limit, &|| {
        let (all, one) = (ByteSize(limits.body_memory as u64), ByteSize(http.body_limit as u64));
        format!("limits.body_memory ({all}) must be at least http.body_limit ({one})")
    });
    rule(&["store.url"], store.url.is_persistent(), &|| {
        "memcached keeps nothing for good, so it can only be the cache; set cache.url to it, and store.url to a store that lasts"
            .to_owned()
    });
    let log_in = || "has a user and no password; add one, or a password_file".to_owned();
    rule(&["store.url", "store.password_file"], !store.url.lacks_password(), &log_in);
    for key in ["store.url", "cache.url"] {
        rule(&[key], !hides_its_password(layers, key), &|| HIDDEN_IS_NO_SECRET.to_owned());
    }
    for (keys, cert, key) in [
        (["http.tls.cert", "http.tls.key"], &http.tls.cert, &http.tls.key),
        (["store.tls_cert", "store.tls_key"], &store.tls_cert, &store.tls_key),
        (["cache.tls_cert", "cache.tls_key"], &cache.tls_cert, &cache.tls_key),
    ] {
        rule(&keys, cert.is_some() == key.is_some(), &|| {
            format!("{} and {} belong together; set both", keys[0], keys[1])
        });
    }
    rule(
        &["cache.url", "cache.password_file"],
        !cache.url.as_ref().is_some_and(StoreUrl::lacks_password),
        &log_in,
    );
}

/// Whether the URL's password is only the placeholder for a hidden one.
fn hides_its_password(layers: &Layers, key: &str) -> bool {
    let url = layers.get(key).and_then(|entry| entry.value.as_str());
    url.is_some_and(|url| url.contains(&format!(":{HIDDEN}@")))
}

pub(super) fn is_loopback(address: SocketAddr) -> bool {
    // `::ffff:127.0.0.1` is a loopback address too.
    address.ip().to_canonical().is_loopback()
}

/// Whether the second of two listeners would find its port in use.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}
