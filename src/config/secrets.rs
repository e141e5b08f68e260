//! Secrets that are kept in files, as Docker, Kubernetes and systemd provide them.

use std::path::Path;

use secrecy::SecretString;

use super::Settings;
use super::auth::AuthSettings;
use super::error::{ConfigErrors, Problem};
use super::layers::{Entry, Layers};
use crate::secret_file;
use crate::store::check_tls;
use crate::store::url::{SentinelLogIn, StoreUrl, TlsTarget};

/// Reads the salts and passwords from the files that the `…_file` keys name.
pub(super) fn resolve(settings: &mut Settings, layers: &Layers, errors: &mut ConfigErrors) {
    let Settings { auth, store, cache, .. } = settings;
    let is_set = |key: &str| layers.get(key).is_some_and(Entry::is_changed);
    // A URL at fault has its default here, and a password would not fit it.
    let (store_file, cache_file) = (
        store.password_file.as_deref().filter(|_| !errors.concern("store.url")),
        cache.password_file.as_deref().filter(|_| !errors.concern("cache.url")),
    );
    let (store_tls, cache_tls) = (
        store.tls().filter(|_| !errors.concern("store.url")),
        cache.tls().filter(|_| !errors.concern("cache.url")),
    );
    let (store_sentinels, cache_sentinels) = (
        store.sentinel_log_in().filter(|_| !errors.concern("store.url")),
        cache.sentinel_log_in().filter(|_| !errors.concern("cache.url")),
    );
    // The first key that is set stands for all.
    let first_set = |keys: &[&'static str]| keys.iter().copied().find(|key| is_set(key)).unwrap_or_default();
    let store_tls_key = first_set(&["store.tls_ca", "store.tls_name", "store.tls_cert", "store.tls_key"]);
    let cache_tls_key = first_set(&["cache.tls_ca", "cache.tls_name", "cache.tls_cert", "cache.tls_key"]);
    let store_log_in_key = first_set(&["store.sentinel_password_file", "store.sentinel_user"]);
    let cache_log_in_key = first_set(&["cache.sentinel_password_file", "cache.sentinel_user"]);
    let outcomes = [
        ("auth.salt_file", fill_salt(&mut auth.salt, auth.salt_file.as_deref(), "auth.salt", is_set)),
        ("auth.previous_salt_file", fill_previous_salt(auth, is_set)),
        (
            "auth.admin_salt_file",
            fill_salt(&mut auth.admin_salt, auth.admin_salt_file.as_deref(), "auth.admin_salt", is_set),
        ),
        (store_tls_key, fill_tls(Some(&mut store.url), store_tls, "store.url")),
        (cache_tls_key, fill_tls(cache.url.as_mut(), cache_tls, "cache.url")),
        (store_log_in_key, fill_sentinel_log_in(Some(&mut store.url), store_sentinels, "store.url")),
        (cache_log_in_key, fill_sentinel_log_in(cache.url.as_mut(), cache_sentinels, "cache.url")),
        ("store.password_file", fill_password(Some(&mut store.url), store_file, "store.url")),
        ("cache.password_file", fill_password(cache.url.as_mut(), cache_file, "cache.url")),
    ];
    for (key, outcome) in outcomes {
        if let Err(problem) = outcome {
            errors.add(layers.origin(key), key.to_owned(), Problem::Refused(problem));
        }
    }
}

fn fill_salt(
    salt: &mut SecretString,
    file: Option<&Path>,
    key: &str,
    is_set: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    if is_set(key) {
        return Err(format!("{key} is set as well; set only one of them"));
    }
    *salt = secret_file::read(file)?;
    Ok(())
}

fn fill_previous_salt(auth: &mut AuthSettings, is_set: impl Fn(&str) -> bool) -> Result<(), String> {
    let mut salt = SecretString::default();
    let file = auth.previous_salt_file.as_deref();
    fill_salt(&mut salt, file, "auth.previous_salt", is_set)?;
    if file.is_some() {
        auth.previous_salt = Some(salt);
    }
    Ok(())
}

fn fill_password(url: Option<&mut StoreUrl>, file: Option<&Path>, key: &str) -> Result<(), String> {
    let Some(file) = file else { return Ok(()) };
    let url = url.ok_or_else(|| format!("{key} is not set; set it, or leave this out as well"))?;
    // It is read again at each connect, and must be usable at the start.
    secret_file::read(file)?;
    *url = url.clone().with_password_file(file.to_owned()).map_err(|refused| format!("{key} {refused}"))?;
    Ok(())
}

fn fill_tls(url: Option<&mut StoreUrl>, tls: Option<TlsTarget>, key: &str) -> Result<(), String> {
    let Some(tls) = tls else { return Ok(()) };
    let url = url.ok_or_else(|| format!("{key} is not set; set it, or leave this out as well"))?;
    // They are read again at each connect, and must be usable at the start.
    check_tls(&tls)?;
    *url = url.clone().with_tls(tls).map_err(|refused| format!("{key} {refused}"))?;
    Ok(())
}

fn fill_sentinel_log_in(
    url: Option<&mut StoreUrl>,
    log_in: Option<SentinelLogIn>,
    key: &str,
) -> Result<(), String> {
    let Some(log_in) = log_in else { return Ok(()) };
    let url = url.ok_or_else(|| format!("{key} is not set; set it, or leave this out as well"))?;
    let file = log_in.password.as_deref().ok_or("the sentinels' user needs a password file")?;
    // It is read again at each connect, and must be usable at the start.
    secret_file::read(file)?;
    *url = url.clone().with_sentinel_log_in(log_in).map_err(|refused| format!("{key} {refused}"))?;
    Ok(())
}
