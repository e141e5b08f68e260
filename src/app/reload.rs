//! The settings that can be changed while the service runs: tokens, partners, accounts' rates, cards and the certificate.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;

use super::BuildError;
use crate::{
    actors::active_card::CardSwitch,
    admission::Admission,
    config::{Settings, is_reloaded},
    domain::Authenticator,
    http::{status::Reloads, tls::Tls},
};

/// Changes these settings. Clones change the same service.
#[derive(Clone)]
pub struct Reloader {
    authenticator: Arc<ArcSwap<Authenticator>>,
    card: CardSwitch,
    admission: Arc<Admission>,
    tls: Option<Tls>,
    /// The outcome of the last reload, for the status page.
    reloads: Reloads,
    /// The service's addresses, which a reload cannot change: new salts must be allowed for these, not for the new
    /// settings'.
    listens: Arc<[SocketAddr]>,
}

impl Reloader {
    pub(super) fn new(
        authenticator: Arc<ArcSwap<Authenticator>>,
        card: CardSwitch,
        admission: Arc<Admission>,
        tls: Option<Tls>,
        reloads: Reloads,
        listens: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        Self { authenticator, card, admission, tls, reloads, listens: listens.into_iter().collect() }
    }

    /// The certificate, if there is one.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether a reload takes over a change of `key`. TLS can get other files, but cannot be turned on or off.
    pub fn can_change(&self, key: &str, settings: &Settings) -> bool {
        let has_tls = || self.tls.is_some() && settings.http.tls.cert.is_some();
        is_reloaded(key) && (!key.starts_with("http.tls.") || has_tls())
    }

    /// Takes over salts, partners, rates, cards and certificate: all of them, or nothing if one of them is invalid. For
    /// calls in flight, the settings at the time of their check count. Reads the certificate's files.
    ///
    /// # Errors
    ///
    /// If the salts are public and other hosts may reach the service, or the certificate or its key cannot be used.
    pub fn apply(&self, settings: &Settings) -> Result<(), BuildError> {
        if let Some(address) = self.listens.iter().find(|address| !settings.salts_may_serve(**address)) {
            return Err(BuildError::PublicSalts(*address));
        }
        let authenticator = settings.auth.authenticator()?;
        let pair = self.tls.as_ref().map(|tls| tls.look(&settings.http.tls)).transpose()?.flatten();
        self.authenticator.store(Arc::new(authenticator));
        let card = self.card.load().replaced(&settings.scoring);
        self.card.store(Arc::new(card));
        self.admission.set_rates(settings.limits.account_rate, &settings.auth.partners.rates);
        if let (Some(tls), Some(pair)) = (&self.tls, pair) {
            tls.replace(pair);
        }
        self.note_partners(settings);
        Ok(())
    }

    /// Publishes the outcome of a reload: the keys that have changed, or `None` if all settings stay as they were.
    pub fn ended(&self, changed: Option<&[&str]>) {
        match changed {
            Some(changed) => self.reloads.succeeded(changed.iter().copied()),
            None => self.reloads.failed(),
        }
    }

    /// Publishes the number of partners in effect.
    pub(super) fn note_partners(&self, settings: &Settings) {
        let partners = &settings.auth.partners;
        self.reloads.set_partners(partners.partners.len(), &partners.digest);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use rstest::rstest;

    use super::*;
    use crate::actors::{
        active_card::ActiveCard, cache_lookups::CacheLookups, card_metrics::CardMetrics,
        near_cache::NearCache,
    };

    const OWN: [&str; 2] = ["auth.salt=a", "auth.admin_salt=b"];

    fn test_card() -> CardSwitch {
        let settings = settings(&[]);
        let registry = Registry::new();
        let lookups = CacheLookups::register(&registry).unwrap();
        let near = NearCache::from_settings(&settings.cache, lookups);
        let metrics = CardMetrics::register(&registry).unwrap();
        ActiveCard::from_settings(&settings.scoring, near, metrics).into_switch()
    }

    fn reloader(started: &Settings, listens: impl IntoIterator<Item = SocketAddr>) -> Reloader {
        let authenticator = Arc::new(ArcSwap::from_pointee(started.auth.authenticator().unwrap()));
        let admission = Admission::new(&started.limits, &Registry::new()).unwrap();
        Reloader::new(authenticator, test_card(), admission, None, Reloads::default(), listens)
    }

    fn settings(assignments: &[&str]) -> Settings {
        let assignments: Vec<_> = assignments.iter().map(ToString::to_string).collect();
        Settings::load(None, [], &assignments).unwrap()
    }

    #[rstest]
    #[case::token("auth.salt", true)]
    #[case::card("scoring.card", true)]
    #[case::level("log.level", true)]
    #[case::other_log_setting("log.format", false)]
    #[case::rate("limits.account_rate", true)]
    #[case::other_limit("limits.client_ids", false)]
    #[case::certificate_without_tls("http.tls.cert", false)]
    #[case::listener("http.bind", false)]
    fn a_reload_changes_the_keys_of_the_list(#[case] key: &str, #[case] changes: bool) {
        let reloader = reloader(&settings(&OWN), []);
        assert_eq!(reloader.can_change(key, &settings(&OWN)), changes);
        assert!(is_reloaded(key) || !changes, "docs/configuration.md marks it");
    }

    /// The settings alone are valid: they name addresses that only this host can reach, but the service listens
    /// elsewhere.
    #[rstest]
    #[case::loopback(&["127.0.0.1:80", "[::1]:81"], &[], true)]
    #[case::others_reach_it(&["192.0.2.1:80", "127.0.0.1:81"], &[], false)]
    #[case::others_reach_the_operators_listener(&["127.0.0.1:80", "192.0.2.1:81"], &[], false)]
    #[case::with_salts_of_its_own(&["192.0.2.1:80"], &OWN, true)]
    #[case::allowed(&["192.0.2.1:80"], &["auth.allow_public_salts=true"], true)]
    fn public_salts_are_rejected_where_other_hosts_have_access(
        #[case] listens: &[&str],
        #[case] assignments: &[&str],
        #[case] taken: bool,
    ) {
        let reloader = reloader(&settings(&OWN), listens.iter().map(|address| address.parse().unwrap()));
        let before = reloader.authenticator.load_full();

        assert_eq!(reloader.apply(&settings(assignments)).is_ok(), taken);
        assert_eq!(!Arc::ptr_eq(&before, &reloader.authenticator.load()), taken);
    }
}
