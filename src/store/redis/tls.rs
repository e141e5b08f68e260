//! TLS to a server: the trusted issuers, the client's own certificate, and the handshake.

use std::{
    fmt, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::{
    secret_file::read_bounded,
    single_flight::SingleFlight,
    store::{BackendError, url::TlsTarget, wire::Socket},
    trust,
};

/// More bytes than any chain of certificates has; limits the cost of a wrong path.
const LARGEST: u64 = 1 << 20;

/// TLS for the connections of one connector. Clones share the files' last contents.
#[derive(Clone)]
pub(super) struct Tls {
    target: TlsTarget,
    reads: SingleFlight<Arc<ClientConfig>, String>,
    last: Arc<Mutex<Option<Loaded>>>,
}

/// The contents of the files, and what was made of them. A session of TLS can be resumed as long as it is the same.
struct Loaded {
    files: Files,
    config: Arc<ClientConfig>,
}

#[derive(PartialEq, Eq)]
struct Files {
    ca: Option<Vec<u8>>,
    cert_and_key: Option<(Vec<u8>, Vec<u8>)>,
}

// ===== impl Tls =====

impl Tls {
    pub(super) fn new(target: TlsTarget) -> Self {
        Self { target, reads: SingleFlight::new("certificates"), last: Arc::default() }
    }

    /// The handshake over `socket` with the server of the name `host`. Takes as long as the server does.
    pub(super) async fn handshake(
        &self,
        socket: Box<dyn Socket>,
        host: &str,
    ) -> Result<Box<dyn Socket>, BackendError> {
        let name = self.target.name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| BackendError::Tls(format!("{name} is not a name that a certificate can have")))?;
        let config = self.config().await.map_err(BackendError::Tls)?;
        let stream = TlsConnector::from(config).connect(name, socket).await;
        Ok(Box::new(stream.map_err(|error| sort(&error))?))
    }

    /// Reads the files again, so that new ones need no restart.
    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let this = self.clone();
        self.reads.result("", move || this.load()).await
    }

    fn load(&self) -> Result<Arc<ClientConfig>, String> {
        let files = read(&self.target)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = last.as_ref().filter(|loaded| loaded.files == files) {
            return Ok(loaded.config.clone());
        }
        let config = Arc::new(config(&self.target, &files)?);
        *last = Some(Loaded { files, config: config.clone() });
        Ok(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.target).finish()
    }
}

/// Whether the files of `target` can be used.
///
/// # Errors
///
/// The file and its fault.
pub(crate) fn check(target: &TlsTarget) -> Result<(), String> {
    config(target, &read(target)?).map(|_| ())
}

fn read(target: &TlsTarget) -> Result<Files, String> {
    let contents = |path: &Path| {
        let refused = |why: &str| format!("{}: {why}", path.display());
        let bytes =
            read_bounded(path, LARGEST).map_err(|error| refused(&format!("cannot be read: {error}")))?;
        bytes.ok_or_else(|| refused("too large"))
    };
    let cert_and_key = target.cert_and_key.as_ref();
    Ok(Files {
        ca: target.ca.as_deref().map(contents).transpose()?,
        cert_and_key: cert_and_key
            .map(|(cert, key)| Ok::<_, String>((contents(cert)?, contents(key)?)))
            .transpose()?,
    })
}

fn config(target: &TlsTarget, files: &Files) -> Result<ClientConfig, String> {
    let refused = |path: &Path, why: &dyn fmt::Display| format!("{}: {why}", path.display());
    let certificates = |path: &Path, text: &[u8]| {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().unwrap_or_default();
        if chain.is_empty() { Err(refused(path, &"holds no PEM certificate")) } else { Ok(chain) }
    };
    let builder = match (&target.ca, &files.ca) {
        (Some(path), Some(text)) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, text)? {
                roots.add(certificate).map_err(|error| refused(path, &error))?;
            }
            trust::builder(Some(roots))
        }
        _ => trust::builder(None),
    };
    let builder = builder.map_err(|error| format!("no certificates of the system: {error}"))?;
    let (Some((cert, key)), Some((cert_text, key_text))) = (&target.cert_and_key, &files.cert_and_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(cert, cert_text)?;
    let private =
        PrivateKeyDer::from_pem_slice(key_text).map_err(|_| refused(key, &"holds no PEM private key"))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| refused(key, &error))
}

// ===== errors =====

/// The table from the errors of a socket, plain or TLS, to ours.
pub(super) fn sort(error: &io::Error) -> BackendError {
    let other = || {
        let kind = error.kind();
        if kind == io::ErrorKind::InvalidData {
            BackendError::Protocol
        } else {
            BackendError::Disconnected(kind)
        }
    };
    fault(error).unwrap_or_else(other)
}

/// The fault of a certificate, ours or the server's. A server may refuse ours with its first answer only.
fn fault(error: &io::Error) -> Option<BackendError> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    words(error).map(BackendError::Tls)
}

fn words(error: &Error) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enums are open-ended")]
    let words = match error {
        Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate has an unknown issuer"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet"
            }
            CertificateError::Revoked => "the server's certificate is revoked",
            fault => return Some(format!("the server's certificate cannot be verified ({fault})")),
        },
        Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => "the server refuses this service's certificate",
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server demands a certificate of this service"
        }
        Error::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::UnrecognisedName,
        )
        | Error::PeerIncompatible(_) => "the server and this service have no version or cipher in common",
        _ => return None,
    };
    Some(words.to_owned())
}
