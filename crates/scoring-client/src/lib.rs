#![doc = include_str!("../README.md")]

mod answer;
mod call;
mod credentials;
mod error;
mod look_up;
mod retry;
mod retry_after;
#[cfg(test)]
mod tests;
mod values;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderName, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;

use self::look_up::LookUp;

pub use reqwest::Url;

pub use self::{
    answer::{CallAnswer, InterestsById},
    call::{Call, Identity, InvalidHeader, Person},
    credentials::Credentials,
    error::{BuildError, ClientError, FieldFault, Transport, Unexpected},
    values::{Explained, Method, Score},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The retries and limits of a call.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Time for all tries and waits together; 5 s by default.
    pub deadline: Duration,
    /// Time for one try, from connecting to the last byte; 2 s by default, well above the service's own limits.
    pub attempt_timeout: Duration,
    /// Maximum tries, 1 or more; 4 by default.
    pub attempts: u32,
    /// The longest wait before the second try, 50 ms by default; it doubles with each further one. Waits are random, from
    /// zero on, and come on top of the service's `Retry-After`.
    pub first_wait: Duration,
    /// The longest wait before any try; 1 s by default.
    pub longest_wait: Duration,
    /// Maximum bytes of an answer; 16 MiB by default.
    pub response_limit: usize,
}

/// A service at one URL. Keeps connections open between calls; share it by reference.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
    credentials: Credentials,
    policy: Policy,
    repeats: AtomicU64,
}

// ===== impl Policy =====

impl Default for Policy {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(2),
            attempts: 4,
            first_wait: Duration::from_millis(50),
            longest_wait: Duration::from_secs(1),
            response_limit: 16 << 20,
        }
    }
}

// ===== impl Client =====

impl Client {
    /// A client of the service at `url`, whose calls are posted to `/method` below it. Nothing is connected yet.
    ///
    /// Proxies in the environment are not used: a call contains personal data, and goes only to the given URL.
    ///
    /// # Errors
    ///
    /// If `url` is neither `http` nor `https`, or, for `https`, the system's certificates cannot be used.
    pub fn new(url: Url, credentials: impl Into<Credentials>, policy: Policy) -> Result<Self, BuildError> {
        Self::with_look_up(url, credentials.into(), policy, LookUp::system())
    }

    fn with_look_up(
        url: Url,
        credentials: Credentials,
        policy: Policy,
        look_up: LookUp,
    ) -> Result<Self, BuildError> {
        let mut endpoint = url;
        if !matches!(endpoint.scheme(), "http" | "https") || !endpoint.has_host() {
            return Err(BuildError::Url);
        }
        endpoint.path_segments_mut().map_err(|()| BuildError::Url)?.pop_if_empty().push("method");
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(endpoint.scheme() == "https")?)
            // A try that gives up on a name server leaves no thread behind, and the end of the program does not wait
            // for one.
            .dns_resolver(Arc::new(look_up))
            .redirect(redirect::Policy::none())
            // Only this client retries, so that it can count the tries.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(BuildError::Http)?;
        Ok(Self { http, endpoint, credentials, policy, repeats: AtomicU64::new(0) })
    }

    /// The score of a person.
    ///
    /// # Errors
    ///
    /// [`ClientError`], after as many tries as the policy and the deadline allow.
    pub async fn online_score(&self, identity: &Identity, person: &Person) -> Result<Score, ClientError> {
        match self.send(&Call::online_score(identity.clone(), person)).await? {
            CallAnswer::Score(score) | CallAnswer::Explained(Explained { score, .. }) => Ok(score),
            CallAnswer::Interests(_) => Err(Unexpected::Shape.into()),
        }
    }

    /// The interests of clients, by id. Every requested id is there; an unknown client has an empty list.
    ///
    /// # Errors
    ///
    /// As [`Client::online_score`].
    pub async fn clients_interests(
        &self,
        identity: &Identity,
        ids: &[i64],
    ) -> Result<InterestsById, ClientError> {
        match self.send(&Call::clients_interests(identity.clone(), ids, None)).await? {
            CallAnswer::Interests(interests) => Ok(interests),
            CallAnswer::Score(_) | CallAnswer::Explained(_) => Err(Unexpected::Shape.into()),
        }
    }

    /// Makes any call. The answer matches the call's method.
    ///
    /// # Errors
    ///
    /// As [`Client::online_score`].
    pub async fn send(&self, call: &Call) -> Result<CallAnswer, ClientError> {
        let mut tries = 0;
        let outcome = retry::within(&self.policy, &mut fastrand::Rng::new(), || {
            tries += 1;
            self.attempt(call)
        })
        .await;
        self.repeats.fetch_add(tries - 1, Relaxed);
        outcome
    }

    /// The number of retries so far.
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Relaxed)
    }

    /// The credentials that it signs with.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    async fn attempt(&self, call: &Call) -> Result<CallAnswer, ClientError> {
        let token = self.credentials.sign(&call.identity)?;
        let mut request = self
            .http
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(REQUEST_ID, call.request_id())
            .body(call.body(token.expose_secret()));
        if let Some(traceparent) = &call.traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        let response = request.send().await.map_err(Transport::from)?;
        let status = response.status().as_u16();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after::parse(value.to_str().ok()?, wall_clock()));
        let body = self.read(response).await?;
        answer::read(call.method, status, retry_after, &body)
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Transport::from)? {
            if body.len() + chunk.len() > self.policy.response_limit {
                return Err(Unexpected::TooLarge.into());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Trusts the certificates that the system trusts. Reading them takes a while, so they are read only if they are `needed`.
fn tls(needed: bool) -> Result<ClientConfig, rustls::Error> {
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

/// For a `Retry-After` that is a date. No timer goes by it.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the wall clock")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
