//! Connects to one server: resolves its name, and tries its addresses.
//!
//! A name may have several addresses, and the first may be dead in any way. So the attempts are staggered, under one
//! limit, and the log-in is part of an attempt: an address that accepts and never answers delays the next one no
//! longer than one that drops packets.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use secrecy::SecretString;
use tokio::time::{Instant, timeout, timeout_at};

use super::socket::{Network, OpenFuture, Socket};
use crate::{
    resolver::Resolver,
    secret_file,
    single_flight::SingleFlight,
    store::{
        BackendError, FailedAttempt, Step,
        url::{HostAndPort, Password},
    },
};

/// Maximum time before the next address is tried as well.
const STAGGER: Duration = Duration::from_millis(100);

/// Opens sockets to servers, within a limit. Clones share their look-ups.
#[derive(Debug, Clone)]
pub(in crate::store) struct Dialer {
    timeout: Duration,
    resolver: Resolver,
    network: Arc<dyn Network>,
}

/// The password of a server. Clones share their reads of its file.
#[derive(Debug, Clone)]
pub(in crate::store) struct PasswordSource {
    password: Option<Password>,
    reads: SingleFlight<SecretString, String>,
}

// ===== impl Dialer =====

impl Dialer {
    /// Over `network`. `timeout` limits everything until a connection is usable, the log-in included.
    pub(in crate::store) fn new(timeout: Duration, resolver: Resolver, network: Arc<dyn Network>) -> Self {
        Self { timeout, resolver, network }
    }

    pub(in crate::store) fn network(&self) -> &dyn Network {
        self.network.as_ref()
    }

    /// The end of an attempt that begins now.
    pub(in crate::store) fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }

    /// Connects to `place`: opens a socket to one address after the other, and gives each to `log_in`. The first
    /// success wins.
    ///
    /// # Errors
    ///
    /// [`BackendError::Unresolved`], or [`BackendError::Connect`] with the failure of each address.
    pub(in crate::store) async fn dial<T, F>(
        &self,
        place: &HostAndPort,
        deadline: Instant,
        log_in: impl Fn(Box<dyn Socket>) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, (Step, BackendError)>>,
    {
        let addresses = self.resolve(&place.host, place.port, deadline).await?;
        let stagger = stagger(deadline, addresses.len());
        let made = race(addresses, stagger, |address| {
            attempt(address.to_string(), self.network.tcp(address), deadline, &log_in)
        });
        made.await.map_err(BackendError::Connect)
    }

    /// As [`dial`](Self::dial), for the Unix socket at `path`.
    pub(in crate::store) async fn dial_unix<T, F>(
        &self,
        path: &Path,
        deadline: Instant,
        log_in: impl Fn(Box<dyn Socket>) -> F,
    ) -> Result<T, BackendError>
    where
        F: Future<Output = Result<T, (Step, BackendError)>>,
    {
        let made = attempt(path.display().to_string(), self.network.unix(path), deadline, &log_in);
        made.await.map_err(|failed| BackendError::Connect(vec![failed]))
    }

    async fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, BackendError> {
        let unresolved = |cause: String| BackendError::Unresolved { host: host.to_owned(), cause };
        let addresses = timeout_at(deadline, self.resolver.addresses(host))
            .await
            .map_err(|_| unresolved("no answer in time".to_owned()))?
            .map_err(|error| unresolved(error.to_string()))?;
        Ok(addresses.iter().map(|address| with_port(*address, port)).collect())
    }
}

async fn attempt<T, F>(
    server: String,
    socket: OpenFuture,
    deadline: Instant,
    log_in: &impl Fn(Box<dyn Socket>) -> F,
) -> Result<T, FailedAttempt>
where
    F: Future<Output = Result<T, (Step, BackendError)>>,
{
    let made = async {
        let opened = timeout_at(deadline, socket).await.map_err(|_| BackendError::TimedOut);
        let opened =
            opened.and_then(|socket| socket.map_err(|error| BackendError::Disconnected(error.kind())));
        log_in(opened.map_err(|error| (Step::Open, error))?).await
    };
    made.await.map_err(|(step, error)| FailedAttempt { server, step, error })
}

// ===== impl PasswordSource =====

impl PasswordSource {
    pub(in crate::store) fn new(password: Option<Password>) -> Self {
        Self { password, reads: SingleFlight::new("password") }
    }

    /// The current password. A file on a disk that hangs costs one thread, but no worker's time.
    ///
    /// # Errors
    ///
    /// [`BackendError::NoPassword`].
    pub(in crate::store) async fn read(
        &self,
        deadline: Instant,
    ) -> Result<Option<SecretString>, BackendError> {
        let file = match &self.password {
            None => return Ok(None),
            Some(Password::Given(password)) => return Ok(Some(password.clone())),
            Some(Password::File(file)) => file,
        };
        let path = file.clone();
        let read = self.reads.result("", move || secret_file::read(&path));
        let late = |_| Err(format!("{}: cannot be read in time", file.display()));
        timeout_at(deadline, read).await.unwrap_or_else(late).map(Some).map_err(BackendError::NoPassword)
    }
}

// ===== addresses =====

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// The last of many addresses also needs a part of the remaining time.
fn stagger(deadline: Instant, addresses: usize) -> Duration {
    let shares = u32::try_from(addresses).unwrap_or(u32::MAX).saturating_add(1);
    STAGGER.min(deadline.saturating_duration_since(Instant::now()) / shares)
}

/// Tries `addresses` in their order. The next one is tried when the one before has failed, or has had `stagger` for
/// itself. The first success wins, and the others are dropped.
///
/// # Errors
///
/// The failures of all, in the order in which they came.
async fn race<T, E, A: Future<Output = Result<T, E>>>(
    addresses: Vec<SocketAddr>,
    stagger: Duration,
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<T, Vec<E>> {
    let mut waiting = addresses.into_iter();
    let mut under_way = FuturesUnordered::new();
    let mut failed = Vec::new();
    loop {
        let is_last = match waiting.next() {
            Some(address) => {
                under_way.push(attempt(address));
                waiting.len() == 0
            }
            None => true,
        };
        let outcome = if is_last {
            under_way.next().await
        } else {
            match timeout(stagger, under_way.next()).await {
                Ok(outcome) => outcome,
                Err(_) => continue,
            }
        };
        match outcome {
            Some(Ok(won)) => return Ok(won),
            Some(Err(error)) => failed.push(error),
            None => return Err(failed),
        }
    }
}

#[cfg(test)]
mod tests;
