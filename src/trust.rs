//! The certificates that `https` trusts: those that the system trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;

/// Reads the system's certificates, which takes a while, only if they are `needed`. `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name others than the system's.
///
/// # Errors
///
/// If the system has no certificates to trust.
pub(crate) fn config(needed: bool) -> Result<ClientConfig, rustls::Error> {
    // Passed explicitly: a program chooses the process-wide default, not a library.
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = if needed {
        builder.with_platform_verifier()?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}
