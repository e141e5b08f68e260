//! TLS on the public listener: the certificate, its files, and the handshake.
//!
//! Files are compared by their contents instead of watched for events. This works on every file system, also where a
//! whole folder is swapped below a symbolic link, as Kubernetes does.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::{
    task::spawn_blocking,
    time::{Instant, interval, timeout_at},
};
use tokio_rustls::TlsAcceptor;

use super::stream::Stream;
use crate::{http::settings::TlsSettings, secret_file::read_bounded};

/// The interval of these comparisons.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// More bytes than any chain of certificates has; limits the cost of a wrong path.
const LARGEST: u64 = 1 << 20;

/// The certificate in use, and its files. Clones share it.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    source: Arc<Mutex<Source>>,
}

/// A certificate and its key, which belong together, and are not in use yet.
pub struct Pair {
    certified: Arc<CertifiedKey>,
    source: Source,
}

/// Two files, and their last known contents.
#[derive(Clone, PartialEq, Eq)]
struct Source {
    cert: PathBuf,
    key: PathBuf,
    digest: [u8; 32],
}

/// The certificate of new handshakes.
struct Current(ArcSwap<CertifiedKey>);

/// The reason why a certificate or its key cannot be used. Shows nothing of the key.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {}: {problem}", file.display())]
pub struct TlsError {
    /// The setting that names the file.
    pub key: &'static str,
    /// The file.
    pub file: PathBuf,
    /// The fault.
    pub problem: Box<TlsProblem>,
}

/// The fault of a certificate's or a key's file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TlsProblem {
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    #[error("too large")]
    TooLarge,
    #[error("holds no PEM certificate")]
    NoCertificate,
    #[error("holds no PEM private key")]
    NoKey,
    #[error("cannot be used: {0}")]
    Unfit(#[source] rustls::Error),
    #[error("does not belong to the certificate")]
    Mismatch,
}

// ===== impl Tls =====

impl Tls {
    /// TLS 1.2 and 1.3 with the certificate of the settings; `None` if they do not name one.
    ///
    /// # Errors
    ///
    /// If the files cannot be used.
    pub fn from_settings(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        let (Some(cert), Some(key)) = (settings.cert.clone(), settings.key.clone()) else { return Ok(None) };
        let provider = Arc::new(ring::default_provider());
        let pair = Pair::load(cert, key, &provider)?;
        let current = Arc::new(Current(ArcSwap::new(pair.certified)));
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let mut config = builder
            .with_safe_default_protocol_versions()
            .map_err(|error| pair.source.unfit_cert(error))?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (acceptor, source) = (Arc::new(config).into(), Arc::new(Mutex::new(pair.source)));
        Ok(Some(Self { acceptor, provider, current, source }))
    }

    /// Reads the files that `settings` name, without using them yet. Returns `None` if they are unchanged.
    ///
    /// # Errors
    ///
    /// If the files cannot be used.
    pub fn look(&self, settings: &TlsSettings) -> Result<Option<Pair>, TlsError> {
        let (Some(cert), Some(key)) = (settings.cert.clone(), settings.key.clone()) else { return Ok(None) };
        let pair = Pair::load(cert, key, &self.provider)?;
        Ok(Some(pair).filter(|pair| pair.source != *self.source()))
    }

    /// Uses `pair` in all new handshakes.
    pub fn replace(&self, pair: Pair) {
        self.put(pair, &mut self.source());
    }

    /// As [`replace`](Self::replace), unless other files are in use by now.
    fn renew(&self, pair: Pair) {
        let mut source = self.source();
        if (&source.cert, &source.key) == (&pair.source.cert, &pair.source.key) {
            self.put(pair, &mut source);
        }
    }

    fn put(&self, pair: Pair, source: &mut Source) {
        *source = pair.source;
        self.current.0.store(pair.certified);
        tracing::info!("certificate loaded");
    }

    /// Loads the files whenever they change, for ever. A file that cannot be loaded is logged once and changes
    /// nothing.
    pub async fn watch(self) {
        let mut ticks = interval(LOOK_EVERY);
        let mut complained = None;
        loop {
            ticks.tick().await;
            let this = self.clone();
            // A disk may be slow.
            let looked = spawn_blocking(move || {
                let Source { cert, key, .. } = this.source().clone();
                this.look(&TlsSettings { cert: Some(cert), key: Some(key) })
            });
            match looked.await {
                Ok(Ok(pair)) => {
                    complained = None;
                    pair.into_iter().for_each(|pair| self.renew(pair));
                }
                Ok(Err(error)) => {
                    let complaint = error.to_string();
                    if complained.as_ref() != Some(&complaint) {
                        tracing::error!(%error, "the certificate stays as it was");
                        complained = Some(complaint);
                    }
                }
                Err(error) => tracing::error!(%error, "the certificate's files were not looked at"),
            }
        }
    }

    /// Performs the handshake, until `deadline` at the latest. A client that does not use TLS gets a TLS alert and is
    /// disconnected.
    pub(in crate::http) async fn accept(&self, io: TcpStream, deadline: Instant) -> Option<Stream> {
        let handshake = self.acceptor.accept(io).into_fallible();
        match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
            Ok(Err((error, io))) => {
                tracing::debug!(%error, "no TLS handshake");
                Stream::Plain(io).linger();
                None
            }
            Err(_) => None,
        }
    }

    fn source(&self) -> std::sync::MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Pair =====

impl Pair {
    fn load(cert: PathBuf, key: PathBuf, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let mut source = Source { cert, key, digest: [0; 32] };
        let chain_text = read(&source.cert).map_err(|problem| source.bad_cert(problem))?;
        let key_text = read(&source.key).map_err(|problem| source.bad_key(problem))?;
        let parts = [Sha256::digest(&chain_text), Sha256::digest(&key_text)];
        source.digest = Sha256::digest(parts.concat()).into();

        let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain_text)
            .collect::<Result<_, _>>()
            .map_err(|_| source.bad_cert(TlsProblem::NoCertificate))?;
        if chain.is_empty() {
            return Err(source.bad_cert(TlsProblem::NoCertificate));
        }
        let private =
            PrivateKeyDer::from_pem_slice(&key_text).map_err(|_| source.bad_key(TlsProblem::NoKey))?;
        let signing = provider
            .key_provider
            .load_private_key(private)
            .map_err(|error| source.bad_key(TlsProblem::Unfit(error)))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => Ok(Self { certified: Arc::new(certified), source }),
            Err(rustls::Error::InconsistentKeys(_)) => Err(source.bad_key(TlsProblem::Mismatch)),
            Err(error) => Err(source.unfit_cert(error)),
        }
    }
}

// ===== impl Source =====

impl Source {
    fn bad_cert(&self, problem: TlsProblem) -> TlsError {
        TlsError { key: "http.tls.cert", file: self.cert.clone(), problem: problem.into() }
    }

    fn unfit_cert(&self, error: rustls::Error) -> TlsError {
        self.bad_cert(TlsProblem::Unfit(error))
    }

    fn bad_key(&self, problem: TlsProblem) -> TlsError {
        TlsError { key: "http.tls.key", file: self.key.clone(), problem: problem.into() }
    }
}

// ===== impl Current =====

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate in use")
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsProblem> {
    read_bounded(file, LARGEST).map_err(TlsProblem::Unreadable)?.ok_or(TlsProblem::TooLarge)
}

#[cfg(test)]
mod tests;
