//! Connects to a Tarantool server: reads its greeting, logs in, and proves that the functions can be called.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::future::join;
use secrecy::{ExposeSecret, SecretString};
use sha1::{Digest, Sha1};
use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout_at},
};

use super::{
    connection::TarantoolConnection,
    iproto::{Answer, Iproto, sort, write_auth},
};
use crate::{
    resolver::Resolver,
    store::{
        BackendError, Connection, Connector, Network, ReplyFuture, Step, SystemNetwork,
        backend::connecting,
        url::TarantoolTarget,
        wire::{Dialer, Line, OWED_FOR, PasswordSource, Socket},
    },
};

/// The greeting: a line with the version, and a line with the challenge.
const GREETING: usize = 128;
const GREETING_LINE: usize = 64;

/// The bytes of the challenge that count.
const CHALLENGE: usize = 20;

/// Connects to one Tarantool server.
#[derive(Debug, Clone)]
pub struct TarantoolConnector {
    target: Arc<TarantoolTarget>,
    dialer: Dialer,
    password: PasswordSource,
}

// ===== impl TarantoolConnector =====

impl TarantoolConnector {
    /// A connector to `target`, whose name `resolver` looks up. `timeout` limits reading the password, resolving,
    /// connecting, the log-in and the first call together.
    pub fn new(target: TarantoolTarget, timeout: Duration, resolver: Resolver) -> Self {
        Self::over(target, timeout, resolver, Arc::new(SystemNetwork))
    }

    /// As [`new`](Self::new), over another network than the system's.
    pub fn over(
        target: TarantoolTarget,
        timeout: Duration,
        resolver: Resolver,
        network: Arc<dyn Network>,
    ) -> Self {
        let password = PasswordSource::new(target.password.clone());
        Self { target: Arc::new(target), dialer: Dialer::new(timeout, resolver, network), password }
    }

    /// Connects and logs in. `owed_for` limits the time of an answer.
    pub(super) async fn establish(&self, owed_for: Duration) -> Result<TarantoolConnection, BackendError> {
        let deadline = self.dialer.deadline();
        let password = self.password.read(deadline).await?;
        let log_in = |socket| log_in(socket, &self.target, password.as_ref(), owed_for, deadline);
        self.dialer.dial(&self.target.place, deadline, log_in).await
    }
}

impl Connector for TarantoolConnector {
    fn connect(&self) -> ReplyFuture<Arc<dyn Connection>> {
        let connector = self.clone();
        connecting(async move { connector.establish(OWED_FOR).await })
    }

    /// Its answers may overtake each other, but their bytes cannot.
    fn is_one_stream(&self) -> bool {
        true
    }

    fn kind(&self) -> &'static str {
        "tarantool"
    }

    fn address(&self) -> String {
        self.target.place.to_string()
    }
}

async fn log_in(
    mut socket: Box<dyn Socket>,
    target: &TarantoolTarget,
    password: Option<&SecretString>,
    owed_for: Duration,
    deadline: Instant,
) -> Result<TarantoolConnection, (Step, BackendError)> {
    let late = |step| move |_| (step, BackendError::TimedOut);
    let mut greeting = [0; GREETING];
    let read = timeout_at(deadline, socket.read_exact(&mut greeting)).await;
    read.map_err(late(Step::Greeting))?
        .map_err(|error| (Step::Greeting, BackendError::Disconnected(error.kind())))?;
    let challenge = challenge(&greeting).ok_or((Step::Greeting, BackendError::Protocol))?;
    let (line, driver) = Line::over(socket, Iproto, owed_for);
    let connection = TarantoolConnection::new(line, driver, target.module.clone());
    // Both in one round trip; the first must be in the queue first.
    let known = async {
        let Some(password) = password else { return Ok(()) };
        let scramble = scramble(password.expose_secret(), &challenge);
        let write = |tag, out: &mut _| write_auth(&target.username, &scramble, tag, out);
        match connection.functions.line.ask(write).await? {
            Answer::Data(_) => Ok(()),
            Answer::Error(number) => Err(sort(number)),
        }
    };
    // The port answers before the server serves, and the functions may not be loaded.
    let called = connection.get_many(Arc::new([]));
    let (known, called) = timeout_at(deadline, join(known, called)).await.map_err(late(Step::Auth))?;
    known.map_err(|error| (Step::Auth, error))?;
    called.map_err(|error| (Step::Call, error))?;
    Ok(connection)
}

/// The challenge of a greeting; `None` if it is not one of this protocol.
fn challenge(greeting: &[u8; GREETING]) -> Option<[u8; CHALLENGE]> {
    let (version, challenge) = greeting.split_at_checked(GREETING_LINE)?;
    if !version.starts_with(b"Tarantool ") || !version.windows(8).any(|part| part == b"(Binary)") {
        return None;
    }
    let challenge = challenge.trim_ascii_end();
    let decoded = BASE64_STANDARD.decode(challenge).ok()?;
    decoded.get(..CHALLENGE)?.try_into().ok()
}

/// The proof of the password: SHA1(password) xor SHA1(challenge, SHA1(SHA1(password))).
fn scramble(password: &str, challenge: &[u8; CHALLENGE]) -> [u8; CHALLENGE] {
    let once: [u8; CHALLENGE] = Sha1::digest(password).into();
    let twice: [u8; CHALLENGE] = Sha1::digest(once).into();
    let mask: [u8; CHALLENGE] = Sha1::new().chain_update(challenge).chain_update(twice).finalize().into();
    let mut scramble = once;
    scramble.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    scramble
}

#[cfg(test)]
mod tests;
