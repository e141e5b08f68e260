//! The certificates that a client trusts: those that the system trusts, or given ones.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert, crypto::ring,
};
use rustls_platform_verifier::BuilderVerifierExt;

/// Reads the system's certificates, which takes a while, only if they are `needed`. `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name others than the system's.
///
/// # Errors
///
/// If the system has no certificates to trust.
pub(crate) fn config(needed: bool) -> Result<ClientConfig, rustls::Error> {
    let builder = if needed { builder(None)? } else { builder(Some(RootCertStore::empty()))? };
    Ok(builder.with_no_client_auth())
}

/// A client that trusts `roots` alone; without them, as [`config`].
///
/// # Errors
///
/// As [`config`].
pub(crate) fn builder(
    roots: Option<RootCertStore>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    // Passed explicitly: a program chooses the process-wide default, not a library.
    let builder: ConfigBuilder<ClientConfig, WantsVerifier> =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
    match roots {
        None => builder.with_platform_verifier(),
        Some(roots) => Ok(builder.with_root_certificates(roots)),
    }
}
