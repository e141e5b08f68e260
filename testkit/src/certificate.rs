//! A certificate that signs itself, the files that it is in, and clients that trust it and no other.

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion, crypto::ring, pki_types::CertificateDer,
};

/// A certificate with its key.
pub struct Certificate(CertifiedKey<KeyPair>);

// ===== impl Certificate =====

impl Certificate {
    /// Whose it is.
    pub const NAME: &str = "scoring.test";

    pub fn new() -> Self {
        Self(generate_simple_self_signed([Self::NAME.to_owned()]).unwrap())
    }

    /// One that has expired.
    pub fn expired() -> Self {
        let mut parameters = CertificateParams::new([Self::NAME.to_owned()]).unwrap();
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        let signing_key = KeyPair::generate().unwrap();
        Self(CertifiedKey { cert: parameters.self_signed(&signing_key).unwrap(), signing_key })
    }

    /// Writes `cert.pem` and `key.pem`, and returns the settings that name them.
    pub fn write(&self, folder: &Path) -> [String; 2] {
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&cert, self.0.cert.pem()).unwrap();
        fs::write(&key, self.0.signing_key.serialize_pem()).unwrap();
        [format!("http.tls.cert={}", cert.display()), format!("http.tls.key={}", key.display())]
    }

    /// A client that trusts it.
    pub fn client(&self) -> ClientConfig {
        self.client_of(rustls::ALL_VERSIONS)
    }

    /// The same, for these versions of TLS.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.cert.der().to_vec())).unwrap();
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}
