//! What can be changed while the service runs: who may call, and the certificate.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::BuildError;
use crate::{config::Settings, domain::Authenticator, http::tls::Tls};

/// Changes what can be changed. Clones change the same service.
#[derive(Clone)]
pub struct Reloader {
    authenticator: Arc<ArcSwap<Authenticator>>,
    tls: Option<Tls>,
}

impl Reloader {
    pub(super) fn new(authenticator: Arc<ArcSwap<Authenticator>>, tls: Option<Tls>) -> Self {
        Self { authenticator, tls }
    }

    /// The certificate, if there is one.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether a change of `key` is taken over. TLS can be given other files, but not be turned on or off.
    pub fn can_change(&self, key: &str, settings: &Settings) -> bool {
        match key {
            "http.tls.cert" | "http.tls.key" => self.tls.is_some() && settings.http.tls.cert.is_some(),
            "log.level" => true,
            key => key.starts_with("auth."),
        }
    }

    /// Takes over salts and certificate: both, or none if there is anything wrong with one of them. Calls under way are
    /// judged by what held when they were checked. Reads the certificate's files.
    ///
    /// # Errors
    ///
    /// If the certificate or its key cannot be used.
    pub fn apply(&self, settings: &Settings) -> Result<(), BuildError> {
        let authenticator = Authenticator::new(settings.auth.policy())?;
        let pair = self.tls.as_ref().map(|tls| tls.look(&settings.http.tls)).transpose()?.flatten();
        self.authenticator.store(Arc::new(authenticator));
        if let (Some(tls), Some(pair)) = (&self.tls, pair) {
            tls.replace(pair);
        }
        Ok(())
    }
}
