//! A client of the service: signs a call, sends it, retries as the service asks for, and returns typed answers and
//! errors.
//!
//! ```no_run
//! # use scoring_api::client::*;
//! # async fn example(token: String) -> Result<(), Box<dyn std::error::Error>> {
//! let credentials = Credentials::token("acme", "shop", token);
//! let client = Client::new("http://127.0.0.1:8080".parse()?, credentials, Policy::default())?;
//! let partner = Identity::new("acme", "shop");
//! let person = Person { phone: Some("79175002040".into()), email: Some("a@b".into()), ..Person::default() };
//! let score = client.online_score(&partner, &person).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A registered partner signs with the token that it was given; [`Credentials::salts`] is for holders of the service's
//! own salts.
//!
//! # Layout
//!
//! - `call`: a call, and its caller
//! - `credentials`: the salts or the token that sign calls
//! - `answer`: answers, classified by status and shape
//! - `error`: all errors
//! - `retry`: tries within one deadline; `retry_after`: the header

mod answer;
mod call;
mod credentials;
mod error;
mod retry;
mod retry_after;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix_supervise::Backoff;
use reqwest::{
    Response, Url,
    header::{CONTENT_TYPE, HeaderName, RETRY_AFTER},
    redirect,
};
use secrecy::ExposeSecret;

use crate::{
    domain::{Explained, Score},
    resolver::Resolver,
    trust, wall_clock,
};

pub use self::{
    answer::{CallAnswer, InterestsById},
    call::{Call, Identity, InvalidHeader, Person},
    credentials::Credentials,
    error::{BuildError, ClientError, FieldFault, Transport, Unexpected},
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
    /// Waits between tries, added to the service's `Retry-After`; by default up to 50 ms at first and at most 1 s.
    pub backoff: Backoff,
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
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(1)),
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
        Self::with_resolver(url, credentials, policy, Resolver::system())
    }

    /// The same, with a resolver for names.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn with_resolver(
        url: Url,
        credentials: impl Into<Credentials>,
        policy: Policy,
        resolver: Resolver,
    ) -> Result<Self, BuildError> {
        let mut endpoint = url;
        if !matches!(endpoint.scheme(), "http" | "https") || !endpoint.has_host() {
            return Err(BuildError::Url);
        }
        endpoint.path_segments_mut().map_err(|()| BuildError::Url)?.pop_if_empty().push("method");
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(trust::config(endpoint.scheme() == "https")?)
            // A try that gives up on a name server leaves no thread behind, and the end of the program does not wait
            // for one.
            .dns_resolver(Arc::new(resolver))
            .redirect(redirect::Policy::none())
            // Only this client retries, so that it can count the tries.
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()
            .map_err(BuildError::Http)?;
        Ok(Self { http, endpoint, credentials: credentials.into(), policy, repeats: AtomicU64::new(0) })
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
        let now = wall_clock::now();
        let token = self.credentials.sign(&call.identity, now)?;
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
            .and_then(|value| retry_after::parse(value.to_str().ok()?, now));
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
